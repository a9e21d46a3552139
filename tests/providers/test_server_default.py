"""ServerDefault: what dotflow-api holds after a run is what the run was."""

from __future__ import annotations

import time

import pytest
from support.fault_server import TOKEN, hang, reset, status

from dotflow import Config, DotFlow, action
from dotflow.otel import ServerOtel
from dotflow.providers import ServerDefault

PATCH_FIELDS = {
    "status", "duration", "retry_count", "errors", "initial_context", "current_context",
    "previous_context",
}  # fmt: skip


@action
def extract():
    return {"rows": [1, 2]}


@action
def transform(previous_context):
    return len(previous_context.storage["rows"])


@action
def fails():
    raise ValueError("no rows")


@action(retry=3, retry_delay=0.01)
def flaky(initial_context):
    tries = initial_context.storage
    tries.append(len(tries) + 1)
    if len(tries) < 3:
        raise OSError(f"try {len(tries)}")
    return "at last"


@action
def slow():
    time.sleep(0.05)


@pytest.fixture
def server(api):
    server = ServerDefault(api.url, TOKEN, timeout=60)
    yield server
    server.close(60)


def workflow_of(server, *steps, **kwargs):
    workflow = DotFlow(config=Config(server=server), **kwargs)
    for step in steps:
        workflow.task.add(step)
    return workflow


def lines_of(api, what):
    return [line for line in api.history[next(iter(api.workflows))] if what in line]


def test_a_sequential_run(api, server):
    """The record of a run says names, states, durations and contexts, as JSON values."""
    workflow = workflow_of(server, extract, transform, name="etl")
    workflow.start()
    assert server.flush(60).complete
    wid = str(workflow.workflow_id)
    first, last = api.seen[0], api.seen[-1]
    assert (first.line, first.body) == (
        "POST /workflows",
        {"id": wid, "name": "etl", "status": "New"},
    )
    assert last.line == f"PATCH /workflows/{wid}"
    assert set(last.body) >= {"status", "duration"}
    assert api.workflows[wid]["status"] == "Completed"
    assert 0 < api.workflows[wid]["duration"] < 30
    one, two = api.tasks[wid, 1], api.tasks[wid, 2]
    assert (one["name"], two["name"]) == ("extract", "transform")
    assert one["current_context"] == two["previous_context"] == {"rows": [1, 2]}
    assert two["current_context"] == 2
    assert (one["group_name"], one["errors"], one["retry_count"]) == ("default", [], 0)
    assert one["status"] == two["status"] == "Completed"
    assert one["duration"] > 0


def test_each_call_has_the_fields_that_it_should(api, server):
    """A task's POST has five fields, its PATCHes seven, and no PATCH an id."""
    workflow_of(server, extract, fails).start()
    server.flush(60)
    for seen in api.seen:
        if seen.method == "POST" and seen.path.endswith("/tasks"):
            assert set(seen.body) == {"id", "name", "group_name", "status", "initial_context"}
            assert seen.body["status"] == "Not started"
        if seen.method == "PATCH" and "/tasks/" in seen.path:
            assert set(seen.body) == PATCH_FIELDS
        assert seen.method == "POST" or "id" not in seen.body
        assert seen.headers["x-user-token"] == TOKEN


def test_without_a_name_none_is_sent(api, server):
    """A workflow that was given no name is posted without one."""
    workflow_of(server, extract)
    server.flush(60)
    assert set(api.seen[0].body) == {"id", "status"}


def test_the_states_come_in_order(api, server):
    """Where nothing waits each state of each record is reported as it comes."""
    workflow = workflow_of(server, slow)
    server.flush(60)
    workflow.task.queue[0].callback = lambda task: server.flush(3)
    workflow.start()
    server.flush(60)
    history = api.history[str(workflow.workflow_id)]
    assert history[:2] == ["POST workflow New", "POST task 1 Not started"]
    assert history[-1] == "PATCH workflow Completed"
    assert "PATCH workflow In progress" in history
    assert history.index("PATCH task 1 Completed") < len(history) - 1


@pytest.mark.parametrize("mode", ["sequential", "background", "parallel", "sequential_group"])
def test_every_mode_reports_every_task(api, server, mode):
    """However a run goes, the parent reports all of it."""
    workflow = workflow_of(server, extract, extract, fails)
    manager = workflow.start(mode=mode, keep_going=True)
    if mode == "background":
        manager.thread.join(60)
    assert server.flush(60).complete
    wid = str(workflow.workflow_id)
    states = [api.tasks[wid, number]["status"] for number in (1, 2, 3)]
    assert states == ["Completed", "Completed", "Failed"]
    assert all(api.tasks[wid, number]["duration"] > 0 for number in (1, 2, 3))
    assert api.workflows[wid]["status"] == "Failed"
    assert api.history[wid][-1] == "PATCH workflow Failed"


def test_a_failed_run(api, server):
    """A failed task says why, and the tasks after it stay as they were posted."""
    workflow = workflow_of(server, fails, extract)
    workflow.start()
    server.flush(60)
    wid = str(workflow.workflow_id)
    [error] = api.tasks[wid, 1]["errors"]
    assert (error["attempt"], error["exception"], error["message"]) == (
        None,
        "ValueError",
        "no rows",
    )
    assert "ValueError: no rows" in error["traceback"]
    assert api.tasks[wid, 1]["status"] == api.workflows[wid]["status"] == "Failed"
    assert api.tasks[wid, 2]["status"] == "Not started"


