"""The logs of other processes: of children, while they live, and of those that died."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from dotflow.otel.export.children import CHILD
from dotflow.otel.export.leaving.earlier import EarlierFiles
from dotflow.otel.export.leaving.receipts import LEFT, SpanReceipts, is_done, left_of
from dotflow.otel.export.leaving.sending import Item
from dotflow.otel.export.otlp.endpoint import LOGS, TRACES
from dotflow.otel.logs.past import PastRecords
from dotflow.otel.spans.past import PastSpans
from dotflow.runlog import files
from dotflow.runlog.claims import Claims
from dotflow.runlog.reader import SegmentReader
from dotflow.runlog.writer import run_log

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from dotflow.otel.export.leaving.sending import LeftBehind, Sent
    from dotflow.otel.export.otlp.endpoint import Signal
    from dotflow.runlog.reader import Fact

LOOK_EVERY = 3.0
"""Seconds between two looks for what dead processes have left."""

LOOK_AT_CHILDREN = 0.5
"""The same while tasks run in children."""

HEAD_BYTES = 4096
"""Of a log, in which it says whose child wrote it."""

CLAIM = TRACES.what
"""What is claimed of a log, for the one endpoint: all of it, of whichever workflow."""


def past_of(signal: Signal, key: str) -> PastSpans | PastRecords:
    """What makes of lines again what leaves.

    Args:
        signal: What that is.
        key: The endpoint's key.
    """
    return PastRecords(key) if signal == LOGS else PastSpans(key)


class OtherLog:
    """What the log of another process has for an endpoint; called by one thread.

    Args:
        log: The log's id.
        key: The endpoint's key.
        segments: Its files, in order.
        signal: What leaves.
    """

    def __init__(self, log: str, key: str, segments: list[Path], signal: Signal = TRACES) -> None:
        self.id = log
        self.under_way = 0
        self._key = key
        self._segments: list[Path] = []
        self._readers: list[SegmentReader] = []
        self._past = past_of(signal, key)
        self._has_left = left_of(segments, key)
        self._last_seen: float | None = None
        self._keys: set[str] = {key}
        self.is_read = False
        self.find(segments)

    def find(self, segments: list[Path]) -> None:
        """Learn of its files."""
        for path in segments:
            if path not in self._segments:
                self._segments.append(path)
                self._readers.append(SegmentReader(path))

    def more(self, most: int) -> Iterator[Item]:
        """What has not left, about so many; spans that a death ended come last."""
        is_dead = self._is_dead()
        found = 0
        for reader in self._readers:
            while found < most and (facts := reader.read()):
                for item in self._of(facts):
                    found += 1
                    yield item
        if is_dead and found < most and not self.is_read:
            self.is_read = True
            for what, n in self._past.unended(int((self._last_seen or 0) * 1e9)):
                yield from self._item(what, n)

    def _is_dead(self) -> bool:
        """Whether its process is; seen before its last lines are read."""
        if self._last_seen is None and not files.is_alive(self.id):
            self._last_seen = files.last_seen(self.id, self._segments)
            self.find(files.segments_of(self.id))
        return self._last_seen is not None

    def _of(self, facts: list[Fact]) -> Iterator[Item]:
        for fact in facts:
            self._keys.update(fact.get("to") or ())
            ended = self._past.take(fact)
            if ended is not None:
                yield from self._item(*ended)

    def _item(self, what: Sent, n: int) -> Iterator[Item]:
        if n not in self._has_left:
            self.under_way += 1
            yield Item(what, n, 0, self)

    def left(self, numbers: list[int]) -> None:
        """Write receipts for what has left of it."""
        self.under_way -= len(numbers)
        receipts = SpanReceipts(self._segments[-1], self._key)
        receipts.write([{"k": LEFT, "n": numbers}])
        receipts.close()

    def finish(self) -> bool:
        """Say that nothing of it is left, where that is so; delete what no reader needs."""
        if not self.is_read or self.under_way > 0:
            return False
        receipts = SpanReceipts(self._segments[-1], self._key)
        receipts.done()
        receipts.close()
        if all(is_done(self._segments, key) for key in self._keys):
            files.delete_log(self.id)
        return True


class OtherLogs:
    """The logs of other processes from which this one sends.

    Args:
        key: The endpoint's key.
        signal: What leaves.
    """

    def __init__(self, key: str, signal: Signal) -> None:
        self._key = key
        self._signal = signal
        self._logs: dict[str, OtherLog] = {}
        self._not_ours: set[str] = set()
        self._children = Children()
        self._due_at = float("-inf")
        self._earlier = EarlierFiles(key)

    def look(self, has_children: bool, is_asked: bool = False) -> float:
        """Look for logs; return the seconds until the next look.

        Args:
            has_children: Whether tasks run in children, whose logs are read while they live.
            is_asked: Whether somebody waits for all that there is.
        """
        if run_log.is_durable:
            self._earlier.look()
        now = time.monotonic()
        is_due = is_asked or not has_children or now >= self._due_at
        if is_due:
            self._due_at = now + LOOK_EVERY
        if run_log.is_durable and files.folder().is_dir():
            for log, segments in files.logs().items():
                if log in self._logs:
                    self._logs[log].find(segments)
                elif log != run_log.id and log not in self._not_ours:
                    is_child = has_children and self._children.is_one(log, segments[0])
                    if is_child or is_due:
                        self._see(log, segments, is_child)
        return LOOK_AT_CHILDREN if has_children else LOOK_EVERY

    def _see(self, log: str, segments: list[Path], is_child: bool) -> None:
        is_alive = files.is_alive(log)
        if (is_alive and not is_child) or self._is_others(log):
            return
        if not is_alive and not has_lines(segments, self._key, self._signal):
            self._not_ours.add(log)
        elif self._claimed(log):
            self._logs[log] = OtherLog(log, self._key, segments, self._signal)

    def _is_others(self, log: str) -> bool:
        """Whether a process that lives has claimed a log; seen without a lock, and without it."""
        owner = Claims(log, self._key).owner(CLAIM)
        return owner not in (None, run_log.id) and files.is_alive(str(owner))

    def _claimed(self, log: str) -> bool:
        """Claim a log; False where a process that lives has it."""
        with files.alone():
            me = run_log.claimant()
            if me is None:
                return False
            claims = Claims(log, self._key)
            owner = claims.owner(CLAIM)
            if owner not in (None, me) and files.is_alive(str(owner)):
                return False
            try:
                if owner != me:
                    claims.claim([CLAIM], me)
                    claims.claim_all()
            except OSError:
                return False
        return True

    def more(self, most: int) -> Iterator[Item]:
        """What has not left of them, and of files of the version before."""
        yield from self._earlier.more()
        for log in list(self._logs.values()):
            if log.finish():
                self._logs.pop(log.id, None)
                self._not_ours.add(log.id)
                continue
            for item in log.more(most):
                most -= 1
                yield item
            if most <= 0:
                return

    def left(self, items: Sequence[Item]) -> None:
        """Write receipts for what has left of theirs."""
        found: dict[LeftBehind, list[int]] = {}
        for item in items:
            if item.log is not None:
                found.setdefault(item.log, []).append(item.n)
        for log, numbers in found.items():
            log.left(numbers)

    def close(self) -> None:
        """Leave what is left to the next process."""
        for log in self._logs.values():
            log.finish()
        self._logs.clear()
        self._earlier.close()


class Children:
    """Which logs are those of children of this process; a file is read again where it has grown."""

    def __init__(self) -> None:
        self._no_child: dict[str, int] = {}

    def is_one(self, log: str, path: Path) -> bool:
        """Whether a log is that of a child.

        Args:
            log: The log's id.
            path: Its first file.
        """
        known = self._no_child.get(log, -1)
        try:
            if known >= HEAD_BYTES or path.stat().st_size == known:
                return False
            head = files.read_file(path, 0, HEAD_BYTES)
        except OSError:
            return False
        if f'{{"f":"{CHILD}","of":"{run_log.id}"}}\n'.encode() in head:
            return True
        self._no_child[log] = len(head)
        return False


def has_lines(segments: list[Path], key: str, signal: Signal) -> bool:
    """Whether a log has lines for an endpoint, which does not need it no more."""
    said = f'"{key}":"{signal.what}"'.encode()
    return any(_contains(path, said) for path in segments) and not is_done(segments, key)


def _contains(path: Path, said: bytes) -> bool:
    try:
        return said in files.read_file(path)
    except OSError:
        return False
