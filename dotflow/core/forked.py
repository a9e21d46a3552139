"""What forks mean to a run: copies of the process, which a step made and did not end.

Only the process in which a run (or a child's job) began has a say in it. A copy that comes back
from a step reports nothing, keeps nothing and runs nothing more of the run.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import traceback
from typing import Any

getpid = os.getpid

was_alone = False
"""Whether the process that was forked last, this one or its parent, had no thread beside."""


def leave_copy(began_in: int, error: BaseException | None = None) -> None:
    """End this process if it is a copy of the one that a run began in; else do nothing.

    An exception that ends a program (SystemExit, KeyboardInterrupt) is not taken from a copy: it
    leaves `start()` as it would leave any function, and nobody is told of it.

    Args:
        began_in: The number of the process that the run began in.
        error: What the step raised; None if it returned.
    """
    if getpid() == began_in or is_ending(error):
        return
    status = 0
    if error is not None:
        traceback.print_exception(type(error), error, error.__traceback__)
        status = 1
    for stream in (sys.stdout, sys.stderr):
        # There may be none, it may be closed, or nobody reads it.
        with contextlib.suppress(AttributeError, OSError, ValueError):
            stream.flush()
    os._exit(status)


def is_ending(error: BaseException | None) -> bool:
    """Whether an exception ends the program; any other one fails an attempt."""
    return issubclass(type(error), (KeyboardInterrupt, SystemExit, GeneratorExit))


def _look_around() -> None:
    global was_alone  # noqa: PLW0603 - there is one process
    was_alone = threading.active_count() == 1


def _register() -> None:
    hook: Any = getattr(os, "register_at_fork", None)
    if hook is not None:
        # At import, so that it comes after the hooks of the program, which may start threads.
        hook(before=_look_around)


_register()
