"""The outbox: never lost, never doubled, in order."""

from __future__ import annotations

import json
import os
import threading

import pytest
from support.outbox_contract import (
    OutboxContract,
    drain,
    task_patch,
    task_post,
    workflow_patch,
    workflow_post,
)

from dotflow.delivery import state
from dotflow.delivery.message import Delivered, Kind, Message, TryLater
from dotflow.delivery.outbox import Outbox
from dotflow.delivery.server_ids import ServerIds


class TestInMemory(OutboxContract):
    @pytest.fixture
    def outbox(self):
        return Outbox()


class TestOnDisk(OutboxContract):
    @pytest.fixture
    def outbox(self):
        outbox = Outbox("a destination")
        yield outbox
        counts = outbox.counts()
        outbox.close()
        assert bool(state.spools("a destination")) == bool(counts.pending or counts.running)


def test_full_by_number():
    """What finds no room is counted as dead, and room that is made is used."""
    outbox = Outbox(max_messages=2)
    assert outbox.put(task_post(1))
    assert outbox.put(task_post(2))
    assert not outbox.put(task_post(3))
    assert (outbox.counts().pending, outbox.counts().dead) == (2, 1)
    drain(outbox)
    assert outbox.put(task_post(3))


def test_full_by_bytes():
    """The bodies together have a limit, which what was sent does not count against."""
    outbox = Outbox(max_bytes=100)
    big = Message(Kind.TASK_POST, "w", 1, b"x" * 90)
    assert outbox.put(big)
    assert not outbox.put(Message(Kind.TASK_POST, "w", 2, b"x" * 11))
    drain(outbox)
    assert outbox.put(Message(Kind.TASK_POST, "w", 2, b"x" * 100))


def test_a_full_outbox_still_takes_the_end_of_a_task():
    """A PATCH that merges needs no room, so the last state of a task is not lost."""
    outbox = Outbox(max_messages=1)
    outbox.put(task_patch(1, status="In progress"))
    assert outbox.put(task_patch(1, status="Completed"))
    assert json.loads(drain(outbox)[0].body)["status"] == "Completed"


def test_messages_due_at_one_moment(monkeypatch):
    """A workflow's message and a task's may come due at the very same time."""
    monkeypatch.setattr("dotflow.delivery.queue.time.monotonic", lambda: 5.0)
    monkeypatch.setattr("dotflow.delivery.queue.random.uniform", lambda low, high: 1.0)
    outbox = Outbox()
    outbox.put(workflow_patch(status="In progress"))
    outbox.put(task_post(1))
    for one in outbox.claim(9):
        outbox.settle(one, TryLater("busy"))
    assert outbox.due_in() > 0


def test_nothing_is_left_of_many_runs():
    """A process that runs workflow after workflow holds nothing of those that ended."""
    outbox = Outbox()
    for number in range(300):
        workflow = f"w{number}"
        outbox.put(workflow_post(workflow))
        outbox.put(task_post(1, workflow))
        outbox.put(task_patch(1, workflow, status="Completed"))
        outbox.put(workflow_patch(workflow, True, status="Completed"))
        drain(outbox)
    queue = outbox._queue
    assert not queue._workflows
    assert not queue._ready
    assert not queue._later
    assert not queue._told
    assert queue.bytes == queue.running == 0
    assert not outbox._store._bodies


def test_ids_of_the_oldest_runs_are_forgotten():
    """Of ended runs as many ids are kept as there is room for, of others all."""
    ids = ServerIds(max_kept=4)
    for workflow in "abc":
        for task in (1, 2):
            ids.add(workflow, task, f"{workflow}{task}")
    for workflow in "ab":
        ids.end(workflow)
    ids.begin("a")
    ids.end("c")
    assert ids.get("a", 1) == "a1"
    ids.end("a")
    assert ids.get("b", 1) is None
    assert (ids.get("c", 2), ids.get("a", 2)) == ("c2", "a2")


def test_threads_lose_and_double_nothing():
    """With many threads putting and claiming, each message is delivered once."""
    outbox, seen, lock = Outbox(), [], threading.Lock()
    done = threading.Event()

    def put(workflow):
        for task in range(200):
            outbox.put(task_post(task, workflow))

    def take():
        while not done.is_set() or outbox.counts().pending:
            for one in outbox.claim(3):
                with lock:
                    seen.append((one.workflow, one.task))
                outbox.settle(one, Delivered())

    takers = [threading.Thread(target=take) for _ in range(3)]
    putters = [threading.Thread(target=put, args=(str(n),)) for n in range(3)]
    for thread in takers + putters:
        thread.start()
    for thread in putters:
        thread.join()
    done.set()
    for thread in takers:
        thread.join()
    assert len(seen) == len(set(seen)) == 600


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_after_fork_nothing_waits():
    """What is held before a fork is the parent's to send; the server's ids hold in the child."""
    outbox = Outbox()
    outbox.put(task_post(1))
    [post] = outbox.claim()
    outbox.settle(post, Delivered("srv-1"))
    outbox.put(task_post(2))
    outbox.after_fork()
    assert outbox.counts().pending == 0
    assert outbox.claim() == []
    assert outbox.server_id(task_patch(1)) == "srv-1"
