"""Batches of spans on their way: which goes next, and what becomes of one that is not taken."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, NamedTuple, Protocol

from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from dotflow.delivery.untraced import untraced
from dotflow.logging import logger
from dotflow.otel.export.faults import faults
from dotflow.otel.export.otlp import (
    MOST_BYTES,
    SPAN_BYTES,
    OtlpSettings,
    SpanCounts,
    ends_at_shutdown,
    export_timeout,
    make_exporter,
    size_of,
)
from dotflow.otel.spans.light import LightSpan

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Iterator

    from opentelemetry.sdk.trace import ReadableSpan

    from dotflow.runlog.waits import Waits


ENOUGH_FAILURES = 3
"""After as many, a batch that was passed by others is refused."""

FIRST_DELAY, LONGEST_DELAY = 0.5, 30.0
LONGEST_HURRIED = 1.0
"""Seconds between two tries of an endpoint that is away; the last while somebody waits for it."""


class LeftBehind(Protocol):
    """Where another process left spans."""

    def left(self, numbers: list[int]) -> None:
        """Take note of spans that have left, or never will, by their numbers there."""


class Item(NamedTuple):
    """A span on its way.

    Attributes:
        span: The span.
        n: The number of the line that ended it.
        base: The first number that it follows from: that of its run, or its own.
        log: What another process left, if it is from that; None of this one's own.
    """

    span: ReadableSpan
    n: int
    base: int
    log: LeftBehind | None


class Batch:
    """Spans that are sent together.

    Args:
        items: The spans.

    Attributes:
        bad: Those that were taken out, for they cannot be encoded.
        tries: How often it was tried.
        passed_at: How many others had been taken when it failed first.
        is_refused: Whether the endpoint will never take it.
    """

    def __init__(self, items: list[Item]) -> None:
        self.items = items
        self.bad: list[Item] = []
        self.tries = 0
        self.passed_at = 0
        self.is_refused = False


class Sender:
    """Sends batches with the exporter of OpenTelemetry; called by one thread.

    An exporter does not tell whether nobody answered or the batch was refused. So a batch that
    failed three times, while others were taken, is refused: it would never be taken.

    Args:
        settings: Which endpoint.
        make: Makes the exporter.
        counts: Where spans are counted.
        name: What the endpoint is called.
        waits: Where it is noted, for other processes, what the endpoint waits for.

    Attributes:
        timeout: Seconds that one export may take.
        is_away: Whether the last export failed.
    """

    def __init__(
        self,
        settings: OtlpSettings,
        make: Callable[[], SpanExporter],
        counts: SpanCounts,
        name: str,
        waits: Waits,
    ) -> None:
        self.timeout = export_timeout()
        self._settings = settings
        self._make = make
        self._counts = counts
        self._name = name
        self._waits = waits
        self._exporter: SpanExporter | None = make()
        self._pid = os.getpid()
        self._begin()

    def _begin(self) -> None:
        self.is_away = False
        self._failed: list[Batch] = []
        self._under_way: Batch | None = None
        self._taken = 0
        self._delay = FIRST_DELAY
        self._again_at = 0.0
        self._was_old = False
        self._is_stopped = False

    def renew(self, timeout: float) -> None:
        """Begin anew in a forked child: the connections are the parent's."""
        self._exporter = None
        settings, seconds = self._settings, min(timeout, export_timeout())
        self._make = lambda: make_exporter(settings, seconds)
        self._begin()

    @property
    def waiting(self) -> int:
        """How many spans are in batches that have not left."""
        return sum(1 for _ in self.items())

    def items(self) -> Iterator[Item]:
        """Those spans."""
        under_way = self._under_way
        for batch in [*self._failed, *([] if under_way is None else [under_way])]:
            yield from batch.items

    def pause(self, now: float, is_hurried: bool) -> float:
        """Seconds to wait for the next try; none while the endpoint takes what it gets."""
        if not self.is_away:
            return 0.0
        left = self._again_at - now
        return min(left, LONGEST_HURRIED) if is_hurried else left

    def next_batch(self, queue: deque[Item], most: int) -> Batch | None:
        """What is to be sent next: one that failed, unless it just did and there are others."""
        if self._failed and not (self._was_old and queue):
            self._was_old = True
            return self._failed.pop(0)
        self._was_old = False
        return self.batch_of(_taken_from(queue, most))

    def batch_of(self, items: list[Item]) -> Batch | None:
        """A batch of some spans; None of none."""
        return Batch(items) if items else None

    def send(self, batch: Batch) -> bool:
        """Send a batch; whether it was taken. One that was not is held, or refused."""
        self._under_way = batch
        try:
            is_taken = self._is_taken(batch)
            if is_taken:
                self._took(len(batch.items))
            else:
                self._fail(batch)
        finally:
            self._under_way = None
        return is_taken

    def _is_taken(self, batch: Batch) -> bool:
        try:
            if self._exporter is None:
                self._exporter = self._make()
            with untraced(), faults.once():
                spans = [item.span for item in batch.items]
                return self._exporter.export(spans) is SpanExportResult.SUCCESS
        except Exception as error:  # noqa: BLE001 - some raise what others only say
            logger.debug("Spans could not be exported: %s", error)
            return False

    def _took(self, spans: int) -> None:
        self._counts.add(exported=spans)
        faults.forget()
        self._waits.taken()
        self._taken += 1
        self.is_away, self._delay, self._again_at = False, FIRST_DELAY, 0.0

    def _fail(self, batch: Batch) -> None:
        if not batch.tries:
            batch.passed_at = self._taken
            self._leave_out_bad(batch)
        batch.tries += 1
        if batch.tries >= ENOUGH_FAILURES and self._taken > batch.passed_at:
            batch.is_refused = True
            self._counts.add(failed=len(batch.items))
            logger.warning(
                "%d spans are lost: %s does not take this batch.", len(batch.items), self._name
            )
            return
        if batch.items:
            self._failed.append(batch)
        self.is_away = True
        self._waits.note(faults.words or "the endpoint did not take a batch of spans")
        self._again_at = time.monotonic() + self._delay
        self._delay = min(LONGEST_DELAY, 2 * self._delay)

    def _leave_out_bad(self, batch: Batch) -> None:
        """Take out spans that cannot be encoded: one bad span must not cost the others."""
        bad = [item for item in batch.items if not _can_be_encoded(item.span)]
        if bad:
            logger.warning("%d spans cannot be encoded, and are lost.", len(bad))
            self._counts.add(failed=len(bad))
            batch.bad = bad
            batch.items = [item for item in batch.items if item not in bad]

    def stop(self) -> None:
        """Have an export that is under way end, where that can be; called by another thread."""
        if self._is_stopped:
            return
        self._is_stopped = True
        exporter = self._exporter
        if exporter is not None and (self._under_way is None or ends_at_shutdown(self._settings)):
            exporter.shutdown()


def _taken_from(queue: deque[Item], most: int) -> list[Item]:
    """The next spans of a queue, as many as an endpoint takes at a time."""
    items: list[Item] = []
    room = MOST_BYTES
    while queue and len(items) < most:
        room -= _size(queue[0].span)
        if items and room < 0:
            break
        items.append(queue.popleft())
    return items


def _size(span: ReadableSpan) -> int:
    if isinstance(span, LightSpan) and not span.is_changed:
        # Without its attributes: they are made once, by the exporter.
        return SPAN_BYTES + 4 * span.said.length()
    return size_of(span)


def _can_be_encoded(span: ReadableSpan) -> bool:
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

    try:
        encode_spans([span]).SerializeToString()
    except Exception:  # noqa: BLE001 - whatever it is, the span is to be left out
        return False
    return True
