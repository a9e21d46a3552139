"""Threads that wait for exporters: few, however many servers there are."""

from __future__ import annotations

import gc
import threading
import time

import pytest

from dotflow.otel import ServerOtel
from dotflow.otel.export import deadline
from dotflow.otel.export.deadline import MOST_THREADS, DeadlineRunner

NAME = "dotflow-otlp-flush"
PATIENCE = 60.0  # seconds


def threads():
    return [one for one in threading.enumerate() if one.name == NAME]


def wait_until(count):
    until = time.monotonic() + PATIENCE
    while len(threads()) != count:
        assert time.monotonic() < until, threads()
        time.sleep(0.005)


@pytest.fixture
def runners():
    """Makes runners, and has their threads end."""
    if threads():
        gc.collect()
    wait_until(0)
    made = []

    def make(count):
        made.extend(DeadlineRunner() for _ in range(count))
        return made

    yield make
    for one in made:
        one.stop()
    for one in made:
        one.join(PATIENCE)
    assert threads() == []


def test_many_servers_share_their_threads(otlp):
    """Servers that are made one after another, and not closed, gather no threads."""
    if threads():
        gc.collect()
    wait_until(0)
    servers = [ServerOtel(endpoint=otlp.http_url) for _ in range(3 * MOST_THREADS)]
    try:
        for server in servers:
            assert server.tracer_provider is servers[0].tracer_provider
        assert len(threads()) == MOST_THREADS
        assert all(server.flush(PATIENCE).complete for server in servers)
    finally:
        for server in servers:
            server.close(PATIENCE)
    wait_until(0)


def test_each_of_the_first_has_one(runners):
    """A runner has a thread of its own, as long as there are few; it ends with it."""
    made = runners(3)
    assert len(threads()) == 3
    made.pop().stop()
    wait_until(2)
    del made[:]
    gc.collect()
    wait_until(0)


def test_one_that_hangs_holds_up_no_other(runners):
    """Whoever shares threads with a runner whose work hangs is not behind it."""
    made = runners(MOST_THREADS + 5)
    go_on = threading.Event()
    hanging = [one.begin(lambda: go_on.wait(PATIENCE)) for one in made[: MOST_THREADS - 1]]
    try:
        assert all(one.begin(lambda: None)(PATIENCE) for one in made[MOST_THREADS:])
        assert not hanging[0](0.0)
    finally:
        go_on.set()
    assert all(wait(PATIENCE) for wait in hanging)


def test_the_work_of_one_is_done_one_after_another(runners):
    """No two pieces of work of a runner are under way at a time, and their order is kept."""
    made = runners(4)
    under_way, order, together = [], [], []

    def work(number):
        under_way.append(number)
        together.append(len(under_way))
        time.sleep(0.001)
        order.append(number)
        under_way.remove(number)

    waits = [made[0].begin(lambda number=number: work(number)) for number in range(30)]
    assert all(wait(PATIENCE) for wait in waits)
    assert order == list(range(30))
    assert set(together) == {1}


def test_a_thread_does_not_end_before_the_work_of_others(runners):
    """Work that was begun before a thread had time to see that nobody needs it is done."""
    go_on = threading.Event()
    [first] = runners(1)
    first.begin(lambda: go_on.wait(PATIENCE))
    first.stop()
    second = runners(1)[-1]
    wait = second.begin(lambda: None)
    second.stop()
    assert len(threads()) == 1
    go_on.set()
    assert wait(PATIENCE)
    wait_until(0)


def test_what_fails_is_said_to_who_waits(runners):
    """Work that raises, or returns False, has not ended well; the thread goes on."""
    one = runners(1)[0]
    assert not one.begin(lambda: 1 / 0)(PATIENCE)
    assert not one.begin(lambda: False)(PATIENCE)
    assert one.begin(lambda: None)(PATIENCE)


def test_without_a_thread_it_is_done_at_once(runners, monkeypatch):
    """Where none can be started any more the work is done by who begins it."""

    def refuse(_thread):
        raise RuntimeError("can't start new thread at interpreter shutdown")

    monkeypatch.setattr(deadline.threading.Thread, "start", refuse)
    one = runners(1)[0]
    done_by = []
    assert one.begin(lambda: done_by.append(threading.current_thread()))(0.0)
    assert done_by == [threading.current_thread()]
