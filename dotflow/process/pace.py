"""How fast a program reports, for a thread that sends what was reported."""

from __future__ import annotations

FAST = 500.0
"""Reports a second from which on their delivery waits: it takes a tenth of a processor then."""

SLOW = 100.0
"""Reports a second below which they are fast no more: what sends them slows down who makes them."""

LONGEST = 30.0
"""Seconds for which reports wait at most because more of them come: a program may never pause."""

SOON, SPAN, PAUSE = 0.01, 0.1, 0.2
"""Seconds: after less than the first a look learns nothing; it speaks of the second at most, for a
thread that looks late may have been held up; after the third it has to begin anew."""


class Pace:
    """Tells a thread that sends reports whether they come so fast that it should wait.

    To send a report costs more than to make it, and both share one interpreter: a thread that sends
    holds up the workflow. So while reports come fast little is sent, and the rest afterwards.
    Threads that report count their reports, without a lock; one other thread looks at the count.

    Attributes:
        reports: How many there were; the workflow's path counts them.
    """

    __slots__ = ("_at", "_grew", "_is_fast", "_is_known", "_seen", "_since", "reports")

    def __init__(self) -> None:
        self.reports = self._seen = 0
        self._at = self._since = float("-inf")
        self._is_fast = self._is_known = self._grew = False

    def is_fast(self, now: float) -> bool:
        """Whether to wait: reports come fast, and have not done so for too long.

        The first report after a pause counts as fast: more may follow at once.

        Args:
            now: The monotonic clock, in seconds.
        """
        grown, elapsed = self.reports - self._seen, now - self._at
        if elapsed < SOON:
            return self._waits(now) if self._is_fast else grown > 0
        was_fast, is_known = self._is_fast, elapsed <= PAUSE
        least = (SLOW if self._is_known else FAST) * min(elapsed, SPAN) if is_known else 1
        self._seen, self._at, self._grew = self.reports, now, grown > 0
        self._is_fast = grown >= max(1, least)
        self._is_known = self._is_fast and is_known
        if self._is_fast and not was_fast:
            self._since = now
        return self._waits(now)

    def _waits(self, now: float) -> bool:
        return self._is_fast and now - self._since < LONGEST

    @property
    def is_calm(self) -> bool:
        """Whether no report came between the last two looks, nor since."""
        return not self._grew and self.reports == self._seen
