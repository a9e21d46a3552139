"""The times of a cron expression by the local clock, also as it is set to or from summer time."""

from __future__ import annotations

import time
from datetime import datetime, timedelta

from croniter import croniter

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - what a wall clock shows has no zone


class CronTimes:
    """When a cron expression is due. All times are seconds since the epoch.

    An expression for every hour ("*/10 * * * *") goes on by elapsed time. One for certain hours
    ("30 2 * * *") is due once for each time that it names: an hour that the clock shows twice
    counts the first time, and what falls into an hour that is left out is due as that begins.

    Args:
        cron: The expression.

    Raises:
        ValueError: It is no cron expression, or none of its times ever comes.
    """

    def __init__(self, cron: str) -> None:
        if not isinstance(cron, str) or not croniter.is_valid(cron):
            raise ValueError(
                f"{cron!r} is no cron expression: give five fields, each within its range, as in "
                "'*/5 * * * *'"
            )
        self._times = croniter(cron)
        self.is_hourly = self._times.expanded[1] == ["*"]
        try:
            self.after(time.time())
        except ValueError as error:
            raise ValueError(
                f"{cron!r} never comes: there is no such date, or it is long past"
            ) from error

    def after(self, seconds: float) -> float:
        """The first time that is later than `seconds`."""
        return self._by_elapsed_time(seconds) if self.is_hourly else self._by_the_clock(seconds)

    def _by_elapsed_time(self, seconds: float) -> float:
        begin, offset = seconds, _offset(seconds)
        while True:
            found = _seconds(self._shown_after(_shown(begin, offset))) - offset
            if _offset(found) == offset:
                return found
            # The clock is set on the way there: look again from there on, by what it then shows.
            change = _change(seconds, found)
            begin, seconds, offset = change - 1, change, _offset(change)

    def _by_the_clock(self, seconds: float) -> float:
        shown = _shown(seconds, _offset(seconds))
        while True:
            shown = self._shown_after(shown)
            found = _first(shown)
            if found > seconds:
                return found

    def _shown_after(self, shown: datetime) -> datetime:
        """The next time of the expression, on a clock that nobody sets."""
        self._times.set_current(shown, force=True)
        found: datetime = self._times.get_next(datetime)
        return found


def _first(shown: datetime) -> float:
    """When the local clock shows a time first, or leaves it out."""
    found = shown.timestamp()
    if datetime.fromtimestamp(found) == shown:  # noqa: DTZ006 - the local clock's
        return found
    return _change(shown.replace(fold=1).timestamp(), found)


def _change(before: float, after: float) -> float:
    """When the local clock is set, between two times before and after that."""
    low, high, offset = int(before), int(after), _offset(before)
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(middle) == offset:
            low = middle
        else:
            high = middle
    return float(high)


def _offset(seconds: float) -> int:
    """Seconds by which the local clock is ahead of UTC."""
    return time.localtime(seconds).tm_gmtoff


def _shown(seconds: float, offset: int) -> datetime:
    return _EPOCH + timedelta(seconds=seconds + offset)


def _seconds(shown: datetime) -> float:
    return (shown - _EPOCH).total_seconds()
