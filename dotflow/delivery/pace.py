"""When to leave the processor to the work that makes the reports."""

from __future__ import annotations

QUIET = 0.005  # seconds without a report: the work has better to do than to report
LONGEST = 0.05  # seconds that a message gives way to the work
MANY = 10_000  # messages that may wait for that; more are sent whatever the work does


class Pace:
    """Tells a sender to rest while reports come thick and fast.

    Sending costs more than reporting, and both share one interpreter: a thread that sends holds up
    the workflow for milliseconds at a time. So in a burst of reports little is sent, and the rest
    when it is over. Not thread-safe: the relay's lock is held. Times are of the monotonic clock.
    """

    def __init__(self) -> None:
        self.is_hurried = False  # somebody waits for the delivery
        self._last_put = self._let_go = float("-inf")

    def put(self, now: float) -> bool:
        """Note a report; return whether a burst begins with it."""
        begins = not self.is_burst(now)
        if begins:
            self._let_go = now
        self._last_put = now
        return begins

    def sent(self, now: float) -> None:
        """Note that a message is let go."""
        self._let_go = now

    def is_burst(self, now: float) -> bool:
        """Whether the last report is so fresh that another one may follow at once."""
        return now < self._last_put + QUIET

    def rest(self, now: float, pending: int) -> float:
        """Seconds to wait before the next message is sent; 0 where it may go now."""
        if self.is_hurried or pending > MANY:
            return 0.0
        return max(0.0, min(self._last_put + QUIET, self._let_go + LONGEST) - now)
