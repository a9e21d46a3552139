"""Batches on their way: which goes next, and what becomes of one that is not taken."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from opentelemetry.sdk.trace import ReadableSpan

from dotflow.delivery.http.untraced import untraced
from dotflow.logging import logger
from dotflow.otel.export.otlp.endpoint import OtlpSettings, endpoint_of
from dotflow.otel.export.otlp.exports import (
    MOST_BYTES,
    SPAN_BYTES,
    SpanCounts,
    exporter_of,
    size_of,
)
from dotflow.otel.export.otlp.outcome import Outcome
from dotflow.otel.logs.record import Record
from dotflow.otel.spans.light import LightSpan

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Iterator

    from dotflow.otel.export.otlp.exports import Exporter
    from dotflow.runlog.waits import Waits


ENOUGH_FAILURES = 3
"""After as many, a batch that was passed by others is lost."""

MOST_SPLITS = 12
"""Halvings while nothing is taken: an endpoint that refuses everything finds no fault with one."""

MOST_SAID = 20
"""Different faults that are told until the endpoint is well: it may say another thing each time."""

FIRST_DELAY, LONGEST_DELAY = 0.5, 30.0
LONGEST_HURRIED = 1.0
"""Seconds between two tries of an endpoint that is away; the last while somebody waits for it."""


Sent = ReadableSpan | Record
"""What is sent."""


class LeftBehind(Protocol):
    """Where another process left something."""

    def left(self, numbers: list[int]) -> None:
        """Take note of what has left, or never will, by the numbers of its lines."""


class Item(NamedTuple):
    """A span, or a log record, on its way.

    Attributes:
        what: It.
        n: The number of the line that ended it, or tells of it.
        base: The first number that it follows from: that of its run, or its own.
        log: What another process left, if it is from that; None of this one's own.
    """

    what: Sent
    n: int
    base: int
    log: LeftBehind | None

    @property
    def at_ns(self) -> int:
        """When it ended, or was said, in nanoseconds since the epoch."""
        what = self.what
        return (what.timestamp if isinstance(what, Record) else what.end_time) or 0


class Batch:
    """What is sent together.

    Args:
        items: It.
        passed_at: How many others had been taken when they were refused first.
        tries: How often they were refused.

    Attributes:
        gone: Those that were taken out, for they cannot be encoded.
        is_lost: Whether the endpoint will never take it.
    """

    def __init__(self, items: list[Item], passed_at: int | None = None, tries: int = 0) -> None:
        self.items = items
        self.gone: list[Item] = []
        self.tries = tries
        self.passed_at = passed_at
        self.is_lost = False

    def halves(self, passed_at: int) -> list[Batch]:
        """The same in two."""
        middle = (len(self.items) + 1) // 2
        parts = self.items[:middle], self.items[middle:]
        return [Batch(part, passed_at, self.tries + 1) for part in parts]


class Sender:
    """Sends batches to an endpoint; called by one thread.

    A batch that the endpoint finds fault with goes in halves, until what is at fault is alone. One
    that was refused three times, while others were taken, would never be taken: it is lost.
    Whatever else goes wrong is no fault of the batch: it is tried again.

    Args:
        settings: Which endpoint.
        counts: Where it is counted what becomes of them.
        name: What the endpoint is called.
        waits: Where it is noted, for other processes, what the endpoint waits for.

    Attributes:
        timeout: Seconds that one export may take.
        is_away: Whether the last export failed.

    Raises:
        ValueError: The endpoint's address is none.
    """

    def __init__(self, settings: OtlpSettings, counts: SpanCounts, name: str, waits: Waits) -> None:
        self._endpoint = endpoint_of(settings)
        self._signal = settings.signal
        self.timeout = self._endpoint.timeout
        self._counts = counts
        self._name = name
        self._waits = waits
        self._exporter: Exporter | None = None
        self._begin()

    def _begin(self) -> None:
        self.is_away = False
        self._failed: list[Batch] = []
        self._under_way: Batch | None = None
        self._taken = 0
        self._splits = 0
        self._said: set[str] = set()
        self._delay = FIRST_DELAY
        self._again_at = 0.0
        self._was_asked_to_wait = False
        self._was_old = False
        self._is_stopped = False

    def renew(self, timeout: float) -> None:
        """Begin anew in a forked child: the connections are the parent's."""
        if self._exporter is not None:
            self._exporter.let_go()
        self._exporter = None
        self.timeout = min(timeout, self.timeout)
        self._endpoint = replace(self._endpoint, timeout=self.timeout)
        self._begin()

    @property
    def waiting(self) -> int:
        """How much is in batches that have not left."""
        return sum(1 for _ in self.items())

    def items(self) -> Iterator[Item]:
        """That."""
        under_way = self._under_way
        for batch in [*self._failed, *([] if under_way is None else [under_way])]:
            yield from batch.items

    def pause(self, now: float, is_hurried: bool) -> float:
        """Seconds to wait for the next try; none while the endpoint takes what it gets."""
        if not self.is_away:
            return 0.0
        left = self._again_at - now
        return min(left, LONGEST_HURRIED) if is_hurried and not self._was_asked_to_wait else left

    def next_batch(self, queue: deque[Item], most: int) -> Batch | None:
        """What is to be sent next: one that failed, unless it just did and there are others."""
        if self._failed and not (self._was_old and queue):
            self._was_old = True
            return self._failed.pop(0)
        self._was_old = False
        return self.batch_of(_taken_from(queue, most))

    def batch_of(self, items: list[Item]) -> Batch | None:
        """A batch of some; None of none."""
        return Batch(items) if items else None

    def send(self, batch: Batch) -> bool:
        """Send a batch; whether it was taken. One that was not is held, or lost."""
        self._under_way = batch
        try:
            outcome = self._outcome(batch)
            if outcome.is_taken:
                self._took(batch, outcome)
            else:
                self._fail(batch, outcome)
        finally:
            self._under_way = None
        return outcome.is_taken

    def _outcome(self, batch: Batch) -> Outcome:
        """Send a batch, without what cannot be encoded: it must not cost the others."""
        outcome = self._sent(batch)
        if outcome is None:
            good = [item for item in batch.items if _can_be_encoded(item)]
            batch.gone = [item for item in batch.items if item not in good]
            batch.items = good
            if batch.gone:
                self._lose(len(batch.gone), "they cannot be encoded")
            outcome = self._sent(batch) if good else Outcome()
        # Some releases of the exporter send no batch above a size of theirs.
        return outcome or Outcome("was not spoken to: the exporter makes no call for them", True)

    def _sent(self, batch: Batch) -> Outcome | None:
        try:
            if self._exporter is None:
                self._exporter = exporter_of(self._endpoint)
            with untraced():
                return self._exporter.send([item.what for item in batch.items])
        except Exception as error:  # noqa: BLE001 - whatever it is, all is kept
            logger.debug("A batch could not be exported.", exc_info=True)
            return Outcome(f"could not be spoken to ({type(error).__name__})")

    def _took(self, batch: Batch, outcome: Outcome) -> None:
        sent = len(batch.items)
        rejected = min(max(0, outcome.rejected), sent)
        self._counts.add(exported=sent - rejected)
        if sent:
            self._waits.taken()
            self._taken += 1
            self._splits = 0
            self.is_away, self._delay, self._again_at = False, FIRST_DELAY, 0.0
        if rejected:
            self._lose(rejected, f"{self._name} rejects them: {outcome.said or 'it says no more'}")
        elif outcome.said:
            self._say(outcome.said, "%s takes %s, and says: %s", self._name,
                      self._signal.what, outcome.said)  # fmt: skip
        elif not self._failed:
            self._said.clear()

    def _fail(self, batch: Batch, outcome: Outcome) -> None:
        if not self._is_stopped:
            self._say(
                outcome.why, "%s %s. Its %s wait, and are sent when it takes them.",
                self._name, outcome.why, self._signal.what,
            )  # fmt: skip
        self.is_away = True
        self._waits.note(f"the endpoint {outcome.why}", outcome.after)
        self._was_asked_to_wait = outcome.after is not None
        self._again_at = time.monotonic()
        if not self._split(batch, outcome):
            self._hold(batch, outcome)
            self._again_at += self._delay if outcome.after is None else outcome.after
            self._delay = min(LONGEST_DELAY, 2 * self._delay)

    def _split(self, batch: Batch, outcome: Outcome) -> bool:
        """Hold the halves of a batch that is refused, to be sent next, unless that is no use."""
        if not outcome.is_refused or len(batch.items) == 1 or self._splits >= MOST_SPLITS:
            return False
        self._splits += 1
        self._failed[:0] = batch.halves(self._taken)
        return True

    def _hold(self, batch: Batch, outcome: Outcome) -> None:
        """Keep a batch that failed, unless it would never be taken."""
        if batch.passed_at is None:
            batch.passed_at = self._taken
        batch.tries += outcome.is_refused
        if batch.tries >= ENOUGH_FAILURES and self._taken > batch.passed_at:
            batch.is_lost = True
            self._lose(len(batch.items), f"{self._name} {outcome.why}")
        else:
            self._failed.append(batch)

    def _lose(self, number: int, why: str) -> None:
        self._counts.add(failed=number)
        what = self._signal.what
        lost = f"1 {what.removesuffix('s')} is" if number == 1 else f"{number} {what} are"
        logger.warning("%s lost: %s.", lost, why.rstrip("."))

    def _say(self, fault: str, line: str, *values: str) -> None:
        """Say a fault once, until the endpoint has taken all that waits."""
        if fault not in self._said and len(self._said) < MOST_SAID:
            self._said.add(fault)
            logger.warning(line, *values)

    def stop(self) -> None:
        """Have an export end that is under way, where that can be; called by another thread."""
        self._is_stopped = True
        if self._exporter is not None:
            self._exporter.close()


def _taken_from(queue: deque[Item], most: int) -> list[Item]:
    """The next of a queue, as many as an endpoint takes at a time."""
    items: list[Item] = []
    room = MOST_BYTES
    while queue and len(items) < most:
        room -= _size(queue[0].what)
        if items and room < 0:
            break
        items.append(queue.popleft())
    return items


def _size(what: Sent) -> int:
    if isinstance(what, Record):
        return what.size
    if isinstance(what, LightSpan) and what.body is None:
        # Without its attributes: they are made once, by the exporter.
        return SPAN_BYTES + 4 * what.said.length()
    return size_of(what)


def _can_be_encoded(item: Item) -> bool:
    from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

    encode: Any = encode_logs if isinstance(item.what, Record) else encode_spans
    try:
        encode([item.what]).SerializeToString()
    except Exception:  # noqa: BLE001 - whatever it is, that one is to be left out
        return False
    return True
