"""Workers: processes that others made, and may end without their exit handlers."""

from __future__ import annotations

import os
import sys

from dotflow.process import at_exit

LONGEST_WAIT = 1.0
"""Seconds that the end of a run in a worker waits for delivery, at most."""

_is_forked = False


def is_one() -> bool:
    """Whether this process may be ended at any time, without a word.

    A daemonic child of `multiprocessing` (of a Pool) is ended by a signal. One that was forked by
    other means (by Celery's billiard, RQ, or a program's own hand) ends by `os._exit`, most
    likely. Other children of `multiprocessing`, and spawned processes, run their exit handlers.
    """
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None:
        return bool(process.current_process().daemon)
    return _is_forked


def wait() -> float:
    """Seconds that the end of a run waits for delivery; 0 where this process is no worker."""
    return min(LONGEST_WAIT, at_exit.flush_timeout()) if is_one() else 0.0


def _note() -> None:
    global _is_forked  # noqa: PLW0603 - there is one process
    _is_forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note)
