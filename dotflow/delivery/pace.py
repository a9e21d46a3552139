"""When to leave the interpreter to the work that makes the reports."""

from __future__ import annotations

import time

QUIET = 0.005  # seconds without a report: the work has better to do than to report
REST = 0.05  # seconds that a reader sleeps between two looks in a burst
BREATH = 0.001  # seconds that it works meanwhile


class Pace:
    """Tells a reader of the log whether reports come thick and fast.

    Reading costs more than reporting, and both share one interpreter: a thread that reads holds up
    the workflow. So in a burst of reports little is read and sent, and the rest when it is over:
    what waits is on disk. Takes no lock. Times are of the monotonic clock.
    """

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last = float("-inf")

    def report(self) -> None:
        """Note a report; called on the workflow's path."""
        self._last = time.monotonic()

    def is_burst(self, now: float) -> bool:
        """Whether the last report is so fresh that another one may follow at once."""
        return now < self._last + QUIET
