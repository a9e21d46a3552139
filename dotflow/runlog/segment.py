"""One file of a log, or lines in memory: where `append` puts a line."""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from dotflow.runlog.ownfile import OwnFile, looked_at, read_file

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

LATE = b" "
"""Before a line that the disk took late: readers of this process have it from memory."""

WORTH_A_FILE = 64 * 1024
"""Bytes from which on a file that may grow no further is followed by another."""

SLOW = 0.002
"""Seconds from which on a write has held up the other threads."""

PATIENCE = 0.05
"""Seconds that all slow writes of the process may take together."""

LOCAL = frozenset({
    0xEF53,  # ext2 to ext4
    0x58465342,  # XFS
    0x9123683E,  # Btrfs
    0x2FC12FC1,  # ZFS
    0xF2F52010,  # F2FS
    0xCA451A4E,  # bcachefs
    0x01021994,  # tmpfs
    0x794C7630,  # overlayfs, as in containers
})  # fmt: skip
"""File systems of a local disk, or of memory, by the `f_type` of statfs(2)."""

_EMPTY_PATH, _BASIC = 0x1000, 0x7FF  # of statx(2)

_spent = 0.0


class LostFileError(Exception):
    """The segment takes no more lines: another has followed it, or its file is not ours any more.

    Attributes:
        why: What became of the file; empty where another segment has followed.
    """

    def __init__(self, why: str = "") -> None:
        super().__init__(why)
        self.why = why


class Calls(NamedTuple):
    """How a file is looked at and written to.

    Attributes:
        look: Takes a descriptor; what it leads to, as `os.fstat` has it, until the next look.
        write: Takes a descriptor and bytes; how many were written, as `os.write` does.
        device: What a look at the file calls its device.
    """

    look: Any
    write: Any
    device: int


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
        self._calls = None if self._file is None else calls_of(self._file)
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


# Calls that keep the interpreter's lock.
#
# `os.fstat` and `os.write` let other threads in. A thread that computes takes its turn there, and
# the workflow waits up to five milliseconds for its own: a thousand times what the call takes. So
# where a file is on a local disk, and only there, the calls keep the lock; nothing comes between
# them either. Once such writes have held up the other threads too long in all, they let them in
# again.


def calls_of(file: OwnFile) -> Calls:
    """What looks at a file and writes to it."""
    return calls_for(file.fd) or Calls(looked_at, os.write, file.device)


def calls_for(fd: int) -> Calls | None:
    """What looks at and writes to a file, and keeps the interpreter's lock; None where not."""
    if sys.platform != "linux" or struct.calcsize("l") != 8:  # noqa: PLR2004 - as laid out below
        return None
    with contextlib.suppress(ImportError, AttributeError, OSError, ValueError):
        new_look, write = _made()
        look = new_look()
        if _file_system(fd) in LOCAL and _agree(look(fd), os.fstat(fd)):
            return Calls(look, write, look(fd).st_dev)
    return None


def _agree(one: Any, other: os.stat_result) -> bool:
    names = ("st_ino", "st_nlink", "st_size")
    device = os.makedev(one.st_dev & 0xFFFFFFFF, one.st_dev >> 32)
    return device == other.st_dev and all(
        getattr(one, name) == getattr(other, name) for name in names
    )


def _file_system(fd: int) -> int:
    import ctypes

    found = ctypes.create_string_buffer(512)
    if ctypes.CDLL(None, use_errno=True).fstatfs(fd, found) != 0:
        raise OSError(ctypes.get_errno(), "fstatfs")
    (kind,) = struct.unpack_from("l", found)
    return int(kind)


Made = tuple[Callable[[], Callable[[int], Any]], Callable[[int, bytes], int]]
"""What makes a look for one file, and what writes to any."""

_made_calls: Made | None = None


def _made() -> Made:
    global _made_calls  # noqa: PLW0603 - made once, by the first file
    if _made_calls is None:
        _made_calls = _make()
    return _made_calls


def _make() -> Made:
    import ctypes  # here, for most programs have no run log

    libc = ctypes.PyDLL(None, use_errno=True)
    get_errno, clock = ctypes.get_errno, time.perf_counter

    class Look(ctypes.Structure):
        """`struct statx`, which is the same on all machines; `st_dev` is two numbers in one."""

        _fields_ = (
            ("_before", ctypes.c_uint32 * 4),
            ("st_nlink", ctypes.c_uint32),
            ("_owner", ctypes.c_uint32 * 2),
            ("_mode", ctypes.c_uint16 * 2),
            ("st_ino", ctypes.c_uint64),
            ("st_size", ctypes.c_uint64),
            ("_between", ctypes.c_uint64 * 11),
            ("st_dev", ctypes.c_uint64),
            ("_after", ctypes.c_uint64 * 14),
        )

    # Of `statx` no types are declared, for each would be asked again whether its value is one.
    statx, put = libc["statx"], libc.write
    put.argtypes, put.restype = (
        (ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t), ctypes.c_ssize_t,
    )  # fmt: skip

    def new_look() -> Callable[[int], Look]:
        # One for all looks at a file: whoever comes between a look and what is made of it, another
        # thread or a signal handler, leaves what is newer.
        found = Look()
        place = ctypes.c_void_p(ctypes.addressof(found))

        def look(fd: int) -> Look:
            if statx(fd, b"", _EMPTY_PATH, _BASIC, place):
                raise OSError(get_errno(), "statx")
            return found

        return look

    def write(fd: int, data: bytes) -> int:
        global _spent  # noqa: PLW0603 - of the process
        if _spent > PATIENCE:
            return os.write(fd, data)
        began = clock()
        size = put(fd, data, len(data))
        took = clock() - began
        if took > SLOW:
            _spent += took
        if size < 0:
            raise OSError(get_errno(), "write")
        return int(size)

    return new_look, write
