"""When a cron expression is due, in the nights when clocks are set and in all others."""

from __future__ import annotations

import time
from datetime import datetime, timezone

import pytest

from dotflow.providers import SchedulerCron
from dotflow.providers import scheduler_cron as module
from dotflow.providers.cron_times import CronTimes

BACK, FORWARD = "2026-10-24 22:00", "2026-03-28 22:00"  # UTC, before Berlin's clocks are set


@pytest.fixture(autouse=True)
def berlin(monkeypatch):
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def due(cron, begin, hours=7):
    """What is due in the hours after a time, by UTC."""
    now = datetime.fromisoformat(f"{begin}+00:00").timestamp()
    end, found, times = now + hours * 3600, [], CronTimes(cron)
    while (now := times.after(now)) < end:
        found.append(datetime.fromtimestamp(now, timezone.utc).strftime("%H:%M"))
    return found


def hours(first, last, *minutes):
    return [f"{hour % 24:02}:{minute}" for hour in range(first, last) for minute in minutes]


@pytest.mark.parametrize("begin", [BACK, FORWARD, "2026-07-01 22:00"])
def test_what_is_due_each_hour_goes_on_as_time_passes(begin):
    """Every so many minutes is that, whatever the clocks show."""
    assert due("*/30 * * * *", begin) == hours(22, 29, "00", "30")[1:]
    assert due("15 * * * *", begin) == hours(22, 29, "15")


@pytest.mark.parametrize(
    ("cron", "begin", "expected"),
    [
        ("30 2 * * *", BACK, ["00:30"]),  # 02:30 is shown again at 01:30 UTC
        ("30 2 * * *", FORWARD, ["01:00"]),  # 02:00 to 03:00 is left out
        ("*/20 2 * * *", BACK, ["00:00", "00:20", "00:40"]),
        ("0 2,3 * * *", FORWARD, ["01:00"]),
        ("30 1-3 * * *", FORWARD, ["00:30", "01:00", "01:30"]),
        ("30 1-3 * * *", BACK, ["23:30", "00:30", "02:30"]),
        ("0 4 * * *", BACK, ["03:00"]),
        ("0 4 * * *", FORWARD, ["02:00"]),
        ("@daily", "2026-07-01 21:00", ["22:00"]),
    ],
)
def test_a_certain_hour_is_due_once(cron, begin, expected):
    """An hour that is shown twice counts the first time; one that is left out as it would begin."""
    assert due(cron, begin) == expected


def test_seconds():
    """A sixth field has the seconds, also in the hour that is shown twice."""
    times = CronTimes("* * * * * */20")
    begin = datetime(2026, 10, 25, 0, 59, 55, tzinfo=timezone.utc).timestamp()
    found = [begin := times.after(begin) for _ in range(3)]
    assert [one % 60 for one in found] == [0, 20, 40]
    assert found[-1] - found[0] == 40


@pytest.mark.parametrize("cron", ["0 0 31 2 *", "0 0 30 2 *", "0 0 31 4,6 *", "* * * * * * 2020"])
def test_what_never_comes_is_refused(cron):
    """An expression none of whose times comes is a ValueError that names it, where it is given."""
    with pytest.raises(ValueError, match="never comes") as raised:
        SchedulerCron(cron)
    assert repr(cron) in str(raised.value)


@pytest.mark.parametrize("cron", ["0 0 29 2 *", "0 0 L * *", "0 0 * * sun#1", " 0 0 * * * "])
def test_what_comes_rarely_is_taken(cron):
    """A leap day and its like come."""
    assert SchedulerCron(cron).next_time() > datetime.now()


class SetBack:
    """A clock that is set back by two hours at 12:05, and ends its scheduler at 11:30."""

    def __init__(self, scheduler):
        self.now = datetime(2026, 11, 22, 11, 55).timestamp()
        self.is_set = False
        self.scheduler = scheduler

    def get(self, timeout):
        self.now += 30
        if not self.is_set and self.now >= datetime(2026, 11, 22, 12, 5).timestamp():
            self.now -= 2 * 3600
            self.is_set = True
        if self.is_set and self.now >= datetime(2026, 11, 22, 11, 30).timestamp():
            self.scheduler.running = False
        raise module.queue.Empty


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("*/20 * * * *", ["12:00", "10:20", "10:40", "11:00", "11:20"]),
        ("0 10,11,12 * * *", ["12:00"]),
    ],
)
def test_a_clock_that_is_set_back_by_hand(monkeypatch, cron, expected):
    """What is due each hour goes on; what ran at a certain hour does not run again."""
    scheduler, begun = SchedulerCron(cron), []
    clock = SetBack(scheduler)
    monkeypatch.setattr(scheduler, "_wake", clock)
    monkeypatch.setattr(module, "_now", lambda: datetime.fromtimestamp(clock.now))
    monkeypatch.setattr(scheduler, "_begin_run", lambda due: begun.append(f"{due:%H:%M}"))
    scheduler.start(workflow=print)
    assert begun == expected
