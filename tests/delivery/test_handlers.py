"""A flush or a report from a signal handler or a finalizer, at any instant, ends in its time."""

from __future__ import annotations

import gc
import signal
import threading
import time

import pytest
from support.fault_server import hang, status
from support.reports import Reports, put_run, put_workflow

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs setitimer"),
]

LIMIT = 0.02  # seconds that a flush in a handler may take
GRACE = 20.0  # seconds, for a machine that is busy


class Handler:
    """Does something whenever the timer rings, and remembers how long it took."""

    def __init__(self, work):
        self.work = work
        self.took = []

    def __call__(self, *_):
        started = time.monotonic()
        self.work(len(self.took))
        self.took.append(time.monotonic() - started)
        self._arm()

    def _arm(self):
        """Ring once more, after a time that leaves the interrupted work some of it."""
        signal.setitimer(signal.ITIMER_REAL, 0.003 + 0.001 * (len(self.took) * 7 % 11))

    def __enter__(self):
        self._before = signal.signal(signal.SIGALRM, self)
        self._arm()
        return self

    def __exit__(self, *error):
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._before)


def no_thread(monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", refuse)


@pytest.mark.parametrize("threads", [True, False])
@pytest.mark.parametrize("fault", [None, hang, status(503)], ids=["well", "hangs", "503"])
def test_a_handler_that_flushes(api, relays, monkeypatch, fault, threads):
    """Whatever it interrupts (a report, a flush, the relay's own work here) it ends in its time."""
    relay = relays(api, timeout=1.0, linger=0.002)
    if fault is not None:
        api.on("PATCH", fault)
    reported = []

    def work(number):
        reported.append(put_workflow(relay, f"handler-{number}"))
        relay.flush(LIMIT)

    with monkeypatch.context() as patched:
        if not threads:
            no_thread(patched)
        with Handler(work) as handler:
            deadline = time.monotonic() + 2
            number = 0
            while time.monotonic() < deadline or len(handler.took) <= 5:
                number += 1
                put_run(relay, f"main-{number}", tasks=2)
                started = time.monotonic()
                relay.flush(0.05)
                assert time.monotonic() - started < 0.05 + 10 * LIMIT + 2 * GRACE
    assert max(handler.took) < LIMIT + GRACE
    api.well()
    assert relay.flush(60).pending == 0
    assert len(api.workflows) == number + len(reported)


def test_a_handler_that_closes(api, relays):
    """A close in a handler that came between a flush, or another close, ends in its time."""
    for number in range(15):
        relay = relays(api)
        put_run(relay, f"w{number}")
        with Handler(lambda _, relay=relay: relay.close(LIMIT)) as handler:
            relay.flush(0.01)
            relay.close(0.5)
            api.wait_for(lambda handler=handler: handler.took)
        assert max(handler.took) < LIMIT + GRACE
    api.wait_for(lambda: not [one for one in threading.enumerate() if one.name == "dotflow-relay"])


def test_a_finalizer_that_reports_and_flushes(api, relays):
    """A report and a flush from `__del__`, whenever it is called, end in their time."""
    relay = relays(api)
    took = []

    class Last:
        def __init__(self, number):
            self.me = self  # so that only a collection finds it
            self.number = number

        def __del__(self):
            started = time.monotonic()
            put_workflow(relay, f"last-{self.number}")
            relay.flush(LIMIT)
            took.append(time.monotonic() - started)

    before = gc.get_threshold()
    gc.set_threshold(50)
    try:
        run = Reports(relay).created().added(1).began(1)
        for number in range(100):
            Last(number)
            run.task_began(1)
            relay.flush(0.01)
    finally:
        gc.set_threshold(*before)
    # While another thread collects, this one cannot.
    api.wait_for(lambda: gc.collect() >= 0 and len(took) == 100)
    assert max(took) < LIMIT + GRACE
    run.task_ended(1).ended()
    assert relay.flush(60).pending == 0
    assert len(api.workflows) == 101


def test_ctrl_c_in_a_close_leaves_the_rest_to_the_exit(api, relays):
    """A close that an exception ends is none: the next one delivers what is left."""
    relay = relays(api)
    api.latency = 0.1
    put_run(relay)

    def interrupt(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), Handler(interrupt):
        relay.close(60)
    assert relay.close(60).pending == 0
    assert api.workflows["w"]["status"] == "Completed"
