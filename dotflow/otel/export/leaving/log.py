"""The run log of this process, as what leaves by OTLP needs it: what only the log has."""

from __future__ import annotations

from collections import Counter, deque
from itertools import islice
from typing import TYPE_CHECKING

from dotflow.abc.facts import next_number
from dotflow.otel.export.leaving.others import OtherLogs, past_of
from dotflow.otel.export.leaving.receipts import LEFT, SpanReceipts
from dotflow.otel.export.leaving.sending import Item
from dotflow.runlog.reader import SegmentReader
from dotflow.runlog.writer import run_log

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dotflow.otel.export.otlp.endpoint import Signal
    from dotflow.otel.export.otlp.exports import SpanCounts
    from dotflow.runlog.writer import Segment


_left_behind: dict[str, tuple[str, list[tuple[int, int]]]] = {}
"""What a server that was closed had not sent, by the endpoint's key, and in which log that is."""


_users: Counter[str] = Counter()
"""How many processors read the log for each endpoint: several providers may send to one."""


class OwnLog:
    """What one endpoint's thread does with the run log of this process.

    Args:
        key: The endpoint's key.
        counts: Where it is counted what becomes of what leaves.
        signal: What leaves.

    Attributes:
        opened: The numbers of the lines of spans of ours that have not ended, by the spans' ids.
        owed: The numbers of those that found no room, and that of the run of each.
        others: The logs of children and of dead processes.
    """

    def __init__(self, key: str, counts: SpanCounts, signal: Signal) -> None:
        self.opened: dict[int, int] = {}
        log, left = _left_behind.pop(key, ("", []))
        # An earlier server's, of the same endpoint: the log that has them is open still.
        self.owed: deque[tuple[int, int]] = deque(left if log == run_log.id else ())
        _users[key] += 1
        self.others = OtherLogs(key, signal)
        self._key = key
        self._counts = counts
        self._signal = signal
        self._receipts: dict[int, SpanReceipts] = {}
        self._bounds: list[tuple[Segment, int]] = []
        self._again: Iterator[Item] | None = None
        self._wanted: dict[int, int] = {}
        self._last: Segment | None = None
        self._is_closed = False

    def owe(self, item: Item) -> None:
        """Have one be made again from the log, for it found no room; called anywhere."""
        if run_log.is_durable and item.log is None:
            self.owed.append((item.n, item.base))
        else:
            self._counts.add(failed=1)

    @property
    def waiting(self) -> int:
        """How many only the log has."""
        return len(self.owed) + len(self._wanted)

    def owed_items(self, most: int) -> list[Item]:
        """Those that only the log has; called by the exporting thread."""
        if self._again is None:
            self._again = self._made_again()
        items = list(islice(self._again, most))
        if len(items) < most:
            self._again = None
        return items

    def _made_again(self) -> Iterator[Item]:
        """Make them from the lines; those that the log has not are lost."""
        wanted = self._wanted
        while self.owed:
            n, base = self.owed.popleft()
            wanted[n] = base
        past = past_of(self._signal, self._key)
        for segment in list(run_log.segments):
            reader = SegmentReader(segment.path, segment)
            while facts := reader.read():
                for fact in facts:
                    ended = past.take(fact)
                    if ended is not None and ended[1] in wanted:
                        what, n = ended
                        yield Item(what, n, wanted.pop(n), None)
        self._counts.add(failed=len(wanted))
        wanted.clear()

    def left(self, items: Sequence[Item]) -> None:
        """Write receipts for what has left, or never will."""
        own = [item.n for item in items if item.log is None]
        segments = run_log.segments
        last = self._last if self._is_closed else segments[-1] if segments else None
        if own and last is not None and last.path is not None and last.path.exists():
            self._receipts_of(last).write([{"k": LEFT, "n": own}])
        self.others.left(items)

    def care(self, waiting: list[Item]) -> None:
        """Give a sign of life, go on in another file where one is long, let go of old ones."""
        if not run_log.segments:
            return
        run_log.beat()
        run_log.roll()
        known = {segment.number for segment, _ in self._bounds}
        for segment in run_log.segments[:-1]:
            if segment.number not in known:
                self._bounds.append((segment, next_number()))
        oldest = min(
            [item.base for item in waiting if item.log is None]
            + [base for _, base in self.owed.copy()]
            + list(self._wanted.values())
            + list(self.opened.copy().values()),
            default=None,
        )
        while self._bounds and (oldest is None or self._bounds[0][1] <= oldest):
            self._let_go(self._bounds.pop(0)[0])

    def _let_go(self, segment: Segment) -> None:
        receipts = self._receipts_of(segment)
        receipts.done()
        receipts.close()
        self._receipts.pop(segment.number, None)
        run_log.done(segment, self._key)

    def close(self, waiting: list[Item]) -> None:
        """Let go of all: for good, where nothing is left to send.

        Args:
            waiting: What has not left.
        """
        left = [(item.n, item.base) for item in waiting if item.log is None]
        left += [*self.owed.copy(), *self._wanted.items()]
        segments = run_log.segments
        self._last = segments[-1] if segments else None
        self._is_closed = True
        if left:
            _left_behind[self._key] = (run_log.id, left)
        elif not waiting and _users[self._key] == 1:
            for segment in list(run_log.segments):
                run_log.done(segment, self._key)
        for receipts in self._receipts.values():
            receipts.close()
        self._receipts.clear()
        self.others.close()
        _users[self._key] -= 1
        if not _users[self._key]:
            run_log.leave(self._key)

    def forget(self) -> None:
        """Let go of a log that is another process's: this one was forked."""
        _users[self._key] -= 1

    def _receipts_of(self, segment: Segment) -> SpanReceipts:
        found = self._receipts.get(segment.number)
        if found is None:
            found = self._receipts[segment.number] = SpanReceipts(segment.path, self._key)
        return found
