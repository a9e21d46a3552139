"""Processes that end without a word, and what dotflow has written by then."""

from __future__ import annotations

import os
import signal
import time
import traceback
from multiprocessing import Pipe
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

    Say = Callable[[Any], None]
    """Called by a doomed process at each point of its progress, with what it wants to tell."""

WATCHDOG = 120
"""Seconds after which a doomed process that makes no progress is ended, as a failure."""


class Doomed:
    """A forked process that works until it is killed.

    Args:
        work: What it does; called with what says that there is some progress.
    """

    def __init__(self, work: Callable[[Say], object]) -> None:
        self.said: list[Any] = []
        self._points, write_end = Pipe(duplex=False)
        self._pid = os.fork()
        if not self._pid:
            self._live(work, write_end)
        write_end.close()

    def dies(self, after: int | None = None, pause: float = 0.0) -> list[Any]:
        """Kill it (SIGKILL) at a point of its progress.

        Args:
            after: How many points it is to have come to; without it, all that there are: its work
                is done, and it still lives.
            pause: Seconds that it goes on after that point.

        Returns:
            What it had said at each point that was waited for.

        Raises:
            AssertionError: It ended by itself, or has not come so far.
        """
        is_done = self.comes_to(after)
        time.sleep(pause)
        os.kill(self._pid, signal.SIGKILL)
        _, status = os.waitpid(self._pid, 0)
        self._points.close()
        assert os.WIFSIGNALED(status), f"a doomed process ended by itself: {status}"
        assert os.WTERMSIG(status) == signal.SIGKILL, status
        assert after is None or not is_done, f"its work was done after {len(self.said)} points"
        return self.said

    def comes_to(self, after: int | None) -> bool:
        """Wait until it has come so far, see `dies`; whether its work is done."""
        is_done = False
        while not is_done and (after is None or len(self.said) < after):
            is_done, value = self._read()
            if not is_done:
                self.said.append(value)
        return is_done

    @staticmethod
    def _live(work: Callable[[Say], object], write_end: Connection) -> None:
        signal.alarm(WATCHDOG)
        try:
            work(lambda value=None: write_end.send((False, value)))
            write_end.send((True, None))
            while True:
                signal.pause()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)

    def _read(self) -> tuple[bool, Any]:
        try:
            return self._points.recv()
        except EOFError:
            _, status = os.waitpid(self._pid, 0)
            raise AssertionError(f"a doomed process ended by itself: {status}") from None


def dies(work: Callable[[Say], object], after: int | None = None) -> list[Any]:
    """Have a process of its own work, and kill it at a point of its progress.

    Args:
        work: What it does; called with what says that there is some progress.
        after: At which point; without it, when its work is done.

    Returns:
        What it had said by then.

    Raises:
        AssertionError: It ended by itself.
    """
    return Doomed(work).dies(after)


def status_of(work: Callable[[], object]) -> int:
    """The exit status of a forked child that does some work, for a minute at most.

    Args:
        work: What it does. If that comes to something true the status is 0, else 1; 2 if it raises.
    """
    pid = os.fork()
    if not pid:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(60)
        try:
            os._exit(0 if work() else 1)
        except BaseException:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def succeeds(work: Callable[[], object]) -> bool:
    """Whether some work, in a forked child, comes to a true end within a minute."""
    return status_of(work) == 0


def files_of_ours(folder: Path | str) -> list[Path]:
    """All regular files that are under a state folder, in whatever format.

    Raises:
        AssertionError: There is none, so nothing could be found out about them.
    """
    files = sorted(one for one in Path(folder).rglob("*") if one.is_file() and not one.is_symlink())
    assert files, f"there is no file under {folder}"
    return files
