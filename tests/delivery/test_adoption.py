"""What dead processes left is taken over by one process, once, and delivered as it was meant."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import adopters
from support.fault_server import TOKEN
from support.outbox_contract import (
    drain,
    message,
    task_patch,
    task_post,
    workflow_patch,
    workflow_post,
)
from support.processes import left_by, running

from dotflow.delivery import outbox as outbox_module
from dotflow.delivery import state
from dotflow.delivery.channel import outbox_name
from dotflow.delivery.client import Client
from dotflow.delivery.dialect import Destination, Dialect
from dotflow.delivery.message import Delivered, Kind
from dotflow.delivery.outbox import Outbox
from dotflow.delivery.relay import Relay

NAME = "a destination"


def said(messages):
    """What messages say, by record: the last word of each."""
    return {(one.workflow, one.task): json.loads(one.body).get("status") for one in messages}


@pytest.fixture
def adopter():
    outbox = Outbox(NAME)
    yield outbox
    outbox.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("processes", [2, 5])
def test_processes_that_start_at_once_share_what_is_left(api, processes):
    """Each file is adopted by one of them; nothing comes twice, nothing is left."""
    destination = Destination(api.url, TOKEN, Dialect.MANAGED)
    for number in range(12):
        wid = f"w{number}"
        left_by(
            outbox_name(destination),
            workflow_post(wid), running(workflow_patch(wid, status="In progress")),
            task_post(1, wid), running(task_patch(1, wid, status="In progress")),
        )  # fmt: skip
    tests = str(Path(adopters.__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, adopters.__file__, api.url, str(processes)],
        env={**os.environ, "PYTHONPATH": tests}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    keys = [seen.key for seen in api.seen]
    assert len(keys) == len(set(keys)) == 12 * 4
    assert {one["status"] for one in api.workflows.values()} == {"Failed"}
    assert {one["status"] for one in api.tasks.values()} == {"Failed"}


def test_a_run_that_is_resumed_under_its_id(api):
    """The new run's word counts; what it does not report of the old one fails."""
    destination = Destination(api.url, TOKEN, Dialect.MANAGED)
    api.workflows["w"] = {"id": "w", "status": "New"}
    left_by(
        outbox_name(destination),
        running(message(Kind.WORKFLOW_OPEN, "w", status="In progress")),
        task_post(1, "w"), task_patch(1, "w", status="Completed"),
        task_post(2, "w"), running(task_patch(2, "w", status="In progress")),
        task_post(3, "w"), running(task_patch(3, "w", status="In progress")),
    )  # fmt: skip
    relay = Relay(Outbox(outbox_name(destination)), Client(destination))
    try:
        relay.put(running(message(Kind.WORKFLOW_OPEN, "w", status="In progress")))
        relay.put(task_post(2, "w"))
        relay.put(running(task_patch(2, "w", status="In progress")))
        relay.flush(10)
        relay.put(task_patch(2, "w", status="Completed"))
        relay.put(workflow_patch("w", True, status="Completed"))
        assert relay.flush(10).pending == 0
    finally:
        relay.close(0)
    assert api.workflows["w"]["status"] == "Completed"
    assert api.history["w"][-1] == "PATCH workflow Completed"
    assert {task: one["status"] for (_, task), one in api.tasks.items()} == {
        1: "Completed", 2: "Completed", 3: "Failed",
    }  # fmt: skip
    assert state.spools() == []


def test_two_dead_runs_of_one_workflow_go_in_their_order(adopter):
    """The older one's words go first, also where both are found in one look."""
    for status in ("first", "second", "third"):
        left_by(NAME, task_patch(1, "w", status=status), workflow_patch("w", True, status=status))
    adopter.care()
    assert [json.loads(one.body)["status"] for one in drain(adopter) if one.task is None] == [
        "first",
        "second",
        "third",
    ]


def test_a_dead_run_after_a_dead_one_that_ended_is_ended_too(adopter):
    """That an earlier run of the workflow is being delivered does not mean that one goes on."""
    left_by(NAME, workflow_post("w"))
    left_by(NAME, running(message(Kind.WORKFLOW_OPEN, "w", status="In progress")))
    adopter.care()
    assert said(drain(adopter)) == {("w", None): "Failed"}


def test_what_is_under_way_is_not_pushed_aside(adopter):
    """What is adopted of a record whose message is being sent goes behind that one."""
    adopter.put(workflow_post("w"))
    [post] = adopter.claim()
    left_by(NAME, workflow_patch("w", status="In progress"))
    adopter.care()
    adopter.settle(post, Delivered())
    assert adopter.counts().delivered == 1
    assert said(drain(adopter)) == {("w", None): "In progress"}


