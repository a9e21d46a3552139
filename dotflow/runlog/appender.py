"""How the log of this process takes lines, and how its files are made."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import threading
import time

from dotflow.process.forking import renew_in_child
from dotflow.process.variables import warn
from dotflow.runlog import carrying, files, history, life, lines, ownfile
from dotflow.runlog.complaints import Complaints
from dotflow.runlog.identity import Identity
from dotflow.runlog.segment import LostFileError, Segment

RETRY = 30.0
"""Seconds until a disk that could not be written is tried again."""

_TRIES = 3


class Appender:
    """Appends lines to the log of this process, which the first line makes.

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

    def _show(self) -> bool:
        before = self.id
        is_another = self._identity.show()
        if is_another:
            self._runs.began_in(before)
        return is_another


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
