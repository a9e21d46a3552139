"""One file of a log, or lines in memory: where `append` puts a line."""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING, Any

from dotflow.runlog.ownfile import OwnFile, looked_at, read_file
from dotflow.runlog.quick import Calls, calls_for

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

LATE = b" "
"""Before a line that the disk took late: readers of this process have it from memory."""

WORTH_A_FILE = 64 * 1024
"""Bytes from which on a file that may grow no further is followed by another."""


class LostFileError(Exception):
    """The segment takes no more lines: another has followed it, or its file is not ours any more.

    Attributes:
        why: What became of the file; empty where another segment has followed.
    """

    def __init__(self, why: str = "") -> None:
        super().__init__(why)
        self.why = why


class Segment:
    """One file of the log, or lines in memory where there is none.

    Args:
        log: The id of the log.
        number: Its place among the segments of this process.
        path: The file; None in memory.
        readers: Who is to read it, by key.

    Attributes:
        lines: What is in memory, in order: all, or what the disk did not take. None stands in the
            place of a line that nobody needs any more.
        is_final: Whether another segment has followed.

    Raises:
        OSError: The file cannot be made.
    """

    __slots__ = (
        "_calls", "_file", "_freed", "_is_torn", "_late", "_positions", "_readers", "_size",
        "_under_way", "is_final", "lines", "log", "number", "path",
    )  # fmt: skip

    def __init__(
        self, log: str, number: int, path: Path | None, readers: Collection[str] = ()
    ) -> None:
        self.log = log
        self.number = number
        self.path = path
        self.is_final = False
        self.lines: list[bytes | None] = []
        self._file = None if path is None else OwnFile(path, is_new=True)
        self._calls = None if self._file is None else _calls(self._file)
        self._size = 0
        self._is_torn = False
        self._late = self._freed = 0
        self._readers = readers
        self._positions: dict[int, int] = {}
        self._under_way: list[None] = []

    def append(self, line: bytes) -> bool:
        """Take a line that ends with a newline; False where it is in memory for want of room.

        Takes no lock, so that any thread, signal handler or finalizer may append at any instant:
        each line is one write to a file that is open for appending.

        Raises:
            LostFileError: It is not taken.
        """
        under_way = self._under_way
        under_way.append(None)
        try:
            # Who came before this is waited for (see `is_quiet`), and who comes after it goes on.
            if self.is_final:
                raise LostFileError
            file, calls = self._file, self._calls
            if file is None or calls is None:
                self.lines.append(line)
                self._size += len(line)
                return True
            known = self._size  # before the look: another thread may write after it
            try:
                found = calls.look(file.fd)
            except OSError:
                raise LostFileError("was closed") from None
            if found.st_ino != file.inode or found.st_dev != calls.device:
                raise LostFileError("was closed")  # and another opened under its number
            if not found.st_nlink:
                raise LostFileError("was deleted")
            if found.st_size < known:
                raise LostFileError("was truncated")
            self._size = found.st_size
            return self._written(file.fd, line, calls.write)
        finally:
            under_way.pop()

    def _written(self, fd: int, line: bytes, put: Callable[[int, bytes], int]) -> bool:
        if self._is_torn:  # so that readers skip the piece, and nothing else
            self._is_torn, line = False, b"\n" + line
        try:
            # After a short write once more: it may have been a signal, or else says what it is.
            if put(fd, line) == len(line) or put(fd, b"\n" + line) > len(line):
                return True
        except OSError as error:
            if error.errno == errno.EBADF:
                raise LostFileError("was closed") from None
            if error.errno == errno.EFBIG and self._size > WORTH_A_FILE:
                raise LostFileError from None
        self._is_torn = True  # if nothing was torn there is an empty line
        self.lines.append(line)
        return False

    @property
    def is_quiet(self) -> bool:
        """Whether no append is under way."""
        return not self._under_way

    @property
    def size(self) -> int:
        """About how many bytes are in it."""
        return self._size

    @property
    def waits(self) -> bool:
        """Whether there are lines that the disk did not take."""
        return self._file is not None and self._late < len(self.lines)

    def write_late(self) -> bool:
        """Write what the disk did not take, where there is room again; one thread at a time.

        Returns:
            Whether the disk has all.
        """
        file = self._file
        while file is not None and self._late < len(self.lines):
            line = self.lines[self._late]
            data = b"\n" + LATE + (line or b"").lstrip(b"\n")
            if not file.is_open():
                return False
            try:
                written = os.write(file.fd, data)
            except OSError:
                return False
            if written < len(data):
                self._is_torn = True
                return False
            self._late += 1
        self._free()
        return True

    def read_file(self, start: int, size: int) -> bytes:
        """What is in the file from an offset on, also where somebody else has deleted it.

        Raises:
            OSError: It cannot be read.
        """
        found = None if self._file is None else self._file.read(start, size)
        return read_file(self.path, start, size) if found is None and self.path else found or b""

    @property
    def file_size(self) -> int:
        """How many bytes are in the file; 0 where it is gone."""
        found = None if self._file is None else self._file.size()
        if found is None and self.path is not None:
            with contextlib.suppress(OSError):
                found = self.path.stat().st_size
        return found or 0

    def read_memory(self, reader: Any, position: int, most: int) -> list[bytes | None]:
        """The lines in memory from a position on; they are freed when all readers have them.

        Args:
            reader: Who reads.
            position: How many it has.
            most: How many it wants.
        """
        self._positions[id(reader)] = position
        self._free()
        return self.lines[position : position + most]

    def _free(self) -> None:
        if len(self._positions) < max(1, len(self._readers)):
            return
        until = min(self._positions.values())
        if self._file is not None:
            until = min(until, self._late)
        freed = self._freed
        if until > freed:  # their places stay, so that no position has to change
            self.lines[freed:until] = [None] * (until - freed)
            self._freed = until

    def close(self) -> None:
        """Release the file."""
        if self._file is not None:
            self._file.close()


def _calls(file: OwnFile) -> Calls:
    """What looks at a file and writes to it."""
    return calls_for(file.fd) or Calls(looked_at, os.write, file.device)
