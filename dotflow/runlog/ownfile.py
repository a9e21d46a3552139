"""Files of ours: regular, private, and known again by device and inode, not by a number."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

try:
    import fcntl
except ModuleNotFoundError:  # Windows, where the log stays in memory
    fcntl = None  # type: ignore[assignment]

PRIVATE = 0o600

HIGH = (500, 200)
"""Descriptors of ours begin here where that is possible: a program that closes what it believes to
be its own closes low numbers."""

_READ = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
_APPEND = _READ | os.O_RDWR | os.O_APPEND
_LOOKS = 10
FIRST_PAUSE, LAST_PAUSE = 0.002, 0.03
"""Seconds between two tries of whoever waits for a lock; they double."""

_NONBLOCK = getattr(os, "O_NONBLOCK", 0)  # a FIFO without it is waited for, for ever


class OwnFile:
    """A descriptor of a file of ours, to append to it and to read it, and how we know it again.

    In a forked child it is closed at once: its lock, and its place, are the parent's.

    Args:
        path: The file; it is made where it is not there.
        is_new: Whether it must not be there.

    Raises:
        OSError: The file cannot be opened, or is no regular file of ours alone.
    """

    __slots__ = ("__weakref__", "device", "fd", "inode", "path", "process")

    def __init__(self, path: Path, is_new: bool = False) -> None:
        self.fd = -1
        self.path = path
        self.process = os.getpid()
        flags = _APPEND | _NONBLOCK | os.O_CREAT | (os.O_EXCL if is_new else 0)
        fd = os.open(path, flags, PRIVATE)
        try:
            found = os.fstat(fd)
            check_is_ours(path, found, most_links=1)
            if stat.S_IMODE(found.st_mode) != PRIVATE and hasattr(os, "fchmod"):
                os.fchmod(fd, PRIVATE)  # whatever the umask was
            self.device, self.inode = found.st_dev, found.st_ino
            self.fd = _moved_up(fd)
        except BaseException:
            os.close(fd)
            raise
        _open.add(self)
        _holders[self.fd] = id(self)

    def is_ours(self, found: os.stat_result) -> bool:
        """Whether what the descriptor leads to is still the file that was opened, and there."""
        return found.st_ino == self.inode and found.st_dev == self.device and found.st_nlink > 0

    def is_open(self) -> bool:
        """Whether the descriptor still leads to the file that was opened."""
        try:
            return self.is_ours(looked_at(self.fd))
        except OSError:
            return False

    def read(self, start: int, size: int) -> bytes | None:
        """What is in the file, also where it was deleted; None where it is not open any more."""
        try:
            found = os.fstat(self.fd)
            if found.st_ino == self.inode and found.st_dev == self.device:
                return os.pread(self.fd, size, start)
        except OSError:
            return None
        return None

    def size(self) -> int | None:
        """How many bytes are in it; None where it is not open any more."""
        try:
            found = os.fstat(self.fd)
        except OSError:
            return None
        return found.st_size if found.st_ino == self.inode and found.st_dev == self.device else None

    def close(self) -> None:
        """Close the descriptor, unless it is not ours any more: then it is only forgotten."""
        fd, self.fd = self.fd, -1
        # Of the same file opened again under the same number, the other one is the holder.
        if fd < 0 or _holders.get(fd) != id(self):
            return
        del _holders[fd]
        try:
            found = os.fstat(fd)
            if found.st_ino == self.inode and found.st_dev == self.device:
                os.close(fd)
        except OSError:
            return

    def __del__(self) -> None:
        self.close()


_open: weakref.WeakSet[OwnFile] = weakref.WeakSet()
_holders: dict[int, int] = {}


def close_in_child() -> None:
    """Close what a forked child has of its parent: a lock is held until all have closed it."""
    for file in list(_open):
        if file.process != os.getpid():
            file.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=close_in_child)


def check_is_ours(path: Path, found: os.stat_result, most_links: int | None = None) -> None:
    """See that a file is a regular one, and the user's.

    Args:
        path: Where it is.
        found: What it is.
        most_links: Under how many names it may be there.

    Raises:
        OSError: It is not.
    """
    if not stat.S_ISREG(found.st_mode):
        raise OSError(f"{path} is no regular file")
    if hasattr(os, "getuid") and found.st_uid != os.getuid():
        raise PermissionError(f"{path} belongs to another user")
    if most_links is not None and found.st_nlink > most_links:
        raise OSError(f"{path} is another file too")


def _moved_up(fd: int) -> int:
    """The descriptor under a high number, where there is one."""
    for number in HIGH if fcntl is not None else ():
        try:
            high = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, number)
        except (OSError, ValueError):  # more than the process may have
            continue
        os.close(fd)
        return int(high)
    return fd


def _make_room() -> None:
    """Have the system's table of this process's descriptors reach up to ours.

    To enlarge it takes microseconds while there is one thread. Linux waits 10 to 20 ms for all its
    processors where there are more, and that would be in a first run.
    """
    with contextlib.suppress(OSError):
        os.close(_moved_up(os.open(os.devnull, _READ)))


_make_room()

SOON = 1e-4
"""Seconds that a look may take: after a longer one other threads have run meanwhile."""


def looked_at(fd: int) -> os.stat_result:
    """What a descriptor leads to right now, and not when this thread last had its turn.

    A look lets other threads in. One of them may close the number, and open its own file under it:
    a look that came back at once leaves them no time. That makes it improbable, not impossible.

    Raises:
        OSError: It leads to nothing.
    """
    for _ in range(_LOOKS):
        began = time.perf_counter()
        found = os.fstat(fd)
        if time.perf_counter() - began < SOON:
            break
    return found


def write_all(fd: int, data: bytes) -> None:
    """Write all of some bytes.

    Raises:
        OSError: Not all could be written.
    """
    written = os.write(fd, data)
    if written < len(data):
        left = len(data) - written
        raise OSError(errno.ENOSPC, f"{left} of {len(data)} bytes could not be written")


@contextlib.contextmanager
def opened_to_read(path: Path) -> Iterator[int]:
    """A descriptor of a regular file of ours; at the end it is closed, if it is still ours then.

    Raises:
        OSError: It is not there, no regular file of ours, or cannot be read.
    """
    fd = os.open(path, _READ | _NONBLOCK)
    found = os.fstat(fd)
    try:
        check_is_ours(path, found)
        yield fd
    finally:
        # A step may have closed all descriptors meanwhile, and opened its own under this number.
        with contextlib.suppress(OSError):
            now = looked_at(fd)
            if (now.st_ino, now.st_dev) == (found.st_ino, found.st_dev):
                os.close(fd)


def read_file(path: Path, start: int = 0, size: int | None = None) -> bytes:
    """What is in a regular file of ours, from an offset on.

    Raises:
        OSError: It is not there, no regular file of ours, or cannot be read.
    """
    with opened_to_read(path) as fd:
        left = max(0, os.fstat(fd).st_size - start) if size is None else size
        parts = []
        while left > 0 and (part := os.pread(fd, min(left, 2**20), start)):
            parts.append(part)
            start += len(part)
            left -= len(part)
        return b"".join(parts)


def lock(fd: int, patience: float = 0.0) -> bool:
    """Lock a file; False where another process has it.

    Args:
        fd: A descriptor of the file.
        patience: Seconds to try again.
    """
    if fcntl is None:
        return False
    deadline = time.monotonic() + patience
    pause = FIRST_PAUSE
    while not _try(fd, fcntl.LOCK_EX):
        if time.monotonic() >= deadline:
            return False
        # About so long, so that many who wait do not come together, and none comes first each time.
        time.sleep(pause * (0.5 + time.perf_counter_ns() % 512 / 1024))
        pause = min(2 * pause, LAST_PAUSE)
    return True


def is_locked(fd: int) -> bool:
    """Whether another process has locked a file."""
    return fcntl is not None and not _try(fd, fcntl.LOCK_SH)


def _try(fd: int, how: int) -> bool:
    try:
        fcntl.flock(fd, how | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
