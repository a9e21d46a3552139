"""When a sender leaves the processor to the work."""

from __future__ import annotations

from dotflow.delivery.pace import LONGEST, MANY, QUIET, Pace


def test_a_burst_is_let_pass():
    """While reports follow each other quickly, the sender rests until they stop."""
    pace = Pace()
    assert pace.put(10.0)
    assert not pace.put(10.001)
    assert 0 < pace.rest(10.001, pending=2) < 2 * QUIET
    assert pace.rest(10.001 + 2 * QUIET, pending=2) == 0


def test_a_burst_without_end_is_sent_all_the_same():
    """No message gives way longer than LONGEST, though reports go on."""
    pace = Pace()
    now = 10.0
    while now < 10.0 + LONGEST:
        pace.put(now)
        now += QUIET / 2
    pace.put(now)
    assert pace.rest(now, pending=50) == 0
    pace.sent(now)
    assert pace.rest(now, pending=49) > 0


def test_many_waiting_messages_are_sent_at_once():
    """More than MANY are not left to pile up."""
    pace = Pace()
    pace.put(10.0)
    assert pace.rest(10.0, pending=MANY + 1) == 0


def test_who_waits_for_the_delivery_is_not_kept_waiting():
    """A flush sends at once."""
    pace = Pace()
    pace.put(10.0)
    pace.is_hurried = True
    assert pace.rest(10.0, pending=1) == 0


def test_a_report_after_a_pause_begins_a_burst():
    """Then a thread has to be woken; within a burst it looks by itself."""
    pace = Pace()
    assert pace.put(10.0)
    assert pace.is_burst(10.0 + QUIET / 2)
    assert not pace.put(10.0 + QUIET / 2)
    assert pace.put(10.0 + 3 * QUIET)
