"""Whether reports come so fast that what sends them waits."""

from __future__ import annotations

import pytest

from dotflow.process.pace import FAST, LONGEST, PAUSE, SLOW, SOON, SPAN, Pace

EVERY = 0.05
"""Seconds between two looks."""


def looks(pace, each, count, now=100.0):
    """So many reports before each of so many looks: what the last one says, and when it was."""
    is_fast = None
    for _ in range(count):
        now += EVERY
        pace.reports += each
        is_fast = pace.is_fast(now)
    return is_fast, now


def test_before_the_first_report_nothing_waits():
    """What is left from before is sent at once."""
    assert not Pace().is_fast(100.0)


def test_more_may_follow_the_first_report():
    """After a pause a report is waited with until the next look; if no other came, it is sent."""
    pace = Pace()
    pace.reports = 1
    assert pace.is_fast(100.0)
    assert not pace.is_fast(100.0 + EVERY)


@pytest.mark.parametrize(("a_second", "is_fast"), [(FAST / 2, False), (2 * FAST, True)])
def test_only_fast_reports_wait(a_second, is_fast):
    """What comes slowly is sent as it comes."""
    assert looks(Pace(), int(a_second * EVERY), 5)[0] == is_fast


def test_fast_reports_wait_until_they_are_slow():
    """What sends them may have slowed them down; then it is the first pace again that counts."""
    pace = Pace()
    between = int(FAST / 2 * EVERY)
    _, now = looks(pace, int(2 * FAST * EVERY), 5)
    is_fast, now = looks(pace, between, 5, now)
    assert is_fast
    is_fast, now = looks(pace, int(SLOW / 2 * EVERY), 1, now)
    assert not is_fast
    assert not looks(pace, between, 5, now)[0]


def test_who_looks_late_was_held_up():
    """A thread that did not run for a while counts what came as of a short time."""
    pace = Pace()
    _, now = looks(pace, 100, 5)
    pace.reports += int(FAST * SPAN) + 1
    assert pace.is_fast(now + PAUSE - 0.001)
    pace.reports += 1
    assert pace.is_fast(now + 10)


def test_two_looks_at_a_time_say_the_same():
    """Too early to know anything else; what is new may be the first of many."""
    pace = Pace()
    _, now = looks(pace, 100, 5)
    assert pace.is_fast(now + SOON / 2)
    _, now = looks(pace, 0, 1, now)
    assert not pace.is_fast(now + SOON / 2)
    pace.reports += 1
    assert pace.is_fast(now + SOON / 2)


def test_reports_wait_for_half_a_minute_at_most():
    """A program that never pauses is seen; one that pauses may make it wait again."""
    pace = Pace()
    is_fast, now = looks(pace, 100, int(LONGEST / EVERY))
    assert is_fast
    is_fast, now = looks(pace, 100, 2, now)
    assert not is_fast
    _, now = looks(pace, 0, 1, now)
    is_fast, now = looks(pace, 100, 2, now)
    assert is_fast


def test_it_is_calm_once_nothing_came_between_two_looks():
    """And no more with the next report."""
    pace = Pace()
    _, now = looks(pace, 1, 3)
    assert not pace.is_calm
    looks(pace, 0, 1, now)
    assert pace.is_calm
    pace.reports += 1
    assert not pace.is_calm
