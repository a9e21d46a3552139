"""ServerAPI: the managed dialect, and a run that goes on from process to process."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest
from support.fault_server import TOKEN, hang, status

from dotflow import Config, DotFlow, action
from dotflow.delivery import channel
from dotflow.providers import ServerAPI, StorageFile
from dotflow.runlog import files

WID = "orders 2026/11"


@action
def one():
    return 1


@action
def breaks(initial_context):
    if initial_context.storage["broken"]:
        raise ValueError("not yet")
    return 2


@pytest.fixture
def server(api):
    api.workflows[WID] = {"id": WID, "status": "New"}
    server = ServerAPI(api.url, TOKEN, timeout=60)
    yield server
    server.close(60)


def run(server, *steps, initial_context=None, storage=None, start=True, **kwargs):
    workflow = DotFlow(config=Config(server=server, storage=storage), workflow_id=WID)
    for step in steps:
        workflow.task.add(step, initial_context=initial_context)
    if start:
        workflow.start(**kwargs)
    return workflow


def test_a_managed_run_creates_no_workflow(api, server):
    """The workflow is there already: its number is asked for, its tasks are posted and changed."""
    run(server, one, one)
    assert server.flush(60).complete
    path = "/workflows/orders%202026%2F11"
    assert api.lines()[0] == f"GET {path}/tasks/next-id"
    assert "POST /workflows" not in api.lines()
    assert f"PATCH {path}/tasks/2" in api.lines()
    assert all(seen.headers["authorization"] == f"Bearer {TOKEN}" for seen in api.seen)
    assert [api.tasks[WID, number]["status"] for number in (1, 2)] == ["Completed"] * 2
    assert api.workflows[WID]["status"] == "Completed"


def test_numbers_go_on_where_they_were(api, server):
    """A second run under the same id numbers its tasks after those of the first."""
    run(server, one, one)
    server.flush(60)
    workflow = run(server, one)
    server.flush(60)
    assert [task.task_id for task in workflow.task.queue] == [3]
    assert sorted(number for _, number in api.tasks) == [1, 2, 3]


def test_a_resumed_run_reports_the_same_tasks(api, server, tmp_path):
    """A managed run that is resumed reports its tasks under the numbers that they had."""
    steps = (one, breaks)
    run(server, *steps, initial_context={"broken": True}, storage=StorageFile(path=tmp_path))
    server.flush(60)
    assert api.tasks[WID, 2]["status"] == "Failed"
    run(
        server, *steps, initial_context={"broken": False}, storage=StorageFile(path=tmp_path),
        resume=True,
    )  # fmt: skip
    assert server.flush(60).dead == 0
    assert sorted(number for _, number in api.tasks) == [1, 2]
    assert [api.tasks[WID, number]["status"] for number in (1, 2)] == ["Completed"] * 2


def test_tasks_of_a_run_that_never_starts_are_posted_at_close(api, server):
    """What was added and never started is reported as such."""
    run(server, one, start=False)
    server.close(60)
    assert api.tasks[WID, 1]["status"] == "Not started"


def test_what_was_added_survives_a_kill_before_the_start(api, server):
    """A task is on disk when `add` returns, also where its POST waits for the start."""
    script = (
        "import os, signal\n"
        "from dotflow import Config, DotFlow, action\n"
        "from dotflow.providers import ServerAPI\n"
        "@action\n"
        "def one(): return 1\n"
        f"config = Config(server=ServerAPI({api.url!r}, {TOKEN!r}))\n"
        f"flow = DotFlow(config=config, workflow_id={WID!r})\n"
        "flow.task.add([one, one])\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", script], timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert api.tasks == {}
    run(server, one)
    assert server.flush(60).complete
    # Which of the two the later program goes on with, the server says: it may know of one already.
    assert sorted(one["status"] for one in api.tasks.values()) == ["Completed", "Not started"]


def test_a_held_task_is_posted_once(api, server):
    """The start sends what was held, under the one id that it has."""
    run(server, one)
    assert server.flush(60).complete
    posts = [seen for seen in api.seen if seen.method == "POST"]
    assert len(posts) == 1
    assert server._channel.flush(60).pending == 0
    server.close(60)
    assert files.logs() == {}


def test_without_an_answer_numbers_cannot_collide(api, server, monkeypatch, caplog):
    """Where the server says no number a warning does, and the run goes on within the limit."""
    monkeypatch.setattr(channel, "ASK_TIMEOUT", 60.0)
    monkeypatch.setenv("DOTFLOW_NEXT_ID_TIMEOUT", "0.3")
    api.on("GET", hang)
    started = time.monotonic()
    workflow = run(server, one)
    assert time.monotonic() - started < 30
    assert workflow.task.queue[0].task_id > 10**15
    assert caplog.text.count("tasks are numbered from") == 1
    assert server.flush(60).complete
    assert api.tasks[WID, workflow.task.queue[0].task_id]["status"] == "Completed"


def test_an_unknown_workflow_does_not_fail_the_run(api, server):
    """A workflow that the server does not know is dead letters, and a run like any other."""
    del api.workflows[WID]
    api.on("GET", status(404))
    workflow = run(server, one)
    assert server.flush(60).dead > 0
    assert workflow.result_storage() == [1]


def test_an_id_of_our_own_is_created_in_this_dialect_too(api, server):
    """Without an id from outside the workflow is posted."""
    workflow = DotFlow(config=Config(server=server), name="n")
    workflow.task.add(one).add(one)
    workflow.start(mode="parallel")
    assert server.flush(60).complete
    wid = str(workflow.workflow_id)
    assert api.workflows[wid]["name"] == "n"
    assert {number for owner, number in api.tasks if owner == wid} == {1, 2}


def test_a_slash_at_the_end_is_stripped(api):
    """The address may end with a slash."""
    server = ServerAPI(f"{api.url}/", TOKEN)
    assert server.get_next_task_id("w") == 1
    server.close(60)
    assert api.lines() == ["GET /workflows/w/tasks/next-id"]


@pytest.mark.parametrize("url", ["", "nowhere", "ftp://x"])
def test_an_address_that_is_none_is_refused(url):
    """A mistake in the code is told at once."""
    with pytest.raises(ValueError, match="address of dotflow-api"):
        ServerAPI(url, TOKEN)
