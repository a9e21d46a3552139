"""Background runs that are under way: who waits for them, and what is said if nobody does."""

from __future__ import annotations

import atexit
import threading
from typing import TYPE_CHECKING

from dotflow.core import interrupt
from dotflow.core.forked import getpid
from dotflow.logging import logger

if TYPE_CHECKING:
    from dotflow.core.outcome import Outcome

_running: dict[Outcome, int] = {}
"""Each with the process that it runs in, for a copy of that has the entry too."""


def began(run: Outcome) -> None:
    """Have the end of the program say it, if a run is under way by then."""
    _running[run] = getpid()


def ended(run: Outcome) -> None:
    """Take back `began`."""
    _running.pop(run, None)


def wait(thread: threading.Thread, over: threading.Event, timeout: float | None) -> None:
    """Wait for a run in another thread to be over.

    Args:
        thread: Its thread.
        over: Set at its end.
        timeout: Seconds to wait at most, or None.

    Raises:
        RuntimeError: The thread itself waits.
        Interrupted: The end was asked for.
    """
    if thread is threading.current_thread():
        raise RuntimeError(
            "wait() is called by the run itself: only another thread can wait for it"
        )
    # Not only `join`: what interrupts that leaves a thread that seems to have ended. A copy of the
    # process has no such thread.
    if thread.is_alive() and interrupt.wait(over, timeout):
        thread.join()


@atexit.register
def _say() -> None:
    here = getpid()
    cut = [run._title for run, process in list(_running.items()) if process == here]
    if cut:
        logger.warning(
            "The program ends, and with it what still runs in the background, before its end: %s. "
            "Call manager.wait() before the program ends.", ", ".join(cut),
        )  # fmt: skip