def test_what_others_go_on_with_is_theirs_to_adopt(adopter):
    """A file with a workflow that a living process reports waits for that one."""
    left_by(NAME, running(workflow_patch("w", status="In progress")))
    other = Outbox(NAME)
    other.put(running(message(Kind.WORKFLOW_OPEN, "w", status="In progress")))
    adopter.care()
    assert adopter.counts().pending == 0
    other.care()
    assert said(drain(other)) == {("w", None): "In progress"}  # it is not over
    other.close()


def test_what_is_younger_than_a_file_that_is_left_waits_with_it(adopter):
    """A workflow's news of two dead processes are taken over together: the older go first."""
    left_by(NAME, workflow_patch("elsewhere", status="Old"), workflow_patch("w", status="Old"))
    left_by(NAME, workflow_patch("w", status="New"))
    left_by(NAME, workflow_patch("another", status="New"))
    other = Outbox(NAME)
    other.put(running(message(Kind.WORKFLOW_OPEN, "elsewhere")))
    adopter.care()
    assert said(drain(adopter)) == {("another", None): "New"}
    drain(other)
    other.put(workflow_patch("elsewhere", True, status="Completed"))
    drain(other)
    other.close()
    adopter.care(at_once=True)
    assert [json.loads(one.body)["status"] for one in drain(adopter) if one.workflow == "w"] == [
        "Old", "New",
    ]  # fmt: skip


def test_more_files_than_may_be_open(adopter, monkeypatch):
    """Of many files only some are open at once, and all are delivered."""
    monkeypatch.setattr(outbox_module, "MOST_ADOPTED", 3)
    for number in range(10):
        left_by(NAME, task_post(1, f"w{number}"))
    adopter.care()
    delivered, most = [], 0
    while claimed := adopter.claim():
        most = max(most, len(adopter._adopted))
        assert adopter.counts().pending
        adopter.settle(claimed[0], Delivered())
        delivered += claimed
    assert {one.workflow for one in delivered} == {f"w{number}" for number in range(10)}
    assert most == 3
    assert adopter.counts().pending == 0


def test_a_delivered_file_is_closed_while_the_process_lives(adopter):
    """Nothing of a dead process is held open once it is delivered."""
    left_by(NAME, task_post(1, "w"))
    adopter.care()
    drain(adopter)
    adopter.care(at_once=True)
    assert state.spools(NAME) == []
    assert not adopter._adopted


def test_one_bad_file_holds_up_no_other(adopter, caplog):
    """A file that cannot be read is named once and left; what comes after it is delivered."""
    [bad] = left_by(NAME, task_post(1, "w"))
    left_by(NAME, task_post(2, "w"))
    bad.write_bytes(b"this is no database, and never was" * 100)
    adopter.care()
    assert [one.task for one in drain(adopter)] == [2]
    adopter.care(at_once=True)
    assert caplog.text.count(str(bad)) == 1
    assert bad.exists()
    assert not state.is_owned(bad)


def test_dead_letters_that_cannot_be_moved_hold_up_nothing(adopter):
    """Where the file of all dead letters is damaged, what waits is delivered all the same."""
    left_by(NAME, task_post(1, "w"), task_post(2, "w"), refused=1)
    state.make_outbox_dir().joinpath("dead-letters.sqlite3").write_bytes(b"damaged" * 1000)
    adopter.care()
    assert [one.task for one in drain(adopter)] == [2]


def test_the_ids_of_a_dead_process_are_known(adopter):
    """The server's id of a task is there for the message that its process had no time to send."""
    left_by(NAME, task_post(1, "w"), task_patch(1, "w", status="Completed"), delivered=1)
    adopter.care()
    [patch] = adopter.claim()
    assert adopter.server_id(patch) == "srv"


def test_an_end_is_put_whole_or_not_at_all(adopter, monkeypatch):
    """One who is killed while it puts the ends that are owed leaves the others to the next."""
    left_by(
        NAME, running(workflow_patch("w", status="In progress")),
        running(task_patch(1, "w", status="In progress")), delivered=2,
    )  # fmt: skip
    killed = Outbox(NAME)
    changes = []

    def change(self, number, message):
        changes.append(message)
        if len(changes) == 2:
            raise MemoryError("killed here")
        real(self, number, message)

    real = outbox_module.DiskStore.change
    with monkeypatch.context() as patched:
        patched.setattr(outbox_module.DiskStore, "change", change)
        killed.care()
    killed.close()
    adopter.care()
    ends = drain(adopter)
    assert said(ends) == {("w", 1): "Failed", ("w", None): "Failed"}
    assert ends[-1].task is None
