"""What ServerOtel reports to dotflow-api, by way of spans: the records equal what happened."""

from __future__ import annotations

import math
import os
import signal
import time

import pytest
import requests
from opentelemetry import context, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from dotflow import Context, DotFlow, action
from dotflow.otel import DotflowSpanExporter, DotflowSpanProcessor

TOKEN = "a-token-of-the-tests"
MODES = ["sequential", "background", "parallel", "sequential_group"]

tries = {}


@action
def add_one(initial_context, previous_context):
    return {"n": initial_context.storage["n"] + 1, "before": previous_context.storage}


@action(retry=3, retry_delay=0.01)
def second_time():
    tries["n"] = tries.get("n", 0) + 1
    if tries["n"] == 1:
        raise ConnectionError("the first time it fails")
    return [1, 2]


@action
def broken():
    raise KeyError("no such thing")


@action
def killed():
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(params=["default", "managed"])
def dialect(request):
    return request.param


def get(api, path):
    answer = requests.get(api.url + path, headers={"X-User-Token": TOKEN}, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.json()


def run(server, config, steps, mode="sequential", **kwargs):
    flow = DotFlow(config=config(server), name="etl", **kwargs)
    for number, step in enumerate(steps):
        group = f"group {number % 2}" if mode == "sequential_group" else "default"
        flow.task.add(step, initial_context={"n": number}, group_name=group)
    manager = flow.start(mode=mode, keep_going=mode == "sequential")
    if mode == "background":
        manager.thread.join(60)
    result = server.flush(10)
    assert (result.pending, result.dead) == (0, 0)
    return flow


@pytest.mark.parametrize("mode", MODES)
def test_the_records_equal_the_run(mode, dialect, api, servers, quiet):
    """Name, mode, trace id, plan, statuses, durations, contexts and errors are in dotflow-api."""
    tries.clear()
    server = servers(api.url, TOKEN, dialect)
    flow = run(server, quiet, [add_one, second_time], mode)

    record = get(api, f"/workflows/{flow.workflow_id}")
    assert record["name"] == "etl"
    assert record["mode"] == mode
    assert record["status"] == "Completed"
    assert record["trace_id"] == flow.workflow_id.hex
    assert record["duration"] > 0
    assert [task["name"] for task in record["tasks"]] == ["add_one", "second_time"]

    tasks = get(api, f"/workflows/{flow.workflow_id}/tasks?include=contexts")["tasks"]
    assert len(tasks) == 2
    for task, stored in zip(flow.result_task(), tasks, strict=True):
        assert stored["task_id"] == task.task_id
        assert stored["name"] == task.step.name
        assert stored["group_name"] == task.group_name
        assert stored["status"] == task.status == "Completed"
        assert stored["duration"] == task.duration
        assert stored["retry_count"] == task.retry_count
        assert stored["initial_context"] == task.initial_context.storage
        assert stored["previous_context"] == task.previous_context.storage
        assert stored["current_context"] == task.current_context.storage
    [error] = tasks[1]["errors"]
    assert (error["attempt"], error["exception"]) == (1, "ConnectionError")
    assert 'raise ConnectionError("the first time it fails")' in error["traceback"]


@pytest.mark.parametrize("mode", MODES)
def test_failures_are_in_the_records(mode, api, servers, quiet):
    """A failed task and its run are Failed, with the error."""
    server = servers(api.url, TOKEN)
    flow = run(server, quiet, [broken, add_one], mode)
    assert get(api, f"/workflows/{flow.workflow_id}")["status"] == "Failed"
    tasks = {
        one["name"]: one
        for one in get(api, f"/workflows/{flow.workflow_id}/tasks?include=contexts")["tasks"]
    }
    assert tasks["broken"]["status"] == "Failed"
    [error] = tasks["broken"]["errors"]
    assert (error["attempt"], error["exception"]) == (None, "KeyError")
    assert tasks["broken"]["current_context"] is None


def test_a_killed_child_is_a_failed_record(api, servers, quiet):
    """The parent reports what the child no longer can."""
    server = servers(api.url, TOKEN)
    flow = run(server, quiet, [killed, add_one], "parallel")
    tasks = {
        one["name"]: one
        for one in get(api, f"/workflows/{flow.workflow_id}/tasks?include=contexts")["tasks"]
    }
    assert tasks["killed"]["status"] == "Failed"
    assert "SIGKILL" in tasks["killed"]["errors"][0]["message"]
    assert tasks["add_one"]["status"] == "Completed"


def test_a_task_that_never_ran_is_only_in_the_plan(api, servers, quiet):
    """The plan has all tasks, the records those that began."""
    server = servers(api.url, TOKEN)
    flow = DotFlow(config=quiet(server))
    flow.task.add([broken, broken])
    flow.start()
    server.flush(60)
    assert len(get(api, f"/workflows/{flow.workflow_id}")["tasks"]) == 2
    assert len(get(api, f"/workflows/{flow.workflow_id}/tasks?include=contexts")["tasks"]) == 1


def test_a_running_task_can_be_seen(api, servers, quiet):
    """The POST leaves when the span starts: who asks meanwhile is told "In progress"."""
    seen = []

    @action
    def look():
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not seen:
            answer = requests.get(
                f"{api.url}/workflows/{flow.workflow_id}/tasks",
                headers={"X-User-Token": TOKEN}, timeout=10,
            )  # fmt: skip
            if answer.status_code == 200 and answer.json()["tasks"]:
                seen.append(answer.json()["tasks"][0]["status"])
            time.sleep(0.01)

    server = servers(api.url, TOKEN)
    flow = DotFlow(config=quiet(server))
    flow.task.add(look)
    flow.start()
    assert seen == ["In progress"]


@pytest.mark.parametrize("variables", [{"OTEL_TRACES_SAMPLER": "always_off"},
                                       {"OTEL_TRACES_SAMPLER": "traceidratio",
                                        "OTEL_TRACES_SAMPLER_ARG": "0.0"},
                                       {"OTEL_SDK_DISABLED": "true"}])  # fmt: skip
def test_sampling_has_no_say_in_the_records(variables, api, servers, quiet, monkeypatch):
    """With every span sampled out, or the SDK switched off, the records are the same."""
    tries.clear()
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    server = servers(api.url, TOKEN)
    flow = run(server, quiet, [add_one, second_time, broken])
    record = get(api, f"/workflows/{flow.workflow_id}")
    assert record["status"] == "Failed"
    assert record["trace_id"] == flow.workflow_id.hex
    tasks = get(api, f"/workflows/{flow.workflow_id}/tasks?include=contexts")["tasks"]
    assert [one["status"] for one in tasks] == ["Completed", "Completed", "Failed"]
    assert [one["retry_count"] for one in tasks] == [0, 1, 0]


def test_a_parent_that_is_not_sampled_has_no_say_either(api, servers, quiet):
    """A run within somebody's unsampled span is in dotflow-api all the same, under its trace."""
    provider = TracerProvider(sampler=ALWAYS_OFF)
    server = servers(api.url, TOKEN, tracer_provider=provider)
    outer = provider.get_tracer("theirs").start_span("outer")
    token = context.attach(trace.set_span_in_context(outer))
    try:
        flow = run(server, quiet, [add_one])
    finally:
        context.detach(token)
    record = get(api, f"/workflows/{flow.workflow_id}")
    assert record["status"] == "Completed"
    assert record["trace_id"] == format(outer.get_span_context().trace_id, "032x")
    provider.shutdown()


def test_a_managed_run_moves_the_record_that_is_there(api, servers, quiet):
    """No POST of the workflow; numbers go on; the first PATCH says what the run is."""
    url = f"{api.url}/workflows"
    headers = {"Authorization": f"Bearer {TOKEN}"}
    requests.post(url, json={"id": "orders/11"}, headers=headers, timeout=60).raise_for_status()
    first = servers(api.url, TOKEN, "managed")
    run(first, quiet, [add_one, add_one], workflow_id="orders/11")
    second = servers(api.url, TOKEN, "managed")
    flow = run(second, quiet, [add_one], workflow_id="orders/11")
    assert [task.task_id for task in flow.result_task()] == [3]
    record = get(api, "/workflows/orders%2F11")
    assert (record["name"], record["mode"], record["status"]) == ("etl", "sequential", "Completed")
    tasks = get(api, "/workflows/orders%2F11/tasks?include=contexts")["tasks"]
    assert [one["task_id"] for one in tasks] == [1, 2, 3]


def test_a_second_run_moves_the_same_records(api, servers, quiet):
    """start() again reports the same tasks, not new ones."""
    server = servers(api.url, TOKEN)
    flow = run(server, quiet, [add_one])
    flow.start()
    server.flush(60)
    assert get(api, f"/workflows/{flow.workflow_id}")["status"] == "Completed"
    assert len(get(api, f"/workflows/{flow.workflow_id}/tasks?include=contexts")["tasks"]) == 1


def test_odd_contexts_arrive_valid(api, servers, quiet):
    """NaN, bytes, cycles and half surrogate pairs arrive as something that JSON can say."""
    cycle = [1]
    cycle.append(cycle)

    @action
    def odd():
        return {"nan": math.nan, "bytes": b"\xff", "cycle": cycle, "half": "\ud800", 5: "five"}

    server = servers(api.url, TOKEN)
    flow = run(server, quiet, [odd])
    [task] = get(api, f"/workflows/{flow.workflow_id}/tasks?include=contexts")["tasks"]
    assert task["current_context"] == {
        "nan": "nan", "bytes": "b'\\xff'", "cycle": [1, "[...]"], "half": "\ufffd", "5": "five",
    }  # fmt: skip


def test_odd_names_cost_no_spans(api, servers, quiet, otlp):
    """Half a surrogate pair in a name or an id is U+FFFD in the span, which protobuf can encode."""
    server = servers(api.url, TOKEN, endpoint=otlp.http_url)
    flow = DotFlow(config=quiet(server), name="half \ud800", workflow_id="id \udfff")
    flow.task.add(add_one, initial_context={"n": 1}, group_name="\ud800")
    flow.start()
    assert server.flush(60).complete
    assert {span.name for span in otlp.wait_for(2)} == {"half \ufffd", "add_one"}
    assert get(api, "/workflows/id%20%EF%BF%BD")["name"] == "half \ufffd"


def test_contexts_reach_the_api_whole(api, servers, quiet):
    """The limit is the spans': dotflow-api has what a span cuts, masked as everywhere."""

    @action
    def large():
        return {"password": "p", "rows": ["x" * 100] * 1000}

    server = servers(api.url, TOKEN)
    flow = run(server, quiet, [large])
    [task] = get(api, f"/workflows/{flow.workflow_id}/tasks?include=contexts")["tasks"]
    assert task["current_context"] == {"password": "***", "rows": ["x" * 100] * 1000}


def test_a_context_over_the_limit_is_replaced(api, servers, quiet):
    """A body of more than 5 MiB says so in place of its largest context."""

    @action
    def huge():
        return "x" * (6 * 2**20)

    server = servers(api.url, TOKEN)
    flow = run(server, quiet, [huge])
    [task] = get(api, f"/workflows/{flow.workflow_id}/tasks?include=contexts")["tasks"]
    assert task["current_context"] == {"message": "Context size exceeded"}
    assert task["initial_context"] == {"n": 0}


def test_a_dead_api_changes_nothing_for_the_run(servers, quiet):
    """With no server there the run completes, and what is left is said."""
    server = servers("http://127.0.0.1:9", TOKEN)
    flow = DotFlow(config=quiet(server))
    flow.task.add([add_one] * 3, initial_context={"n": 1})
    begin = time.monotonic()
    flow.start()
    assert time.monotonic() - begin < 30
    assert [task.status for task in flow.result_task()] == ["Completed"] * 3
    result = server.flush(0.3)
    assert (result.delivered, result.complete) == (0, False)
    assert result.pending > 0
    server.close(0)


def test_exporter_and_processor_serve_an_applications_own_setup(api, servers, quiet):
    """Added to an application's provider, they report what a ServerOtel without API runs."""
    exporter = DotflowSpanExporter(api.url, TOKEN)
    provider = TracerProvider()
    provider.add_span_processor(DotflowSpanProcessor(exporter))
    with provider.get_tracer("theirs").start_as_current_span("not a run"):
        pass
    server = servers(tracer_provider=provider)
    flow = DotFlow(config=quiet(server), name="etl")
    flow.task.add(add_one, initial_context={"n": 1})
    flow.start()
    assert provider.force_flush()
    assert get(api, f"/workflows/{flow.workflow_id}")["status"] == "Completed"
    [task] = get(api, f"/workflows/{flow.workflow_id}/tasks?include=contexts")["tasks"]
    assert task["current_context"] == {"n": 2, "before": None}
    provider.shutdown()


def test_every_odd_value_arrives_valid_at_both_ends(api, servers, quiet, otlp):
    """One task a value: each completes unchanged, and span and record are there and valid."""
    from test_otel_values import ODD, spoken

    made = {name: make() for name, make in ODD.items()}

    @action
    def give(initial_context):
        return made[initial_context.storage]

    server = servers(api.url, TOKEN, endpoint=otlp.http_url)
    flow = DotFlow(config=quiet(server))
    for name in made:
        flow.task.add(give, initial_context=name)
    flow.start()
    assert server.flush(60).complete
    for task, value in zip(flow.result_task(), made.values(), strict=True):
        expected = value.storage if isinstance(value, Context) else value
        assert task.status == "Completed"
        assert task.current_context.storage is expected
    spans = [span for span in otlp.wait_for(len(made) + 1) if span.name == "give"]
    assert len(spans) == len(made)
    for span in spans:
        if "dotflow.task.context.current_truncated" not in span.attributes:
            spoken(span.attributes["dotflow.task.context.current"])
    tasks = get(api, f"/workflows/{flow.workflow_id}/tasks?include=contexts")["tasks"]
    assert [task["status"] for task in tasks] == ["Completed"] * len(made)
    assert all(task["current_context"] is not None for task in tasks)


def test_an_id_of_ones_own_is_recorded_where_nobody_made_the_record(api, servers, quiet):
    """In the default dialect a run under an id from outside makes its record if there is none."""
    server = servers(api.url, TOKEN)
    flow = run(server, quiet, [add_one, add_one], workflow_id="orders-2026-11")
    record = get(api, "/workflows/orders-2026-11")
    assert (record["name"], record["status"]) == ("etl", "Completed")
    assert len(get(api, "/workflows/orders-2026-11/tasks?include=contexts")["tasks"]) == 2
    again = servers(api.url, TOKEN)
    run(again, quiet, [add_one, add_one], workflow_id="orders-2026-11")
    assert again.flush(60).dead == 0
    assert len(flow.result_task()) == 2


def test_in_the_managed_dialect_a_record_that_is_not_there_is_not_made(api, servers, quiet):
    """There the record is somebody else's to make: what cannot be reported is said and counted."""
    server = servers(api.url, TOKEN, "managed")
    flow = DotFlow(config=quiet(server), workflow_id="nobody-made-it")
    flow.task.add(add_one, initial_context={"n": 1})
    flow.start()
    assert server.flush(60).dead > 0
    answer = requests.get(
        f"{api.url}/workflows/nobody-made-it", headers={"X-User-Token": TOKEN}, timeout=10
    )
    assert answer.status_code == 404
