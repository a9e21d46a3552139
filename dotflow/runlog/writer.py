"""The log of this process, and what its readers do to it."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from dotflow.runlog import carrying, files, history, limits
from dotflow.runlog.appender import Appender
from dotflow.runlog.identity import Identity
from dotflow.runlog.segment import Segment

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["RunLog", "Segment", "run_log"]

SEGMENT_BYTES = 16 * 2**20
"""Bytes after which a log goes on in another file."""

IDLE_BYTES = 2**18
"""Bytes after which it does so where nothing waits."""

PARTS = 4
"""Files that a history consists of at the least; the oldest one goes first."""


class RunLog(Appender):
    """The append-only log of this process, with what its readers do to it.

    Attributes:
        segments: The files that are needed, in order; the last one takes the lines.
        left_out: How many interim facts found no room.
    """

    def beat(self) -> None:
        """Give a sign of life, and see that it is still seen; called by a reader's thread."""
        with self._making:
            if not self._identity.is_seen():
                with contextlib.suppress(OSError):
                    if self._show():
                        self._made(carries=True)
            while self._identity.owed:
                self._take_along(self._identity.owed.pop())
            self._mend()

    def _take_along(self, before: str) -> None:
        """Have what others say of the log of before be void, and what was said of it be known."""
        paths = [one.path for one in self.segments if one.log == before and one.path]
        readers = list(self._readers)
        carrying.claim(before, paths, readers, self.id)
        to = next((one.path for one in self.segments if one.log == self.id and one.path), None)
        if to is not None:
            self._runs.carry_receipts(paths, to, readers)

    def _mend(self) -> None:
        """Try again what the disk did not take, and see how much waits."""
        for segment in self.segments:
            if segment.waits:
                segment.write_late()
        is_in_memory = bool(self.segments) and self.segments[-1].path is None
        if is_in_memory and time.monotonic() >= self._retry_at:
            segment_on_disk = self._on_disk()
            if segment_on_disk is not None:
                self._installed(segment_on_disk, carries=True)
        limit = limits.max_bytes()
        self._is_over = sum(segment.size for segment in self.segments) > limit
        if self._is_over:
            self._complaints.over(limit)

    def claimant(self) -> str | None:
        """The id under which this process may take over what others left; None where it cannot."""
        with self._making:
            if not self._identity.is_shown and self.is_durable:
                try:
                    self._identity.show()
                except OSError as error:
                    self._complaints.no_disk(str(error))
            return self.id if self._identity.is_shown else None

    def roll(self, is_idle: bool = False) -> None:
        """Go on in another file where this one is long; called by a reader's thread.

        Args:
            is_idle: Whether nothing waits: then a shorter one is long enough.
        """
        segment = self.segments[-1] if self.segments else None
        if segment is None or segment.size < _long_enough(is_idle):
            return
        with self._making:
            if self.segments and self.segments[-1] is segment:
                self._made()

    def done(self, segment: Segment, reader: str) -> None:
        """Learn that a reader needs a file no more; without readers it is deleted."""
        self._done.setdefault(segment.number, set()).add(reader)
        if self.segments and segment is not self.segments[-1] and self._is_done(segment):
            self._delete(segment)

    def has_others(self, key: str) -> bool:
        """Whether somebody else reads the log, who would have it go on."""
        return bool(self._present - {key})

    def leave(self, key: str) -> None:
        """Learn that a reader has ended; with the last one the log is released, see `close`."""
        self._present.discard(key)
        if not self._present:
            self.close()

    def hand_over(self, readers: set[str]) -> None:
        """Leave what was written to who reads it in another process; what comes is another log's.

        Nothing is left as long as a run of this process is in it, or somebody here reads it.

        Args:
            readers: The keys of those of which none reads it here.
        """
        if self.segments and self._present <= readers and not self._runs.names():
            self.close()

    def close(self) -> None:
        """Delete what all readers are done with, and release the rest to the next process."""
        with self._making:
            found, self.segments = self.segments, []
            for segment in found:
                segment.is_final = True
                segment.write_late()
            is_done = all(self._is_done(one) for one in found)
            for segment in found:
                segment.close()
            identity, self._identity = self._identity, Identity()
            self._done.clear()
            self._runs.clear()
            self._retry_at = float("-inf")
        # To keep a file takes a moment, in which others may go on with a log of another id.
        for segment in found if is_done else ():
            _unlink(segment, self._readers, is_hurried=True)
        identity.end(is_done)

    def _is_done(self, segment: Segment) -> bool:
        """Whether all readers are done with a file; one that has left needs what is for it."""
        missing = set(self._readers) - self._done.get(segment.number, set())
        return not missing or (
            not missing & self._present and not carrying.speaks_to(segment.path, missing)
        )

    def _delete(self, segment: Segment) -> None:
        with contextlib.suppress(ValueError):
            self.segments.remove(segment)
        self._done.pop(segment.number, None)
        segment.close()
        _unlink(segment, self._readers)
        if all(one.log != segment.log for one in self.segments):
            self._identity.let_go(segment.log)


def _unlink(segment: Segment, readers: Iterable[str], is_hurried: bool = False) -> None:
    path = segment.path
    if path is None:
        return
    for one in (path, *(files.receipts_path(path, reader) for reader in readers)):
        with contextlib.suppress(OSError):
            files.delete(one, is_hurried)


def _long_enough(is_idle: bool) -> int:
    """Bytes after which a file is followed by another: of a small history all goes by parts."""
    kept = history.wanted()
    if is_idle:
        return min(SEGMENT_BYTES, IDLE_BYTES)
    return min(SEGMENT_BYTES, max(IDLE_BYTES, kept // PARTS) if kept else SEGMENT_BYTES)


run_log = RunLog()
"""The log of this process."""
