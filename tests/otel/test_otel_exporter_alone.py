"""DotflowSpanExporter alone in an application's provider: finished spans become records."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest
import requests
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    SimpleSpanProcessor,
    SpanExportResult,
)
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from support.fault_server import TOKEN as FAULT_TOKEN
from support.fault_server import FaultServer

from dotflow import DotFlow, action
from dotflow.api import ApiServer
from dotflow.otel import DotflowSpanExporter, DotflowSpanProcessor
from dotflow.providers import StorageFile

TOKEN = "a-token-of-the-tests"
ITS_OWN = ("id", "workflow_id", "trace_id", "created_at", "updated_at", "duration")
"""What differs from run to run."""


@pytest.fixture(autouse=True)
def nothing_left_running():
    """As in tests/conftest.py, but for the pool of the server that all tests share."""
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + 60
    while (left := _left(before)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not left, f"left running: {left}"


def _left(before):
    found = {one for one in threading.enumerate() if not one.name.startswith("AnyIO worker")}
    return found - before


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    with ApiServer(f"sqlite:///{tmp_path_factory.mktemp('api')}/api.db", TOKEN) as server:
        yield server


@pytest.fixture
def provider():
    one = TracerProvider(shutdown_on_exit=False)
    yield one
    one.shutdown()


@action
def add_one(initial_context, previous_context):
    return {"n": initial_context.storage["n"] + 1, "before": previous_context.storage, "api_key": 7}


class Tries:
    n = 0


@action(retry=3, retry_delay=0.01)
def third_time():
    Tries.n += 1
    if Tries.n < 3:
        raise ConnectionError(f"time {Tries.n} fails")
    return [1, 2]


@action
def broken():
    raise KeyError("no such thing")


def get(api, path):
    answer = requests.get(api.url + path, headers={"X-User-Token": TOKEN}, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.json()


def records(api, workflow):
    """The record of a run and those of its tasks."""
    return get(api, f"/workflows/{workflow}"), get(
        api, f"/workflows/{workflow}/tasks?include=contexts"
    )["tasks"]


def same(record):
    """What is the same of a record in each run of a workflow; of times, that they are there."""
    said = {name: value for name, value in record.items() if name not in ITS_OWN}
    said.update((name, bool(said[name])) for name in ("started_at", "finished_at"))
    if "attempts" in said:
        said["attempts"] = [[bool(at) for at in one] for one in said["attempts"]]
    if "openings" in said:
        said["openings"] = [one["status"] for one in said["openings"]]
    return said


def etl(config, name="etl"):
    Tries.n = 0
    flow = DotFlow(config=config, name=name)
    flow.task.add(add_one, initial_context={"n": 1, "password": "hunter2"})
    flow.task.add(third_time)
    flow.task.add(broken, group_name="late")
    flow.task.add(add_one, initial_context={"n": 2}, group_name="late")
    return flow


@pytest.mark.parametrize("dialect", ["default", "managed"])
def test_the_records_are_those_of_a_server_with_an_address(dialect, api, provider, servers, quiet):
    """Name, mode, plan, trace id, statuses, durations, contexts, tries and errors are the same."""
    there = servers(api.url, TOKEN, dialect, tracer_provider=TracerProvider(shutdown_on_exit=False))
    one = etl(quiet(there))
    one.start()
    assert there.flush(60).complete
    exporter = DotflowSpanExporter(api.url, TOKEN, dialect)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    other = etl(quiet(servers(tracer_provider=provider)))
    other.start()
    assert provider.force_flush(60_000)
    assert exporter.force_flush(60_000)
    expected, expected_tasks = records(api, one.workflow_id)
    found, found_tasks = records(api, other.workflow_id)
    assert same(found) == same(expected)
    assert list(map(same, found_tasks)) == list(map(same, expected_tasks))
    assert len(found["tasks"]) == 4
    assert len(found_tasks) == 3
    assert [len(task["errors"]) for task in found_tasks] == [0, 2, 1]
    assert [len(task["attempts"]) for task in found_tasks] == [
        0,
        3,
        0,
    ]  # one try is the task itself
    assert found["duration"] > 0
    for task, record in zip(other.result_task(), found_tasks, strict=False):
        assert record["duration"] == task.duration


@action(timeout=0.05)
def slow():
    time.sleep(2)


@action
def killed():
    os.kill(os.getpid(), signal.SIGKILL)


@action
def large():
    return {"rows": "x" * 3000}


def many(config, mode):
    """A run of each kind of end that a task can come to in a mode."""
    Tries.n = 0
    flow = DotFlow(config=config)
    for number, one in enumerate((large, broken, slow, killed if mode == "parallel" else large)):
        flow.task.add(one, initial_context=number, group_name=f"group {number % 2}")
    assert flow.start(mode=mode, keep_going=True).wait(60)
    return flow


def kept(config, workflow):
    """A run under an id from outside, and the run that goes on with it."""
    config.storage = StorageFile(path=workflow)
    for is_again in (False, True):
        flow = DotFlow(config=config, name="kept", workflow_id=workflow)
        flow.task.add([large, broken] if not is_again else [large, large])
        flow.start(resume=is_again)
    return flow


@pytest.mark.slow
@pytest.mark.parametrize("dialect", ["default", "managed"])
@pytest.mark.parametrize("mode", ["sequential_group", "background", "parallel", "resumed"])
def test_the_records_are_the_same_in_each_mode(mode, dialect, api, provider, servers, quiet):
    """Timeouts, killed children, results that were kept, and runs that others have made."""
    exporter = DotflowSpanExporter(api.url, TOKEN, dialect)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    there = servers(api.url, TOKEN, dialect, tracer_provider=TracerProvider(shutdown_on_exit=False))
    found = []
    for number, server in enumerate((there, servers(tracer_provider=provider))):
        if mode == "resumed":
            workflow = f"{dialect}-{number}"
            body, headers = {"id": workflow}, {"X-User-Token": TOKEN}
            requests.post(f"{api.url}/workflows", json=body, headers=headers, timeout=60)
            flow = kept(quiet(server), workflow)
        else:
            flow = many(quiet(server), mode)
        assert server.flush(60).complete
        assert provider.force_flush(60_000)
        assert exporter.force_flush(60_000)
        found.append(records(api, flow.workflow_id))
    (expected, expected_tasks), (run, tasks) = found
    assert same(run) == same(expected)
    assert list(map(same, tasks)) == list(map(same, expected_tasks))
    assert len(tasks) == (2 if mode == "resumed" else 4)


# Once, whoever is there beside it.


@pytest.fixture
def seen():
    """A dotflow-api that remembers each call."""
    server = FaultServer()
    yield server
    server.close()


def once(workflow, tasks=1):
    """The calls about a run, if each record is made once and ended once."""
    made = [f"POST task {task} In progress" for task in range(1, tasks + 1)]
    ended = [f"PATCH task {task} Completed" for task in range(1, tasks + 1)]
    return sorted(["POST workflow In progress", *made, *ended, "PATCH workflow Completed"])


def exporters(seen, provider, which):
    """Put exporters and processors of ours on a provider; what is to be flushed."""
    made = [DotflowSpanExporter(seen.url, FAULT_TOKEN)]
    if which == "simple":
        provider.add_span_processor(SimpleSpanProcessor(made[0]))
    if which in ("batch", "both", "two"):
        provider.add_span_processor(BatchSpanProcessor(made[0]))
    if which == "two":
        made.append(DotflowSpanExporter(seen.url, FAULT_TOKEN))
        provider.add_span_processor(SimpleSpanProcessor(made[1]))
    if which in ("processor", "both"):
        made.append(DotflowSpanExporter(seen.url, FAULT_TOKEN))
        provider.add_span_processor(DotflowSpanProcessor(made[-1]))
    return made


@pytest.mark.parametrize("which", ["batch", "simple", "processor", "both", "two"])
def test_each_record_is_made_once_in_all_pairs(which, seen, provider, servers, quiet):
    """A ServerOtel with an address and without, spans by hand: one POST and one end of each."""
    made = exporters(seen, provider, which)
    spans = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    flows = []
    for address in ((seen.url, FAULT_TOKEN), ()):
        flow = DotFlow(config=quiet(servers(*address, tracer_provider=provider)), name="etl")
        flow.task.add(add_one, initial_context={"n": 1})
        flow.start()
        flows.append(str(flow.workflow_id))
    by_hand(provider.get_tracer("theirs"), "by-hand")
    assert provider.force_flush(60_000)
    assert all(one.force_flush(60_000) for one in made)
    for workflow in (*flows, "by-hand"):
        calls = [one for one in seen.history[workflow] if "PATCH task 1 In" not in one]
        assert sorted(calls) == once(workflow), seen.history[workflow]
        assert calls[0] == "POST workflow In progress"
        assert calls[-1] == "PATCH workflow Completed"
    reported = [one for one in spans.get_finished_spans() if one.attributes.get("dotflow.reported")]
    of_them = {one.attributes["dotflow.workflow.id"] for one in reported}
    assert of_them == (set(flows) if which in ("processor", "both") else {flows[0]})
    # Read again, as from a file: what was reported is known, in this process and in any.
    before = len(seen.seen)
    again = DotflowSpanExporter(seen.url, FAULT_TOKEN)
    assert again.export(reported) is SpanExportResult.SUCCESS
    assert again.force_flush(60_000)
    assert len(seen.seen) == before
    again.shutdown()


def by_hand(tracer, workflow, tasks=1, **attributes):
    """A run of somebody's own: spans with our attributes."""
    known = {"dotflow.workflow.id": workflow, "dotflow.workflow.name": "theirs"}
    with tracer.start_as_current_span("a run", attributes={**known, **attributes}):
        for number in range(1, tasks + 1):
            said = {
                "dotflow.workflow.id": workflow,
                "dotflow.task.id": number,
                "dotflow.task.name": f"step {number}",
                "dotflow.task.context.current": '{"rows": 3}',
            }
            with tracer.start_as_current_span("a task", attributes=said):
                pass
