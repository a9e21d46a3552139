"""MemoryOutbox: never lost, never doubled, in order."""

from __future__ import annotations

import json
import os
import threading

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from support.outbox_contract import (
    OutboxContract,
    drain,
    task_patch,
    task_post,
    workflow_patch,
    workflow_post,
)

from dotflow.delivery.message import Delivered, Kind, Message, Refused, TryLater
from dotflow.delivery.outbox import MemoryOutbox
from dotflow.delivery.server_ids import ServerIds


class TestMemoryOutbox(OutboxContract):
    @pytest.fixture
    def outbox(self):
        return MemoryOutbox()


def test_full_by_number():
    """What finds no room is counted as dead, and room that is made is used."""
    outbox = MemoryOutbox(max_messages=2)
    assert outbox.put(task_post(1))
    assert outbox.put(task_post(2))
    assert not outbox.put(task_post(3))
    assert (outbox.counts().pending, outbox.counts().dead) == (2, 1)
    drain(outbox)
    assert outbox.put(task_post(3))


def test_full_by_bytes():
    """The bodies together have a limit, which what was sent does not count against."""
    outbox = MemoryOutbox(max_bytes=100)
    big = Message(Kind.TASK_POST, "w", 1, b"x" * 90)
    assert outbox.put(big)
    assert not outbox.put(Message(Kind.TASK_POST, "w", 2, b"x" * 11))
    drain(outbox)
    assert outbox.put(Message(Kind.TASK_POST, "w", 2, b"x" * 100))


def test_a_full_outbox_still_takes_the_end_of_a_task():
    """A PATCH that merges needs no room, so the last state of a task is not lost."""
    outbox = MemoryOutbox(max_messages=1)
    outbox.put(task_patch(1, status="In progress"))
    assert outbox.put(task_patch(1, status="Completed"))
    assert json.loads(drain(outbox)[0].body)["status"] == "Completed"


def test_messages_due_at_one_moment(monkeypatch):
    """A workflow's message and a task's may come due at the very same time."""
    monkeypatch.setattr("dotflow.delivery.outbox.time.monotonic", lambda: 5.0)
    monkeypatch.setattr("dotflow.delivery.outbox.random.uniform", lambda low, high: 1.0)
    outbox = MemoryOutbox()
    outbox.put(workflow_patch(status="In progress"))
    outbox.put(task_post(1))
    for one in outbox.claim(9):
        outbox.settle(one, TryLater("busy"))
    assert outbox.due_in() > 0


def test_nothing_is_left_of_many_runs():
    """A process that runs workflow after workflow holds nothing of those that ended."""
    outbox = MemoryOutbox()
    for number in range(300):
        workflow = f"w{number}"
        outbox.put(workflow_post(workflow))
        outbox.put(task_post(1, workflow))
        outbox.put(task_patch(1, workflow, status="Completed"))
        outbox.put(workflow_patch(workflow, True, status="Completed"))
        drain(outbox)
    assert not outbox._workflows
    assert not outbox._ready
    assert not outbox._later
    assert outbox._bytes == 0


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
    outbox, seen, lock = MemoryOutbox(), [], threading.Lock()
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
    outbox = MemoryOutbox()
    outbox.put(task_post(1))
    [post] = outbox.claim()
    outbox.settle(post, Delivered("srv-1"))
    outbox.put(task_post(2))
    outbox.after_fork()
    assert outbox.counts().pending == 0
    assert outbox.claim() == []
    assert outbox.server_id(task_patch(1)) == "srv-1"


WORKFLOWS = st.sampled_from(["a", "b"])
TASKS = st.integers(1, 3)


class OutboxMachine(RuleBasedStateMachine):
    """Puts, claims and settles at will, and keeps its own books of what should come out."""

    def __init__(self):
        super().__init__()
        self.outbox = MemoryOutbox()
        self.number = 0
        self.put_count = self.settled = 0
        self.claimed = []
        self.last_put = {}
        self.last_out = {}
        self.posted = set()
        self.open_posts = {"a": 0, "b": 0}
        self.waiting_posts = {}

    def _put(self, kind, workflow, task=None, final=False):
        self.number += 1
        body = json.dumps({"n": self.number, f"f{self.number}": 1}).encode()
        assert self.outbox.put(Message(kind, workflow, task, body, final))
        self.last_put[workflow, task] = self.number

    @rule(workflow=WORKFLOWS)
    def post_workflow(self, workflow):
        self.open_posts[workflow] += 1
        self._put(Kind.WORKFLOW_POST, workflow)

    @rule(workflow=WORKFLOWS, final=st.booleans())
    def patch_workflow(self, workflow, final):
        self._put(Kind.WORKFLOW_PATCH, workflow, None, final)

    @rule(workflow=WORKFLOWS, task=TASKS)
    def post_task(self, workflow, task):
        self._put(Kind.TASK_POST, workflow, task)

    @rule(workflow=WORKFLOWS, task=TASKS)
    def patch_task(self, workflow, task):
        self._put(Kind.TASK_PATCH, workflow, task)

    @rule(limit=st.integers(1, 5))
    def claim(self, limit):
        before = [(one.workflow, one.task) for one in self.claimed]
        for one in self.outbox.claim(limit):
            lane = (one.workflow, one.task)
            assert lane not in before, "two messages of one record at a time"
            before.append(lane)
            if one.task is not None:
                assert self.open_posts[one.workflow] == 0, "a task before its workflow"
            self._in_order(one)
            self.claimed.append(one)

    def _in_order(self, one):
        number = json.loads(one.body)["n"]
        assert number >= self.last_out.get((one.workflow, one.task), 0), "out of order"
        if one.final and not self.open_posts[one.workflow]:
            waiting = [
                lane for lane, last in self.last_put.items()
                if lane[0] == one.workflow and lane[1] is not None
                and last > self.last_out.get(lane, 0)
            ]  # fmt: skip
            assert not waiting, "the end before its tasks"

    @precondition(lambda self: self.claimed)
    @rule(data=st.data(), outcome=st.sampled_from(["sent", "sent", "dead", "later", "away"]))
    def settle(self, data, outcome):
        one = self.claimed.pop(data.draw(st.integers(0, len(self.claimed) - 1)))
        if outcome in ("later", "away"):
            self.outbox.settle(one, TryLater("x", everywhere=outcome == "away"))
            self.outbox.hurry()
            return
        self._settle(one, Delivered("id") if outcome == "sent" else Refused(400, "x"))

    def _settle(self, one, outcome):
        self.outbox.settle(one, outcome)
        self.settled += 1
        self.last_out[one.workflow, one.task] = json.loads(one.body)["n"]
        if one.kind is Kind.WORKFLOW_POST:
            self.open_posts[one.workflow] -= 1

    @invariant()
    def counts_add_up(self):
        counts = self.outbox.counts()
        assert counts.delivered + counts.dead == self.settled
        assert counts.pending >= len(self.claimed)

    def teardown(self):
        while self.claimed or (claimed := self.outbox.claim(9)):
            for one in self.claimed or claimed:
                self._settle(one, Delivered())
            self.claimed = []
        assert self.outbox.counts().pending == 0, "something was left behind"
        assert self.last_out == self.last_put, "the last word of a record was lost"
        assert not self.outbox._workflows
        assert self.outbox._bytes == 0


OutboxMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestOutboxMachine = OutboxMachine.TestCase
