"""The relay's threads: flush, close, rest, faults, fork."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
import weakref

import pytest
from support.fault_server import hang, reset, status
from support.reports import Reports, put_run, put_workflow
from support.runs import in_order

from dotflow.delivery.dialect import Dialect
from dotflow.delivery.order import lanes
from dotflow.delivery.relay import worker as worker_module
from dotflow.delivery.relay.senders import Senders


def threads():
    return [one for one in threading.enumerate() if one.name.startswith("dotflow-")]


@pytest.mark.parametrize("limit", [0.0, 0.3])
def test_flush_keeps_its_deadline_when_the_server_hangs(api, relays, limit):
    """A flush returns in time, whatever the server does."""
    relay = relays(api, timeout=60)
    api.on(".", hang)
    put_run(relay)
    started = time.monotonic()
    assert relay.flush(limit).pending > 0
    assert time.monotonic() - started < 30


def test_close_keeps_its_deadline_and_says_what_is_left(api, relays, caplog):
    """Closing takes no longer than it may, and one line says how much waits, and where."""
    relay = relays(api, timeout=60)
    api.on(".", hang)
    put_run(relay)
    started = time.monotonic()
    counts = relay.close(0.3)
    assert time.monotonic() - started < 30
    assert counts.pending > 0
    assert f"{counts.pending} messages to {relay._sender.name} wait in" in caplog.text


def test_close_twice(api, relays, caplog):
    """The second close does nothing, and does not wait."""
    relay = relays(api)
    api.on(".", status(503))
    put_workflow(relay)
    relay.close(0.1)
    started = time.monotonic()
    assert relay.close(60).pending == 1
    assert relay.flush(60).pending == 1
    assert time.monotonic() - started < 30
    assert caplog.text.count(" messages to ") == 1


def test_a_report_after_close_is_not_sent(api, relays):
    """What is reported after close() waits on disk, and starts no thread."""
    relay = relays(api)
    relay.close(60)
    for _ in range(3):
        put_workflow(relay)
    assert not threads()
    assert not api.seen
    assert [one for one in relay.log.segments if one.path.stat().st_size]
    relay.log.close()


def test_an_idle_relay_has_no_threads(api, relays):
    """Some time after all is sent neither thread nor connection is left, until there is more."""
    relay = relays(api, linger=0.1)
    put_run(relay)
    assert relay.flush(60).pending == 0
    api.wait_for(lambda: not threads())
    api.wait_for(lambda: api.open_connections == 0)
    put_workflow(relay, "later")
    assert relay.flush(60).pending == 0
    assert "later" in api.workflows


def test_a_run_keeps_one_thread_and_no_connection(api, relays):
    """While a run goes on that reports nothing, one thread is left to give signs of life."""
    relay = relays(api, Dialect.MANAGED, linger=0.1)
    run = Reports(relay).created().added(*range(1, 9)).began(8)
    for task in range(1, 9):
        run.task_began(task)
    assert relay.flush(60).pending == 0
    api.wait_for(lambda: [one.name for one in threads()] == ["dotflow-relay"])
    api.wait_for(lambda: api.open_connections == 0)
    run.ended()
    api.wait_for(lambda: not threads())
    assert api.workflows["w"]["status"] == "Completed"


def test_close_leaves_no_thread(api, relays):
    """Once a relay is closed its threads end, also those that had sent nothing for a while."""
    relay = relays(api, linger=60)
    put_run(relay, tasks=9)
    assert relay.flush(60).pending == 0
    assert threads()
    relay.close(60)
    api.wait_for(lambda: not threads())
    api.wait_for(lambda: api.open_connections == 0)


def test_waiting_needs_no_looking(api, relays):
    """Threads that wait do not wake up to look whether there is something."""
    relay = relays(api, linger=60)
    put_run(relay)
    relay.flush(60)
    woken, read = [], relay._outbox.read
    relay._outbox.read = lambda *args: woken.append(1) or read(*args)

    def is_at_rest():
        woken.clear()
        time.sleep(0.5)
        return not woken

    api.wait_for(is_at_rest)


def test_no_lost_wake_up(api, relays):
    """What is reported just as the threads end is delivered, without a flush."""
    relay = relays(api, linger=0.002)
    for number in range(150):
        put_workflow(relay, f"w{number}")
        if number % 3 == 0:
            time.sleep(0.012)
    api.wait_for(lambda: len(api.workflows) == 150)


def test_one_answer_does_not_hold_up_another_workflow(api, relays):
    """While one call hangs a thread is there for the next one."""
    relay = relays(api, timeout=120)
    first = put_workflow(relay, "first")
    relay.flush(60)
    api.on("PATCH /workflows/first", hang)
    first.began()
    api.wait_for(lambda: "PATCH /workflows/first" in api.lines())
    put_workflow(relay, "second")
    api.wait_for(lambda: "second" in api.workflows)


@pytest.mark.parametrize("method", ["claim", "read", "settle", "counts", "care"])
def test_a_fault_of_the_outbox_ends_no_thread(api, relays, monkeypatch, caplog, method):
    """An outbox that raises is asked again a little later, whatever it was asked for."""
    monkeypatch.setattr(worker_module, "FIRST_PAUSE", 0.05)
    relay = relays(api)
    works, faults = getattr(relay._outbox, method), [OSError("disk"), OSError("disk")]

    def faulty(*args, **kwargs):
        if faults:
            raise faults.pop()
        return works(*args, **kwargs)

    setattr(relay._outbox, method, faulty)
    put_run(relay)
    api.wait_for(lambda: api.history.get("w", [""])[-1] == "PATCH workflow Completed")
    assert len(faults) < 2
    assert relay.flush(60).pending == 0
    assert caplog.text.count("WARNING") == 1


def test_a_client_that_raises_ends_no_thread(api, relays, monkeypatch, caplog):
    """A fault of ours in sending is one line, and the message is tried again."""
    monkeypatch.setattr(lanes, "FIRST_DELAY", 0.01)
    relay = relays(api)
    send, faults = relay._sender.send, [KeyError("x"), KeyError("x")]

    def faulty(*args):
        if faults:
            raise faults.pop()
        return send(*args)

    relay._sender.send = faulty
    put_workflow(relay)
    api.wait_for(lambda: api.workflows)
    assert caplog.text.count("could not be sent") == 1


def test_where_no_thread_can_start_flush_sends(api, relays, monkeypatch):
    """When the interpreter ends, or is out of threads, what waits is sent by who flushes."""

    start = threading.Thread.start

    def refuse(thread):
        if thread.name == "dotflow-relay":
            raise RuntimeError("can't create new thread at interpreter shutdown")
        start(thread)

    relay = relays(api)
    api.on(".", reset(), times=1)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        put_run(relay)
        assert relay.flush(0).pending > 0
        assert not api.seen
        assert relay.flush(60).pending == 0
    assert in_order(api.history["w"])


class Forked(Exception):
    """Ends what a handler interrupted, in the parent alone."""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_handler_forks_while_a_flush_waits(api, relays):
    """The child comes back to the flush, and does not wait for a thread that it does not have."""
    relay = relays(api)
    api.on("POST", hang)
    put_workflow(relay)
    parent = os.getpid()

    def fork(*_):
        if child := os.fork():
            raise Forked(child)

    def call():
        api.wait_for(lambda: api.seen and relay._worker.flushes)
        os.kill(parent, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, fork)
    thread = threading.Thread(target=call)
    thread.start()
    try:
        with pytest.raises(Forked) as found:
            relay.flush(600)
    finally:
        if os.getpid() != parent:
            os._exit(0)
        signal.signal(signal.SIGUSR1, before)
    thread.join()
    child = found.value.args[0]
    try:
        api.wait_for(lambda: os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT))
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_begins_anew(api, relays):
    """A child has nothing of the parent's to send, sends its own, and the parent goes on."""
    relay = relays(api)
    api.on("POST", status(503), times=4)
    put_run(relay, "parent")
    api.wait_for(lambda: api.seen)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            empty = relay.flush(60).pending == 0
            put_run(relay, "child", tasks=2)
            code = 0 if empty and relay.close(60).pending == 0 else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert in_order(api.history["child"])
    assert relay.flush(60).pending == 0
    assert in_order(api.history["parent"])
    assert len(api.history["parent"]) == len(set(api.history["parent"]))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_while_locks_are_held(api, relays):
    """A fork in the middle of another thread's put does not leave the child waiting for ever."""
    relay = relays(api)
    stop = threading.Event()

    def busy():
        number = 0
        while not stop.is_set():
            number += 1
            put_workflow(relay, f"p{number}")

    thread = threading.Thread(target=busy)
    thread.start()
    try:
        for number in range(5):
            child = os.fork()
            if child == 0:
                try:
                    put_workflow(relay, f"c{number}")
                    relay.flush(60)
                finally:
                    os._exit(0)
            os.waitpid(child, 0)
    finally:
        stop.set()
        thread.join()
    assert {f"c{number}" for number in range(5)} <= set(api.workflows)


def test_a_put_is_quick_while_nothing_moves(api, relays, caplog):
    """A thousand puts cost the workflow next to nothing while the server hangs."""
    caplog.set_level(logging.ERROR)
    relay = relays(api, timeout=60)
    api.on(".", hang)
    started, worked = time.monotonic(), time.thread_time()
    for number in range(1000):
        put_workflow(relay, f"w{number}")
    assert time.thread_time() - worked < 1.0
    assert time.monotonic() - started < 30  # on a busy machine; none has waited for an answer


def test_what_was_sent_is_not_held():
    """A thread that waits for something to send holds nothing of what it has sent."""

    class Job:
        """Some messages."""

    done = threading.Event()
    senders = Senders(lambda job: done.set() if job else None, lambda: None, 1)
    job = Job()
    gone = weakref.ref(job)
    assert senders.hand_over(job, 1)
    assert done.wait(60)
    del job
    until = time.monotonic() + 60
    while gone() is not None:
        assert time.monotonic() < until
        time.sleep(0.005)
    senders.dismiss(60)
