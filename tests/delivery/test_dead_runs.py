"""The ends that a dead process owes: which, with what in them, and whatever its clock said."""

from __future__ import annotations

import json
import os

import pytest
from support.outbox_contract import (
    drain,
    message,
    task_patch,
    task_post,
    workflow_patch,
    workflow_post,
)
from support.processes import files_of_ours, left_by, running

from dotflow.delivery import dead_letters, disk, state
from dotflow.delivery.dead_runs import end_of
from dotflow.delivery.disk import SETTLED, Row
from dotflow.delivery.message import Kind, Message
from dotflow.delivery.outbox import Outbox

NAME = "a destination"

DAY = 86_400
CLOCKS = [0, -5 * 365 * DAY, 1e9, 4e9, 253402300800 + DAY, -62135596800 - DAY, 1e18, -1e18]
"""Seconds since the epoch: also before it, in the year 10000, and nowhere."""


def delivered_by_the_next():
    outbox = Outbox(NAME)
    outbox.care()
    found = {(one.workflow, one.task): json.loads(one.body) for one in drain(outbox)}
    outbox.close()
    return found


def row(task=1, body=b"{}", at=0.0):
    kind = Kind.WORKFLOW_PATCH if task is None else Kind.TASK_PATCH
    message = Message(kind, "w", task, b"", running=True)
    return Row(1, message, len(body), at, SETTLED, None, None, None)


def test_a_task_fails_with_what_was_known_of_it():
    """The end has the seven fields, the errors so far and one more, which says what happened."""
    earlier = {"attempt": 1, "exception": "OSError", "message": "no", "traceback": ""}
    body = json.dumps(
        {
            "status": "Retry", "duration": 1, "retry_count": 1, "errors": [earlier],
            "initial_context": {"a": 1}, "current_context": None, "previous_context": [2],
        }
    ).encode()  # fmt: skip
    end = end_of(row(body=body, at=100.0), body, 104.5)
    said = json.loads(end.body)
    assert (end.kind, end.final, end.running) == (Kind.TASK_PATCH, True, False)
    assert said["errors"][0] == earlier
    assert said["errors"][1]["exception"] == "ProcessEnded"
    assert "1970-01-01T00:01:44" in said["errors"][1]["message"]
    assert (said["status"], said["duration"], said["retry_count"]) == ("Failed", 4.5, 1)
    assert (said["initial_context"], said["previous_context"]) == ({"a": 1}, [2])
    assert len(said) == 7


@pytest.mark.parametrize(
    "body", [b"", b"no JSON", b"[1]", b'{"errors": null}', b'{"errors": 3}', b"\xff"]
)
def test_a_body_that_cannot_be_read(body):
    """Where it is not known what was said the end is put all the same."""
    said = json.loads(end_of(row(body=body), body, 5.0).body)
    assert said["status"] == "Failed"
    assert [one["exception"] for one in said["errors"]] == ["ProcessEnded"]


@pytest.mark.parametrize("last_seen", CLOCKS)
@pytest.mark.parametrize("at", CLOCKS)
def test_any_clock(at, last_seen):
    """A clock that jumps makes no end late, negative, or impossible."""
    for task in (None, 1):
        said = json.loads(end_of(row(task, at=at), b"{}", last_seen).body)
        assert said["duration"] >= 0


@pytest.mark.parametrize("mtime", [-(2**31), 0, 253402300800 + DAY])
def test_files_of_any_time(mtime):
    """The times of the files themselves may be anything."""
    left_by(NAME, running(task_patch(1, status="In progress")))
    for one in files_of_ours(state.state_dir()):
        os.utime(one, (mtime, mtime))
    assert delivered_by_the_next()["w", 1]["status"] == "Failed"


@pytest.mark.parametrize("jump", [-20 * 365 * DAY, 20 * 365 * DAY])
def test_a_jump_of_the_clock_reorders_nothing(monkeypatch, jump):
    """Order and times to wait come from no wall clock."""
    now = [1.7e9]
    monkeypatch.setattr(disk.time, "time", lambda: now[0])
    outbox = Outbox(NAME)
    messages = [workflow_post(), task_post(1), task_patch(1, status="Completed"), task_post(2)]
    for one in messages:
        outbox.put(one)
        now[0] += jump
    outbox.close()
    adopter = Outbox(NAME)
    adopter.care()
    out = drain(adopter)
    adopter.close()
    assert {one.id for one in out} == {one.id for one in messages}
    assert out[0] == messages[0]
    assert [one for one in out if one.task == 1] == messages[1:3]


def test_which_ends_are_owed():
    """Of what is under way, and of nothing else; a task that was only posted stays as it is."""
    left_by(
        NAME, workflow_post("a"), task_post(1, "a"), task_post(2, "a"), task_post(3, "a"),
        running(workflow_patch("a", status="In progress")),
        task_patch(1, "a", status="Completed"), running(task_patch(2, "a", status="Retry")),
        delivered=1,
    )  # fmt: skip
    found = delivered_by_the_next()
    assert {lane: said.get("status") for lane, said in found.items()} == {
        ("a", None): "Failed", ("a", 1): "Completed", ("a", 2): "Failed", ("a", 3): None,
    }  # fmt: skip


@pytest.mark.parametrize("task", [None, 1])
def test_a_status_that_was_refused_owes_its_end(task):
    """The server did not want to know that it goes on; that it ended is another report."""
    first = workflow_post() if task is None else task_post(task)
    kind = Kind.WORKFLOW_PATCH if task is None else Kind.TASK_PATCH
    left_by(NAME, first, running(message(kind, task=task)), delivered=1, refused=1)
    said = delivered_by_the_next()
    assert {key: body["status"] for key, body in said.items()} == {("w", task): "Failed"}
    [letter] = dead_letters.all_letters()
    assert (letter.message.kind, letter.status) == (kind, 422)


def test_a_record_that_was_refused_owes_nothing():
    """Where the server has made none there is nothing to end."""
    left_by(NAME, running(workflow_post()), refused=1)
    assert delivered_by_the_next() == {}


def test_a_run_that_ended_owes_nothing():
    """Where the end of the workflow is there, what it says is left as it is."""
    left_by(
        NAME, running(message(Kind.WORKFLOW_OPEN, "a", status="In progress")),
        running(task_patch(1, "a", status="In progress")),
        workflow_patch("a", True, status="Completed"), delivered=2,
    )  # fmt: skip
    assert delivered_by_the_next() == {("a", None): {"status": "Completed"}}


def test_a_run_whose_end_was_delivered_leaves_nothing():
    """Nothing of a run is kept once its end has arrived."""
    assert left_by(
        NAME, running(message(Kind.WORKFLOW_OPEN, "a", status="In progress")),
        running(task_patch(1, "a", status="In progress")),
        workflow_patch("a", True, status="Completed"), delivered=3,
    )  # fmt: skip
    assert delivered_by_the_next() == {}
