"""Ends a child in the midst of its step when the process that runs the workflow is gone."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from typing import TYPE_CHECKING, Any, NamedTuple

from dotflow.process.forking import renew_in_child

fcntl: Any
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

if TYPE_CHECKING:
    from collections.abc import Iterator

SET_SIGNAL = getattr(fcntl, "F_SETSIG", None)
"""What names the signal that a pipe sends; only Linux has it."""


class _Pipe(NamedTuple):
    """The two ends of a pipe, and what tells it from what a program opens under their numbers."""

    read: int
    write: int
    identity: tuple[int, int]


class Lifeline:
    """A pipe of which this process holds an end for as long as it lives, and no forked child does.

    Not the pipe that `multiprocessing` has for this: each child has that of those before it, and
    hands it on to all that its step forks.
    """

    def __init__(self) -> None:
        self._mine: _Pipe | None = None
        self._parents: _Pipe | None = None
        renew_in_child(self)

    def hold(self) -> None:
        """Have a pipe, before a child is forked; a step may have closed the one that there was."""
        if SET_SIGNAL is None:
            return
        mine = self._mine
        if mine is None or not all(_is(fd, mine.identity) for fd in mine[:2]):
            read, write = os.pipe()
            self._mine = _Pipe(read, write, _identity(read))

    def renew(self) -> None:
        """In a forked child, leave that end to the parent."""
        self._parents, self._mine = self._mine, None
        if self._parents is not None:
            _close(self._parents.write, self._parents.identity)

    def take(self) -> int | None:
        """The end from which a child learns of its parent's death, once; None without any."""
        parents, self._parents = self._parents, None
        if parents is not None:
            with contextlib.suppress(OSError):
                # Opened anew: what a pipe sends it sends to one process for each time it is opened.
                try:
                    return os.open(f"/proc/self/fd/{parents.read}", os.O_RDONLY | os.O_NONBLOCK)
                finally:
                    _close(parents.read, parents.identity)
            return None
        process = multiprocessing.parent_process()  # of one that was spawned, and copied no pipe
        return None if process is None else os.dup(process.sentinel)


lifeline = Lifeline()


@contextlib.contextmanager
def tethered() -> Iterator[None]:
    """Have Linux kill this process if its parent ends meanwhile, however that ends.

    Nobody would take the result of the step, and whoever runs the workflow again would run it
    beside this one. No signal handler, thread or look is needed: a pipe whose other end closes
    sends a signal. Other systems send none.
    """
    process = os.getpid()
    pipe = None if SET_SIGNAL is None else lifeline.take()
    if pipe is None:
        yield
        return
    identity = _identity(pipe)
    with contextlib.suppress(OSError):  # of a kernel that does not know it
        fcntl.fcntl(pipe, fcntl.F_SETOWN, process)
        fcntl.fcntl(pipe, SET_SIGNAL, signal.SIGKILL)
        fcntl.fcntl(pipe, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
    try:
        yield
    finally:
        # A copy that a step made of this process shares the pipe, and lets it be.
        if process == os.getpid() and _is(pipe, identity):
            fcntl.fcntl(pipe, fcntl.F_SETFL, os.O_NONBLOCK)
            os.close(pipe)


def _identity(fd: int) -> tuple[int, int]:
    found = os.fstat(fd)
    return found.st_dev, found.st_ino


def _is(fd: int, identity: tuple[int, int]) -> bool:
    """Whether a number leads to a pipe still, and to no file that a step has opened since."""
    try:
        return _identity(fd) == identity
    except OSError:
        return False


def _close(fd: int, identity: tuple[int, int]) -> None:
    if _is(fd, identity):
        os.close(fd)
