"""Threads where none may be started any more."""

from __future__ import annotations

import threading

ENDING = "interpreter shutdown"
"""What Python says, from 3.12 on, when its end has begun."""


def is_begun(thread: threading.Thread) -> bool:
    """Start a thread; False where none can be, for the program is in its exit handlers.

    Raises:
        RuntimeError: There are too many.
    """
    try:
        thread.start()
    except RuntimeError as error:
        if ENDING not in str(error):
            raise
        return False
    return True


class Done(threading.Thread):
    """Stands for a thread whose work was done by who would have started it."""

    def join(self, timeout: float | None = None) -> None:
        """Wait for nothing."""
