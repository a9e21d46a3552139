"""What begins anew in a forked child when it is first used there."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest
from support.processes import succeeds

from dotflow.process import late
from dotflow.process.late import is_unused, renew_when_used

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


class Thing:
    """Counts how often it began anew."""

    def __init__(self, *parts):
        self.renewals = 0
        self.lock = threading.Lock()
        self.meanwhile = lambda: None
        renew_when_used(self, *parts)

    def renew(self):
        self.lock = threading.Lock()
        self.meanwhile()
        self.renewals += 1

    def __len__(self):
        return self.renewals


class Part:
    """Leads into a thing."""

    value = 1


def test_a_child_renews_what_it_uses_once():
    """The first look does it; the second has the object as it is. The parent's is left alone."""
    thing = Thing()
    with thing.lock:
        assert succeeds(
            lambda: (
                is_unused(thing)
                and thing.lock.acquire(timeout=0)
                and (thing.renewals, len(thing)) == (1, 1)
                and not is_unused(thing)
            )
        )
    assert not is_unused(thing)
    assert thing.renewals == 0


def test_what_is_not_looked_into_stays_as_it_is():
    """It may be in a set, be compared and be asked for its class."""
    thing = Thing()
    known = {thing}
    assert succeeds(
        lambda: (
            thing in known
            and isinstance(thing, Thing)
            and thing.__class__ is Thing
            and not isinstance(thing, dict)
            and is_unused(thing)
        )
    )


@pytest.mark.parametrize(
    "use", [len, vars, lambda thing: setattr(thing, "other", 1), lambda thing: thing.renew]
)
def test_each_way_to_use_it_renews_it_first(use):
    """A special method, all attributes, a new one, a method."""
    thing = Thing()
    assert succeeds(lambda: (use(thing), thing.renewals == 1)[1])


def test_what_is_set_stays():
    """It begins anew before it is given something, not afterwards."""
    thing = Thing()

    def work():
        thing.lock = None
        del thing.meanwhile
        return thing.lock is None and "meanwhile" not in vars(thing)

    assert succeeds(work)


def test_a_part_leads_into_it():
    """Whoever holds only a part has the whole begin anew, and its other parts are used then."""
    part, other = Part(), Part()
    thing = Thing(part, other)
    assert succeeds(
        lambda: is_unused(part) and part.value == 1 and not is_unused(other)
        and not is_unused(thing) and thing.renewals == 1
    )  # fmt: skip


def test_a_part_outlives_it():
    """Where the owner is gone nothing is left to begin anew, and the part can be used."""
    part = Part()
    Thing(part)
    assert succeeds(lambda: part.value == 1 and not is_unused(part))


class Odd(dict):
    """Is laid out in a way of its own."""


@pytest.mark.parametrize("place", ["first", "later"])
def test_where_nothing_can_stand_in_it_begins_anew_at_the_fork(place):
    """It is renewed once, whether that is known from the beginning or not."""
    part = Odd()
    thing = Thing(part) if place == "first" else Thing()
    if place == "later":
        renew_when_used(thing, part)
    assert succeeds(lambda: not is_unused(thing) and thing.renewals == 1)


def test_threads_wait_until_it_has_begun_anew():
    """A thread that uses it while another one has it begin anew finds it whole."""
    thing = Thing()
    begun, found = threading.Event(), []

    def meanwhile():
        other = threading.Thread(target=lambda: (begun.set(), found.append(thing.renewals)))
        other.start()
        assert begun.wait(60)
        time.sleep(0.05)  # it could have looked by now, and that is what is tested
        assert not found

    thing.meanwhile = meanwhile

    def work():
        first = thing.renewals
        while not found:
            time.sleep(0.001)
        return (first, found) == (1, [1])

    assert succeeds(work)


def test_a_handler_that_comes_between_finds_what_is_there():
    """It neither waits for the thread that it interrupts nor begins a second time."""
    thing = Thing()
    found = []

    def work():
        signal.signal(signal.SIGUSR1, lambda *_: found.append(thing.lock.locked()))
        return thing.renewals == 1 and found == [False]

    thing.meanwhile = lambda: signal.raise_signal(signal.SIGUSR1)
    assert succeeds(work)


def test_a_fork_within_a_fork():
    """Each process has its own: used, not used, and forked while it begins anew."""
    thing = Thing()
    assert succeeds(
        lambda: (
            succeeds(lambda: is_unused(thing) and thing.renewals == 1)
            and is_unused(thing)
            and thing.renewals == 1
            and succeeds(lambda: is_unused(thing) and thing.renewals == 2)
        )
    )
    forked = []
    # The copy of what is under way goes on there, and comes to its end.
    thing.meanwhile = lambda: (
        forked
        or forked.append(0)
        or forked.append(succeeds(lambda: not thing.lock.locked() and thing.renewals == 1))
    )
    assert succeeds(lambda: thing.renewals == 1 and forked == [0, True])


def test_one_that_cannot_begin_anew_is_used_as_it_is(monkeypatch):
    """A line says so, and whoever uses it goes on."""
    thing, said = Thing(), []
    monkeypatch.setattr(
        late.logger, "warning", lambda text, *values, **_: said.append(text % values)
    )

    def fails():
        raise OSError("no thread is to be had")

    thing.meanwhile = fails
    assert succeeds(
        lambda: (
            (thing.renewals, is_unused(thing)) == (0, False)
            and said == ["Thing cannot begin anew in a child."]
        )
    )


def test_ctrl_c_between_has_it_begin_again():
    """One that was interrupted is not taken for whole."""
    thing = Thing()

    def meanwhile():
        thing.meanwhile = lambda: None
        raise KeyboardInterrupt

    thing.meanwhile = meanwhile

    def work():
        with pytest.raises(KeyboardInterrupt):
            assert thing.renewals
        return is_unused(thing) and thing.renewals == 1

    assert succeeds(work)


def test_what_is_gone_is_forgotten():
    """A program may make a thousand of them."""
    before = len(late._owners)
    for _ in range(10):
        Thing()
    assert len(late._owners) == before
