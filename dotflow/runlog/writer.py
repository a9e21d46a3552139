"""The log of this process: what `append` has taken survives the process."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import threading
import time
from typing import TYPE_CHECKING

from dotflow.process.forking import renew_in_child
from dotflow.process.variables import warn
from dotflow.runlog import carrying, files, history, life, limits, lines, ownfile
from dotflow.runlog.complaints import Complaints
from dotflow.runlog.identity import Identity
from dotflow.runlog.segment import LostFileError, Segment

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["RunLog", "Segment", "run_log"]

SEGMENT_BYTES = 16 * 2**20
"""Bytes after which a log goes on in another file."""

IDLE_BYTES = 2**18
"""Bytes after which it does so where nothing waits."""

PARTS = 4
"""Files that a history consists of at the least; the oldest one goes first."""

RETRY = 30.0
"""Seconds until a disk that could not be written is tried again."""

_TRIES = 3


class RunLog:
    """The append-only log of this process; made by the first line that is appended.

    Nothing on the way of a line takes a lock. Where no disk can be written there is one warning,
    and the lines are in memory.

    Attributes:
        segments: The files that are needed, in order; the last one takes the lines.
        left_out: How many interim facts found no room.
    """

    def __init__(self) -> None:
        self._readers: dict[str, str] = {}
        self._present: set[str] = set()
        self._named: set[str] = set()
        self._complaints = Complaints()
        self._begin()
        renew_in_child(self)

    def _begin(self) -> None:
        self._identity = Identity()
        self.process = os.getpid()
        self.segments: list[Segment] = []
        self.left_out = 0
        self._making = threading.RLock()
        self._numbers = itertools.count(1)
        self._done: dict[int, set[str]] = {}
        self._runs = carrying.OpenRuns()
        self._theirs: frozenset[bytes] = frozenset()
        self._is_over = False
        self._retry_at = float("-inf")

    @property
    def id(self) -> str:
        """32 hex digits, of 128 random bits; another one in a forked child."""
        return self._identity.id

    @property
    def is_durable(self) -> bool:
        """Whether what waits survives the process."""
        segments = self.segments
        return segments[-1].path is not None if segments else _is_wanted()

    def renew(self) -> None:
        """Begin another log in a forked child: this one is the parent's."""
        ownfile.close_in_child()
        theirs = self._theirs | self._runs.names()
        self._begin()
        self._theirs = theirs

    def read_by(self, key: str, name: str) -> None:
        """Have lines be for a reader: it is named at the head of each file.

        Args:
            key: What stands for it in lines (see `files.reader_key`).
            name: What people call the destination; without credentials, for it is written down.
        """
        # Before the first line: a signal handler may append while a folder is looked for.
        with contextlib.suppress(OSError):
            files.state_dir()
        self._present.add(key)
        self._readers[key] = name
        if self.segments and key not in self._named:
            self._named.add(key)
            self.append(_reader_line(key, name))

    def hold(self, key: str) -> None:
        """Have the log go on until somebody leaves who does not read it (see `leave`)."""
        self._present.add(key)

    # On the workflow's path.

    def append(self, line: bytes) -> None:
        """Keep a line, which ends with a newline; called on the workflow's path.

        When this returns the line survives the process, unless only memory is left.
        """
        process = os.getpid()
        if self.process != process:  # a fork that told nobody
            self.renew()
        if self._is_over and line.startswith(lines.INTERIM):
            self.left_out += 1
            return
        if self._theirs and carrying.name_of(line) in self._theirs:
            return  # what a step forked is not the process of the run, and has no word in it
        segment = None
        try:
            segment = self.segments[-1]
            is_taken = segment.append(line)
        except (LostFileError, IndexError) as error:
            if os.getpid() != process:  # a handler has forked meanwhile: the parent writes it
                return
            self._complaints.lost_file(error)
            is_taken = self._append_to_another(line, segment)
        if not is_taken:
            self._complaints.no_disk("the disk is full")
        if line[6:9] == b"run":
            self._runs.note(line)

    def _append_to_another(self, line: bytes, lost: Segment | None) -> bool:
        """Append where the last file is gone, full, or was never made."""
        for _ in range(_TRIES):
            segment = self._another(lost)
            try:
                return segment.append(line)
            except LostFileError:
                lost = segment
        with self._making:  # somebody takes each of our files away
            return self._made(carries=True, in_memory=True).append(line)

    def _another(self, lost: Segment | None) -> Segment:
        """The segment that takes lines now, which is not the one that is lost."""
        with self._making:
            segment = self.segments[-1] if self.segments else None
            if segment is not None and segment is not lost:
                return segment
            return self._made(carries=segment is not None)

    # Making files.

    def _made(self, carries: bool = False, in_memory: bool = False) -> Segment:
        """Make a segment, and have it take the lines from now on.

        A handler that interrupts this makes one of its own: the last that was made counts.

        Args:
            carries: Whether it repeats how the runs began that are under way.
            in_memory: Whether no file is to be tried.
        """
        segment = None
        if not in_memory and time.monotonic() >= self._retry_at:
            segment = self._on_disk()
        if segment is None:
            segment = Segment(self.id, next(self._numbers), None, self._present)
        return self._installed(segment, carries)

    def _on_disk(self) -> Segment | None:
        if not _is_wanted():
            return None
        try:
            self._show()
            number = next(self._numbers)
            return Segment(self.id, number, files.log_path(self.id, number), self._present)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with the disk
            self._retry_at = time.monotonic() + RETRY
            self._complaints.no_disk(str(error))
            return None

    def _installed(self, segment: Segment, carries: bool) -> Segment:
        # Those that have ended are not named again, unless lines may be for no others.
        self._named = self._present & set(self._readers) or set(self._readers)
        head = [_head(segment)]
        head += [_reader_line(key, self._readers[key]) for key in sorted(self._named)]
        if carries:
            head += self._runs.carried(self.id)
        with contextlib.suppress(LostFileError):  # then the line that comes finds out
            segment.append(b"".join(head))
        self.segments.append(segment)
        for one in self.segments[:-1]:
            one.is_final = True
        return segment

    # What readers call.

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

    def _show(self) -> bool:
        before = self.id
        is_another = self._identity.show()
        if is_another:
            self._runs.began_in(before)
        return is_another

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


def _is_wanted() -> bool:
    given = os.environ.get("DOTFLOW_OUTBOX", "").strip().lower()
    if given not in ("", "disk", "memory", "network"):
        warn(f"DOTFLOW_OUTBOX is {given!r}: it may be 'disk' (and is), 'memory' or 'network'.")
    return given != "memory"


def _head(segment: Segment) -> bytes:
    said = {
        "f": "log", "v": lines.VERSION, "id": segment.log, "segment": segment.number,
        "at": time.time_ns(), **life.who(),
    }  # fmt: skip
    if kept := history.wanted():
        said[history.FIELD] = kept
    return json.dumps(said, separators=(",", ":")).encode() + b"\n"


def _reader_line(key: str, name: str) -> bytes:
    said = {"f": "reader", "key": key, "name": name}
    return json.dumps(said, separators=(",", ":")).encode() + b"\n"


run_log = RunLog()
"""The log of this process."""