def test_a_retried_task(api, server):
    """Each failed attempt is an error of its own; the task that was saved is no failure."""
    workflow = DotFlow(config=Config(server=server))
    workflow.task.add(flaky, initial_context=[])
    workflow.start()
    server.flush(60)
    task = api.tasks[str(workflow.workflow_id), 1]
    assert (task["status"], task["retry_count"], task["current_context"]) == (
        "Completed",
        2,
        "at last",
    )
    assert [error["attempt"] for error in task["errors"]] == [1, 2]


def test_tasks_are_changed_under_the_servers_id(api, server):
    """A PATCH goes to the id that the server gave, not to our number."""
    workflow_of(server, extract).start()
    server.flush(60)
    assert any(line.startswith("PATCH /tasks/srv-1") for line in api.lines())


def test_a_second_start_reaches_the_same_records(api, server):
    """A workflow that runs again changes its own records, though its first run has ended."""
    workflow = workflow_of(server, extract)
    for _ in range(2):
        workflow.start()
        assert server.flush(60).complete
    assert api.history[str(workflow.workflow_id)].count("PATCH workflow Completed") == 2
    assert not [line for line in api.lines() if line == "PATCH /tasks/1"]
    assert server.flush(0).dead == 0


@pytest.mark.slow
def test_faults_change_no_record(api, server, monkeypatch):
    """Whatever goes wrong on the way, the record is that of the run in the end."""
    monkeypatch.setattr("dotflow.delivery.order.lanes.FIRST_DELAY", 0.01)
    monkeypatch.setattr("dotflow.delivery.relay.worker.FIRST_PAUSE", 0.01)
    for fault in (status(500), reset(effect=True), status(503, effect=True), reset()):
        api.on(".", fault, times=4)
    workflow = workflow_of(server, *[extract] * 10)
    workflow.start()
    api.wait_for(lambda: server.flush(1).complete)
    assert len(api.tasks) == 10
    assert all(one["status"] == "Completed" for one in api.tasks.values())
    assert api.workflows[str(workflow.workflow_id)]["status"] == "Completed"


def test_a_hanging_server_costs_the_run_nothing(api):
    """Fifty tasks take as long with a server that never answers as with none."""

    def seconds(server):
        workflow = workflow_of(server, *[extract] * 50)
        started = time.perf_counter()
        workflow.start()
        return time.perf_counter() - started

    api.on(".", hang)
    server = ServerDefault(api.url, TOKEN, timeout=60)
    seconds(ServerDefault())
    without, hanging = seconds(ServerDefault()), seconds(server)
    server.close(0)
    assert hanging < without + 30


def test_odd_values_reach_the_server(api, server):
    """A context that JSON cannot say is said as text, and the rest of the record with it."""
    workflow = DotFlow(config=Config(server=server))
    workflow.task.add(extract, initial_context={1: float("nan"), "1": {2}, "s": "\ud800"})
    workflow.start()
    assert server.flush(60).dead == 0
    task = api.tasks[str(workflow.workflow_id), 1]
    assert task["initial_context"] == {"1": "nan", "1 (str)": "{2}", "s": "\ufffd"}


def test_without_an_address_nothing_is_reported():
    """ServerDefault() without variables does nothing, at no cost, and its flush is complete."""
    server = ServerDefault()
    workflow_of(server, extract).start()
    assert server.flush().complete
    assert server.close().complete
    assert not server._runs


def test_the_variables_are_read(api, monkeypatch):
    """The address and the token come from the environment where they are not given."""
    monkeypatch.setenv("DOTFLOW_SERVER_URL", f"{api.url}/")
    monkeypatch.setenv("DOTFLOW_USER_TOKEN", TOKEN)
    server = ServerDefault()
    workflow_of(server, extract)
    server.close(60)
    assert api.seen[0].line == "POST /workflows"


def test_nothing_of_ended_runs_is_kept(api, server):
    """A server that many workflows share holds nothing of those that ended."""
    for _ in range(20):
        workflow_of(server, extract, name="n").start()
    server.flush(60)
    assert not server._runs


def test_close_twice_and_a_run_after_it(api, server):
    """A server that was closed fails no run."""
    assert server.close(60).complete
    assert server.close(60).complete
    workflow = workflow_of(server, extract)
    workflow.start()
    assert workflow.result_storage() == [{"rows": [1, 2]}]
    assert not api.seen


def test_the_token_is_nowhere(api, server, caplog):
    """Neither a log line nor a repr holds the token."""
    api.on(".", status(401, {"detail": f"bad token {TOKEN}"}))
    workflow_of(server, extract).start()
    server.close(0.3)
    assert TOKEN not in caplog.text
    assert TOKEN not in repr(vars(server)) + repr(server._channel.destination)


NOTHING = [
    ("create_task", {"task": None}),
    ("update_task", {"task": None}),
    ("create_workflow", {"workflow": None}),
    ("update_workflow", {"workflow": None, "status": "In progress"}),
    ("update_workflow", {"workflow": None, "status": "Completed"}),
]


@pytest.mark.parametrize(("call", "words"), NOTHING)
def test_a_call_about_nothing(api, server, call, words):
    """Told of None a server does nothing, with a destination and without."""
    for one in (ServerDefault(), server, ServerOtel()):
        assert getattr(one, call)(**words) is None
    assert server.flush(30).complete
    assert api.seen == []
