"""The relay's threads: flush, close, rest, faults, fork."""

from __future__ import annotations

import logging
import os
import threading
import time

import pytest
from support.fault_server import hang, reset, status
from support.outbox_contract import workflow_patch, workflow_post
from support.runs import in_order, put_run

from dotflow.delivery import relay as relay_module
from dotflow.delivery.outbox import Outbox


@pytest.mark.parametrize("limit", [0.0, 0.3])
def test_flush_keeps_its_deadline_when_the_server_hangs(api, relays, limit):
    """A flush returns in time, whatever the server does."""
    relay = relays(api, timeout=1.0)
    api.on(".", hang)
    put_run(relay)
    started = time.monotonic()
    assert relay.flush(limit).pending > 0
    assert time.monotonic() - started < limit + 0.5


def test_close_keeps_its_deadline_and_says_what_is_lost(api, relays, caplog):
    """Closing takes no longer than it may, and one line says how much was not delivered."""
    relay = relays(api, timeout=1.0)
    api.on(".", hang)
    put_run(relay)
    started = time.monotonic()
    counts = relay.close(0.3)
    assert time.monotonic() - started < 0.8
    assert f"{counts.pending} reports could not be delivered" in caplog.text


def test_close_twice(api, relays, caplog):
    """The second close does nothing, and does not wait."""
    relay = relays(api)
    api.on(".", status(503))
    relay.put(workflow_post())
    relay.close(0.1)
    started = time.monotonic()
    assert relay.close(5).pending == 1
    assert relay.flush(5).pending == 1
    assert time.monotonic() - started < 0.5
    assert caplog.text.count("could not be delivered") == 1


def test_a_put_after_close_is_not_sent(api, relays, caplog):
    """What comes after close() is refused, with one line, and starts no thread."""
    relay = relays(api)
    relay.close(1)
    for _ in range(3):
        relay.put(workflow_post())
    assert relay.counts().pending == 0
    assert not relay._threads
    assert caplog.text.count("after close()") == 1


def test_an_idle_relay_has_no_threads(api, relays):
    """Some time after all is sent neither thread nor connection is left, until there is more."""
    relay = relays(api, linger=0.1)
    put_run(relay)
    assert relay.flush(3).pending == 0
    api.wait_for(lambda: not relay._threads)
    api.wait_for(lambda: api.open_connections == 0)
    relay.put(workflow_post("later"))
    assert relay.flush(3).pending == 0
    assert "later" in api.workflows


def test_waiting_needs_no_looking(api, relays):
    """Threads that wait do not wake up to look whether there is something."""
    relay = relays(api, linger=60)
    put_run(relay)
    relay.flush(3)
    time.sleep(0.05)
    woken, claim = [], relay._outbox.claim
    relay._outbox.claim = lambda limit: woken.append(1) or claim(limit)
    time.sleep(0.5)
    assert not woken


def test_no_lost_wake_up(api, relays):
    """Puts that come just as the threads go to rest are all delivered."""
    relay = relays(api, linger=0.002)
    for number in range(150):
        relay.put(workflow_post(f"w{number}"))
        if number % 3 == 0:
            time.sleep(0.002)
    api.wait_for(lambda: relay.counts().pending == 0)
    assert len(api.workflows) == 150


def test_two_puts_at_once_do_not_wait_for_one_answer(api, relays):
    """A second message finds a thread also where the first one has just woken the only idle one."""
    relay = relays(api, timeout=2.0)
    relay.put(workflow_post("first"))
    relay.flush(3)
    api.on("PATCH /workflows/first", hang)
    for _ in range(3):
        relay.put(workflow_patch("first", status="x"))
        relay.put(workflow_post("second"))
    api.wait_for(lambda: "second" in api.workflows, 1.0)


def test_a_fault_of_the_outbox_ends_no_thread(api, relays, monkeypatch, caplog):
    """An outbox that raises is asked again a little later."""
    monkeypatch.setattr(relay_module, "FIRST_PAUSE", 0.05)
    outbox = Outbox()
    claim, faults = outbox.claim, [OSError("disk"), OSError("disk")]

    def faulty(limit):
        if faults:
            raise faults.pop()
        return claim(limit)

    outbox.claim = faulty
    relay = relays(api, outbox=outbox)
    relay.put(workflow_post())
    api.wait_for(lambda: relay.counts().pending == 0)
    assert caplog.text.count("The outbox failed") == 1


def test_a_client_that_raises_ends_no_thread(api, relays, monkeypatch, caplog):
    """A fault of ours in sending is one line, and the message is tried again."""
    monkeypatch.setattr("dotflow.delivery.queue.FIRST_DELAY", 0.01)
    relay = relays(api)
    send, faults = relay._sender.send, [KeyError("x"), KeyError("x")]

    def faulty(*args):
        if faults:
            raise faults.pop()
        return send(*args)

    relay._sender.send = faulty
    relay.put(workflow_post())
    api.wait_for(lambda: relay.counts().pending == 0)
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
        assert relay.counts().pending > 0
        assert relay.flush(3).pending == 0
    assert in_order(api.history["w"])


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
            empty = relay.counts().pending == 0
            put_run(relay, "child", tasks=2)
            code = 0 if empty and relay.close(5).pending == 0 else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert in_order(api.history["child"])
    assert relay.flush(5).pending == 0
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
            relay.put(workflow_post(f"p{number}"))

    thread = threading.Thread(target=busy)
    thread.start()
    try:
        for number in range(5):
            child = os.fork()
            if child == 0:
                try:
                    relay.put(workflow_post(f"c{number}"))
                    relay.flush(5)
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
    relay = relays(api, timeout=1.0)
    api.on(".", hang)
    started = time.monotonic()
    for number in range(1000):
        relay.put(workflow_post(f"w{number}"))
    assert time.monotonic() - started < 1.0
