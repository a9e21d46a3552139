"""A look at a descriptor, and a write to it, that keep the interpreter's lock.

`os.fstat` and `os.write` let other threads in. A thread that computes takes its turn there, and the
workflow waits up to five milliseconds for its own: a thousand times what the call takes. So where
a file is on a local disk, and only there, the calls keep the lock; nothing comes between them
either. Once such writes have held up the other threads too long in all, they let them in again.
"""

from __future__ import annotations

import contextlib
import os
import struct
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

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

_calls: Made | None = None


def _made() -> Made:
    global _calls  # noqa: PLW0603 - made once, by the first file
    if _calls is None:
        _calls = _make()
    return _calls


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

    statx, put = libc.statx, libc.write
    statx.argtypes = (
        ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p,
    )  # fmt: skip
    put.argtypes, put.restype = (
        (ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t), ctypes.c_ssize_t,
    )  # fmt: skip

    def new_look() -> Callable[[int], Look]:
        # One for all looks at a file: whoever comes between a look and what is made of it, another
        # thread or a signal handler, leaves what is newer.
        found = Look()
        address = ctypes.addressof(found)

        def look(fd: int) -> Look:
            if statx(fd, b"", _EMPTY_PATH, _BASIC, address):
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
