"""Runs that are under way: whose the tasks are, who waits, and what is said if nobody does."""

from __future__ import annotations

import atexit
import threading
from typing import TYPE_CHECKING, Any

from dotflow.core import interrupt
from dotflow.core.forked import getpid
from dotflow.logging import logger

if TYPE_CHECKING:
    from dotflow.core.outcome import Outcome

_taken: dict[int, tuple[Outcome, list[Any], int]] = {}
"""By the id of a list of tasks: its run, the list, and the process that this is in."""

_running: dict[Outcome, int] = {}
"""Background runs. Each with its process, too, for a copy of that has the entries as well."""


def take(run: Outcome, tasks: list[Any]) -> None:
    """Have the tasks be those of one run, until `release`.

    Raises:
        RuntimeError: Another run of them is under way.
    """
    mine = (run, tasks, getpid())
    theirs = _taken.setdefault(id(tasks), mine)
    if theirs is mine:
        return
    if theirs[2] == getpid():
        raise RuntimeError(
            f"{run._title} is running already, and its tasks have one run at a time: wait for its "
            "end, or make a DotFlow for each run"
        )
    _taken[id(tasks)] = mine


def release(run: Outcome, tasks: list[Any]) -> None:
    """Take back `take`, where it was this run's."""
    if id(tasks) in _taken and _taken[id(tasks)][0] is run:
        del _taken[id(tasks)]


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
            "The program ends while a run is still under way in the background, and stops it: %s. "
            "Call manager.wait() before the program ends.", ", ".join(cut),
        )  # fmt: skip
