"""The times of a worker, whose clock is another one than that of the process that reports."""

from __future__ import annotations


class Fitted:
    """Brings times of a worker into the interval in which they must lie, as durations allow.

    They are moved together: what took a second there took a second here, too, unless that is more
    than there was.

    Args:
        began_ns: When the step began by the worker's clock.
        ended_ns: When it ended by that.
        low: When it began at the earliest, by the parent's clock.
        high: When it had ended at the latest.
    """

    def __init__(self, began_ns: int, ended_ns: int, low: int, high: int) -> None:
        self._low = low
        self._high = max(low, high)
        self._shift = max(0, low - began_ns) or min(0, self._high - ended_ns)

    def __call__(self, at_ns: int) -> int:
        """A time of the worker's, in nanoseconds since the epoch by the parent's clock."""
        return min(max(self._low, at_ns + self._shift), self._high)
