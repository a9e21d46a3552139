"""How a worker on this machine tells that a step began, before it ends: over a FIFO.

An executor has no way back from a step but its result. A job names a FIFO; a worker on another
machine finds none under that name, and goes on.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import socket
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dotflow.core.children.start_method import green_threads
from dotflow.logging import logger

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE = 2.0
"""Seconds to wait for what is in the FIFO already to be read."""

OLD = 60.0
"""Seconds after which a FIFO that nobody reads is one that a killed process has left."""

_FOLDER, _NAME = "dotflow-began-", "began"
_STOP, _MARK = b"stop", b"mark"


class Beginning(NamedTuple):
    """A step began, or a further try of it.

    Attributes:
        at_ns: When by the worker's clock, in nanoseconds since the epoch.
        host: The name of the worker's host; empty where it is not known.
        process: The number of its process there.
        attempt: Which try, from the second one on; 0 for the step itself.
    """

    at_ns: int
    host: str = ""
    process: int = 0
    attempt: int = 0


def tell(path: str, number: int, beginning: Beginning) -> bool:
    """Tell that a step began; called on its worker.

    Args:
        path: The FIFO; empty where there is none.
        number: The number of the step's flight.
        beginning: What there is to say.

    Returns:
        Whether somebody on this machine hears it.
    """
    at_ns, name, process, attempt = beginning
    line = f"{number} {at_ns} {process} {attempt} {name}\n"
    return _write(path, line.encode())  # short enough to be whole


def is_heard(path: str) -> bool:
    """Whether somebody on this machine still hears what is told there."""
    return _write(path, b"")


def _write(path: str, said: bytes) -> bool:
    # The parent may be on another machine, or be gone.
    try:
        end = os.open(path, os.O_WRONLY | os.O_NONBLOCK) if path else -1
    except OSError:
        return False
    if end < 0:
        return False
    with contextlib.suppress(OSError):  # or have no time to read
        os.write(end, said)
    os.close(end)
    return True


@functools.cache
def _sweep() -> None:
    """Remove what killed processes have left; once a process."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_FOLDER}*"):
        with contextlib.suppress(OSError):
            is_old = time.time() - folder.stat().st_mtime > OLD
            if is_old and not is_heard(str(folder / _NAME)):
                shutil.rmtree(folder, ignore_errors=True)


def host() -> str:
    """The name of this host."""
    return socket.gethostname()


class Beginnings:
    """Hears what workers tell, in a thread of its own.

    Args:
        heard: Called by that thread with the number of a flight and what was told.

    Attributes:
        path: The FIFO; empty where there can be none: then each beginning is learnt at the end.
    """

    def __init__(self, heard: Callable[[int, Beginning], None]) -> None:
        self.path = ""
        self._heard = heard
        self._marked = threading.Event()
        if not hasattr(os, "mkfifo") or green_threads():  # a green thread must not wait for it
            return
        try:
            with contextlib.ExitStack() as if_it_fails:
                self.path = self._open(if_it_fails)
                if_it_fails.pop_all()
        except (OSError, RuntimeError) as error:  # no room, or no thread
            logger.debug("Steps are not heard to begin before they end: %r", error)

    def _open(self, if_it_fails: contextlib.ExitStack) -> str:
        _sweep()
        folder = tempfile.mkdtemp(prefix=_FOLDER)
        if_it_fails.callback(shutil.rmtree, folder, ignore_errors=True)
        path = str(Path(folder, _NAME))
        os.mkfifo(path, 0o600)
        self._theirs = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        if_it_fails.callback(os.close, self._theirs)
        self._ours = os.open(path, os.O_WRONLY)  # with which it never seems to have ended
        if_it_fails.callback(os.close, self._ours)
        os.set_blocking(self._theirs, True)
        self._thread = threading.Thread(target=self._read, name="dotflow-began", daemon=True)
        self._thread.start()
        return path

    def catch_up(self) -> None:
        """Return once all that was told by now is heard."""
        if not self.path:
            return
        self._marked.clear()
        os.write(self._ours, _MARK + b"\n")
        self._marked.wait(PATIENCE)

    def close(self) -> None:
        """Hear no more; the FIFO and the thread are gone then."""
        if not self.path:
            return
        shutil.rmtree(Path(self.path).parent, ignore_errors=True)
        self.path = ""
        os.write(self._ours, _STOP + b"\n")
        self._thread.join()
        for end in (self._theirs, self._ours):
            os.close(end)

    def _read(self) -> None:
        rest = b""
        while True:
            *lines, rest = (rest + os.read(self._theirs, 65536)).split(b"\n")
            for line in lines:
                if line == _STOP:
                    return
                if line == _MARK:
                    self._marked.set()
                else:
                    self._take(line)

    def _take(self, line: bytes) -> None:
        try:
            number, at_ns, process, attempt, name = line.decode().split(" ", 4)
            told = int(number), Beginning(int(at_ns), name, int(process), int(attempt))
        except ValueError:  # nothing that a worker of ours has said
            return
        self._heard(*told)
