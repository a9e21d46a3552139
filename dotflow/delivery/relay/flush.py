"""Somebody who waits until a relay has delivered all, and what is told there."""

from __future__ import annotations

import contextlib
import threading

LOOK = 0.05
"""Seconds between two looks of whoever waits for a flush at what nobody tells."""


class Flush:
    """What somebody who waits for delivery is told.

    Args:
        gives_up: Whether it is over as soon as something is not taken, and ends no pause.

    Attributes:
        is_begun: A round has ended the pauses for it, which is done once.
        is_drained: All that was reported before is delivered, or dead.
        stuck_until: Until then nothing more is sent.
    """

    __slots__ = ("_bell", "gives_up", "is_begun", "is_drained", "stuck_until")

    def __init__(self, gives_up: bool = False) -> None:
        self.gives_up = self.is_begun = gives_up
        self.is_drained = False
        self.stuck_until = 0.0
        # No queue: one that a signal's handler holds up beyond its timeout may wait for ever.
        self._bell = threading.Lock()
        self._bell.acquire()

    def tell(self, stuck_until: float | None = None) -> None:
        """Say that all is drained, or until when nothing more is sent; and wake who waits."""
        if stuck_until is None:
            self.is_drained = True
        else:
            self.stuck_until = stuck_until
        with contextlib.suppress(RuntimeError):  # it has rung already
            self._bell.release()

    def wait(self, seconds: float) -> None:
        """Wait until something is told, or it is time to look whether the relay's thread lives."""
        self._bell.acquire(timeout=max(0.0, min(LOOK, seconds)))

    def is_over(self, deadline: float) -> bool:
        """Whether waiting longer changes nothing before a time."""
        return self.is_drained or self.stuck_until >= (0.001 if self.gives_up else deadline)
