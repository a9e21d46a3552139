"""What DotflowSpanExporter makes of spans: by hand, late, twice, out of order, hostile."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from opentelemetry.sdk.trace import Event, ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext, Status, StatusCode, TraceFlags
from support.fault_server import TOKEN, FaultServer, status

from dotflow import Config, DotFlow, action
from dotflow.delivery.dead.adopted import ends_owed
from dotflow.otel import DotflowSpanExporter, DotflowSpanProcessor, ServerOtel
from dotflow.otel.heard import runs as heard_runs
from dotflow.runlog import files
from dotflow.runlog.reader import dead_lines

LONG = 3600.0
SECONDS = 60.0
NS = 1_000_000_000
START = 1_790_000_000 * NS


@pytest.fixture
def api():
    server = FaultServer()
    yield server
    server.close()


@pytest.fixture
def exporter(api):
    one = DotflowSpanExporter(api.url, TOKEN, wait=LONG)
    yield one
    one.close(SECONDS)


def span(name, number, parent=0, start=0, end=1, trace_id=7, **said):
    """A finished span, as a reader of a file makes it; times are seconds."""
    attributes = {f"dotflow.{key.replace('__', '.')}": value for key, value in said.items()}
    return ReadableSpan(
        name,
        SpanContext(trace_id, number, False, TraceFlags(1)),
        SpanContext(trace_id, parent, False, TraceFlags(1)) if parent else None,
        attributes=attributes,
        start_time=START + int(start * NS),
        end_time=START + int(end * NS),
    )


def root(number=1, workflow="w", start=0, end=10, **said):
    known = {"workflow__name": "etl", "workflow__mode": "parallel", **said}
    return span("a run", number, 0, start, end, workflow__id=workflow, **known)


def task(task_id, number=None, parent=1, workflow="w", start=1, end=2, **said):
    return span(
        "a task", number or 100 + task_id, parent, start, end, workflow__id=workflow,
        task__id=task_id, task__name=f"step {task_id}", **said,
    )  # fmt: skip


def sent(api, line):
    return [one.body for one in api.seen if one.line == line]


def test_tasks_wait_for_the_span_of_their_workflow(api, exporter):
    """What is exported later than its tasks is posted before them, with name, mode and plan."""
    plan = '[[1,"step 1","default"],[2,"step 2","default"]]'
    exporter.export([task(1)])
    exporter.export([task(2)])
    exporter.export([root(workflow__plan=plan)])
    assert exporter.channel.flush(SECONDS).complete
    assert api.history["w"][0] == "POST workflow In progress"
    assert api.history["w"][-1] == "PATCH workflow Completed"
    [posted] = sent(api, "POST /workflows")
    assert posted == {
        "id": "w", "name": "etl", "mode": "parallel", "trace_id": f"{7:032x}",
        "status": "In progress", "tasks": [
            {"id": 1, "name": "step 1", "group_name": "default"},
            {"id": 2, "name": "step 2", "group_name": "default"},
        ],
    }  # fmt: skip
    assert {one["status"] for one in api.tasks.values()} == {"Completed"}


@pytest.mark.parametrize("by", ["argument", "variable", "flush"])
def test_tasks_wait_no_longer_than_they_may(by, api, monkeypatch):
    """Then the workflow is posted with its id alone; its end says what it is."""
    monkeypatch.setenv("DOTFLOW_EXPORTER_WAIT", "0.2" if by == "variable" else str(LONG))
    exporter = DotflowSpanExporter(api.url, TOKEN, wait=0.2 if by == "argument" else None)
    exporter.export([task(1)])
    if by == "flush":
        assert exporter.force_flush(60_000)
    api.wait_for(lambda: api.tasks.get(("w", 1), {}).get("status") == "Completed", SECONDS)
    assert sent(api, "POST /workflows") == [{"id": "w", "status": "In progress"}]
    exporter.export([task(2), root(workflow__plan="[]", workflow__duration=2.5)])
    assert exporter.force_flush(60_000)
    assert sent(api, "PATCH /workflows/w") == [
        {
            "name": "etl", "mode": "parallel", "trace_id": f"{7:032x}", "tasks": [],
            "status": "Completed", "duration": 2.5,
        }
    ]  # fmt: skip
    assert api.history["w"][-1] == "PATCH workflow Completed"
    assert len(sent(api, "POST /workflows")) == 1
    exporter.shutdown()


def test_a_run_whose_span_never_ends_stays_in_progress(api):
    """Also when its process has ended: nobody takes it for a dead one's."""
    exporter = DotflowSpanExporter(api.url, TOKEN, wait=0)
    exporter.export([task(1)])
    assert exporter.force_flush(60_000)
    [segments] = files.logs().values()
    facts, damaged = dead_lines(segments)
    facts = [one for one in facts if one.get("w") == "w"]
    assert [one["f"] for one in facts] == ["run began", "task began", "task ended"]
    assert not damaged
    assert ends_owed(facts, time.time()) == []
    exporter.shutdown()
    assert api.workflows["w"]["status"] == "In progress"
    assert api.tasks["w", 1]["status"] == "Completed"


def test_each_span_is_told_once_in_any_order(api, exporter):
    """A file in any order, brought twice, in one piece: began, tasks and end, as they belong."""
    spans = [
        root(),
        task(1),
        span("attempt", 51, 102, 1, 2, attempt__number=1),
        task(2, task__max_attempts=3, task__status="Completed", task__retry_count=1),
        span("attempt", 52, 102, 2, 3, attempt__number=2),
    ]
    spans[2]._status = Status(StatusCode.ERROR)
    spans[2]._events = [
        Event(
            "exception",
            {
                "exception.type": "mod.Away",
                "exception.message": "password=hunter2",
                "exception.stacktrace": "Traceback: all of it",
            },
        )
    ]
    for _ in range(2):
        exporter.export(spans)
        exporter.export(spans[::-1])
    assert exporter.force_flush(60_000)
    assert sorted(api.history["w"]) == [
        "PATCH task 1 Completed", "PATCH task 2 Completed", "PATCH workflow Completed",
        "POST task 1 In progress", "POST task 2 In progress", "POST workflow In progress",
    ]  # fmt: skip
    assert api.tasks["w", 2]["errors"] == [
        {
            "attempt": 1, "exception": "Away", "message": "password=***",
            "traceback": "Traceback: all of it",
        }
    ]  # fmt: skip
    assert api.tasks["w", 2]["retry_count"] == 1


def test_what_a_span_does_not_say_follows_from_it(api, exporter):
    """Name, group, status, duration and the error come from the span itself."""
    failed = span("step", 2, 1, 1, 3.5, workflow__id="w", task__id="4", workflow__reported=True)
    failed._status = Status(StatusCode.ERROR, "ValueError: no rows")
    failed._attributes["error.type"] = "ValueError"
    run = span("a run", 1, 0, 0, 4, workflow__id="w")
    run._status = Status(StatusCode.ERROR)
    exporter.export([failed, run])
    assert exporter.force_flush(60_000)
    assert (api.workflows["w"]["name"], api.workflows["w"]["status"]) == ("a run", "Failed")
    assert api.workflows["w"]["duration"] == 4
    found = api.tasks["w", 4]
    assert (found["name"], found["group_name"], found["status"]) == ("step", "default", "Failed")
    assert (found["duration"], found["retry_count"]) == (2.5, 0)
    [error] = found["errors"]
    assert (error["exception"], error["message"]) == ("ValueError", "no rows")


def test_contexts_are_what_was_encoded(api, exporter):
    """JSON is read, what is none or was cut is a text, and secrets are masked."""
    exporter.export([
        task(
            1,
            task__context__initial='{"day": 1, "password": "hunter2"}',
            task__context__previous='{"rows": [1, 2',
            task__context__previous_truncated=True,
            task__context__current="plain words",
        ),
        task(2, task__context__initial="12", task__context__initial_truncated=True),
        root(),
    ])  # fmt: skip
    assert exporter.force_flush(60_000)
    found = api.tasks["w", 1]
    assert found["initial_context"] == {"day": 1, "password": "***"}
    assert found["previous_context"] == '{"rows": [1, 2'
    assert found["current_context"] == "plain words"
    assert api.tasks["w", 2]["initial_context"] == "12"


def test_a_later_run_of_the_same_workflow_comes_after(api, exporter):
    """Two runs under one id in one batch, and a late task of the first: the last word is right."""
    first = [task(1), root(workflow__status="Failed")]
    second = [task(1, 201, 2, start=21, end=22), root(2, start=20, end=30)]
    late = task(3, 103, 1, start=3, end=4)
    exporter.export([second[0], *first, second[1]])
    exporter.export([late])
    assert exporter.force_flush(60_000)
    assert api.workflows["w"]["status"] == "Completed"
    assert api.history["w"].index("PATCH workflow Failed") < api.history["w"].index(
        "PATCH workflow Completed"
    )
    assert {number for _, number in api.tasks} == {1, 3}


def test_an_outage_costs_no_record(api, exporter):
    """What cannot be sent waits in the outbox, and export() does not wait for it."""
    api.on(".*", status(503))
    assert exporter.export([task(1), root()]) is SpanExportResult.SUCCESS
    assert not exporter.force_flush(100)
    api.well()
    assert exporter.force_flush(60_000)
    assert api.workflows["w"]["status"] == api.tasks["w", 1]["status"] == "Completed"


def test_a_record_that_is_there_is_completed(api, exporter):
    """A run under an id from outside: POST is answered 409, and the end says what it is."""
    api.workflows["w"] = {"id": "w", "status": "New"}
    exporter.export([root()])
    assert exporter.force_flush(60_000)
    found = api.workflows["w"]
    assert (found["name"], found["mode"], found["status"]) == ("etl", "parallel", "Completed")


HOSTILE = [
    {"workflow__id": 7}, {"workflow__id": ""}, {"workflow__id": "x" * 300},
    {"workflow__id": "w", "task__id": True}, {"workflow__id": "w", "task__id": -1},
    {"workflow__id": "w", "task__id": 2**70}, {"workflow__id": "w", "task__id": "1" * 5000},
    {"workflow__id": "w", "task__id": "two"}, {"attempt__number": "first"},
    {"workflow__id": "w", "task__id": 9, "task__context__current": "[" * 100_000},
    {"workflow__id": "w", "task__id": 10, "task__context__current": "1" * 10_000},
    {"workflow__id": "w", "task__id": 11, "task__context__current": object()},
    {"workflow__id": "w", "task__id": 12, "task__duration": math.nan, "task__name": 5,
     "task__group": ("a",), "task__status": "what", "task__context__current": "NaN"},
    {"workflow__id": "w\ud800", "workflow__name": "n\ud800", "workflow__plan": "[[1]]",
     "workflow__duration": -3, "workflow__mode": 4, "workflow__status": None},
    {"workflow__id": "w", "workflow__plan": "[" * 100_000},
]  # fmt: skip


def test_hostile_spans_cost_nothing_but_themselves(api, exporter, caplog):
    """Whatever attributes, times, events and ids are: nothing is raised, and others arrive."""
    spans = [span("odd", 300 + number, **said) for number, said in enumerate(HOSTILE)]
    bare = ReadableSpan("bare", attributes={"dotflow.workflow.id": "bare", "dotflow.task.id": 1})
    bare._status, bare._events = None, None
    spans += [bare, ReadableSpan("no attributes"), SimpleNamespace(), None]
    timeless = task(20)
    timeless._start_time, timeless._end_time = "now", -5
    assert exporter.export([*spans, timeless, task(1), root()]) is SpanExportResult.SUCCESS
    assert exporter.force_flush(60_000)
    assert api.workflows["w"]["status"] == "Completed"
    assert {number for workflow, number in api.tasks if workflow == "w"} >= {1, 9, 10, 12, 20}
    assert api.tasks["w", 9]["current_context"] == "[" * 100_000
    assert api.tasks["bare", 1]["status"] == "Completed"
    assert exporter.channel.flush(SECONDS).dead == 0
    said = [one for one in caplog.messages if "cannot be used for the record" in one]
    assert said
    assert len(said) == len(set(said))


def test_memory_is_bounded(api, exporter, monkeypatch):
    """Of runs without an end, attempts without a task and known spans the last ones are kept."""
    for bound in ("MOST_RUNS", "MOST_SPANS", "MOST_TASKS", "MOST_ATTEMPTS"):
        monkeypatch.setattr(heard_runs, bound, 5)
    exporter.export([
        *(task(1, 400 + number, 0, f"w{number}") for number in range(20)),
        *(span("attempt", 500 + one, one, attempt__number=one) for one in range(1, 20)),
        *(span("attempt", 600 + one, 30, attempt__number=one) for one in range(1, 20)),
    ])  # fmt: skip
    runs = exporter._heard
    assert len(runs._runs) == len(runs._told) == len(runs._attempts) == 5
    assert len(runs._attempts[7, 30]) == 5
    [segments] = files.logs().values()
    began = [one for one in dead_lines(segments)[0] if one["f"] == "run began"]
    assert sum("wait" not in one for one in began) == 15  # those that are forgotten wait no longer
    assert exporter.force_flush(60_000)
    assert len(api.workflows) == 20


def test_a_forked_child_reports_its_own_spans(api, exporter):
    """What is under way in the parent is not the child's; each span is reported once."""
    exporter.export([task(1, workflow="parents")])
    child = os.fork()
    if child == 0:
        exporter.export([task(1, 3, 2, "childs"), root(2, "childs")])
        os._exit(0 if exporter.force_flush(60_000) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    exporter.export([root(workflow="parents")])
    assert exporter.force_flush(60_000)
    for workflow in ("parents", "childs"):
        assert api.history[workflow] == [
            "POST workflow In progress", "POST task 1 In progress", "PATCH task 1 Completed",
            "PATCH workflow Completed",
        ]  # fmt: skip


def test_nothing_is_taken_after_shutdown(api):
    """export() says so, and what was taken before is delivered."""
    exporter = DotflowSpanExporter(api.url, TOKEN, wait=LONG)
    exporter.export([task(1)])
    exporter.shutdown()
    assert api.tasks["w", 1]["status"] == "Completed"
    assert exporter.export([root()]) is SpanExportResult.FAILURE


def test_a_processor_alone_shows_what_goes_on(api):
    """A run made by hand is In progress while it is; its spans' ends say the rest."""
    provider = TracerProvider(shutdown_on_exit=False)
    for _ in range(2):  # the second one sees what the first one has told
        provider.add_span_processor(DotflowSpanProcessor(DotflowSpanExporter(api.url, TOKEN)))
    tracer = provider.get_tracer("theirs")
    with tracer.start_as_current_span("run", attributes={"dotflow.workflow.id": "w"}):
        known = {"dotflow.workflow.id": "w", "dotflow.task.id": 1}
        with tracer.start_as_current_span("step", attributes=known) as step:
            api.wait_for(lambda: api.history.get("w") and len(api.history["w"]) == 2, SECONDS)
            step.set_attribute("dotflow.task.context.initial", "[1]")
            step.set_attribute("dotflow.task.context.current", "2")
            going_on = api.workflows["w"]["status"], api.tasks["w", 1]["status"]
    assert going_on == ("In progress", "In progress")
    provider.shutdown()
    assert api.history["w"] == [
        "POST workflow In progress", "POST task 1 In progress", "PATCH task 1 Completed",
        "PATCH workflow Completed",
    ]  # fmt: skip
    found = api.tasks["w", 1]
    assert (found["initial_context"], found["current_context"]) == ([1], 2)


@action
def step(previous_context):
    return (previous_context.storage or 0) + 1


def test_markers_and_parts_are_no_runs(api, exporter, servers, quiet):
    """A run in several traces with markers is one record with all its tasks; read as of a file."""
    spans = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(spans))
    server = servers(tracer_provider=provider, markers=True, tasks_per_trace=2)
    flow = DotFlow(config=quiet(server), name="etl")
    flow.task.add([step] * 5)
    flow.start()
    for one in spans.get_finished_spans():
        exporter.export([one])
    assert exporter.force_flush(60_000)
    provider.shutdown()
    [workflow] = api.workflows
    assert workflow == str(flow.workflow_id)
    assert sorted(api.history[workflow]) == sorted([
        "POST workflow In progress", "PATCH workflow Completed",
        *(f"POST task {one} In progress" for one in range(1, 6)),
        *(f"PATCH task {one} Completed" for one in range(1, 6)),
    ])  # fmt: skip
    assert [one["current_context"] for _, one in sorted(api.tasks.items())] == [1, 2, 3, 4, 5]
    assert len(api.workflows[workflow]["tasks"]) == 5
    traceparents = {json.dumps(one.headers.get("traceparent")) for one in api.seen}
    assert len(traceparents) == 6  # each call leads to its span


def test_each_dotflow_api_is_told_once(api, exporter):
    """Exporters to one that differ in their timeouts share what they know; others are told too."""
    beside = FaultServer()
    others = [
        DotflowSpanExporter(api.url, TOKEN, timeout=7),
        DotflowSpanExporter(beside.url, TOKEN),
    ]
    for one in (exporter, *others):
        one.export([task(1), root()])
    assert all(one.force_flush(60_000) for one in (exporter, *others))
    for server in (api, beside):
        assert sorted(one.line.split("/tasks/")[0] for one in server.seen) == [
            "PATCH ", "PATCH /workflows/w", "POST /workflows", "POST /workflows/w/tasks",
        ], [one.line for one in server.seen]  # fmt: skip
    for one in others:
        one.close(SECONDS)
    beside.close()


def test_what_a_killed_process_has_exported_arrives(api, exporter):
    """Tasks that waited are told with the workflow's id alone; nobody ends the run."""
    api.on(".*", status(503))
    child = os.fork()
    if child == 0:
        exporter.export([task(1)])
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    api.well()
    exporter.channel.adopt()
    assert exporter.force_flush(60_000)
    assert api.workflows == {"w": {"id": "w", "status": "In progress"}}
    assert api.tasks["w", 1]["status"] == "Completed"


@action
def outer():
    config = Config(server=ServerOtel(set_global=False, tracer_provider=mine[0]))
    flow = DotFlow(config=config, name="inner", workflow_id="inner")
    flow.task.add([step, step])
    flow.start()
    return "done"


mine = []


def test_a_run_that_a_step_starts_in_a_child_is_told_from_there(api, exporter, servers, quiet):
    """The parent tells of its tasks, the child of its own run: each record once."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    mine[:] = [provider]
    flow = DotFlow(config=quiet(servers(tracer_provider=provider)), name="outer")
    flow.task.add([outer, step])
    flow.start(mode="parallel")
    assert [one.status for one in flow.result_task()] == ["Completed"] * 2
    assert provider.force_flush(60_000)
    assert exporter.force_flush(60_000)
    exporter.channel.adopt()
    assert exporter.force_flush(60_000)
    provider.shutdown()
    calls = [
        "POST workflow In progress", "POST task 1 In progress", "PATCH task 1 Completed",
        "POST task 2 In progress", "PATCH task 2 Completed", "PATCH workflow Completed",
    ]  # fmt: skip
    for workflow in (str(flow.workflow_id), "inner"):
        assert sorted(api.history[workflow]) == sorted(calls)
    assert api.workflows["inner"]["name"] == "inner"


def test_what_a_killed_process_has_begun_has_failed(api):
    """With the processor the record says so; a copy of the process that goes on says nothing."""
    exporter = DotflowSpanExporter(api.url, TOKEN)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(DotflowSpanProcessor(exporter))
    tracer = provider.get_tracer("theirs")
    child = os.fork()
    if child == 0:
        spans = [
            tracer.start_span("run", attributes={"dotflow.workflow.id": "w"}),
            tracer.start_span("a", attributes={"dotflow.workflow.id": "w", "dotflow.task.id": 1}),
        ]
        if os.fork() == 0:
            for one in spans:
                one.end()
        else:
            os.wait()
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    exporter.channel.adopt()
    assert exporter.force_flush(60_000)
    provider.shutdown()
    assert api.workflows["w"]["status"] == "Failed"
    assert api.tasks["w", 1]["errors"][0]["exception"] == "ProcessEnded"


PROGRAM = """
import sys
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from dotflow import Config, DotFlow, action
from dotflow.otel import DotflowSpanExporter, ServerOtel
@action
def one():
    return 1
server = ServerOtel()
exporter = DotflowSpanExporter(*sys.argv[1:])
server.tracer_provider.add_span_processor(BatchSpanProcessor(exporter))
flow = DotFlow(config=Config(server=server), workflow_id="w")
flow.task.add(one)
flow.start()
"""


def test_a_program_that_just_ends_has_told_all(api):
    """Also on the provider that ServerOtel made: what was added there is flushed at exit."""
    command = [sys.executable, "-c", PROGRAM, api.url, TOKEN]
    subprocess.run(command, check=True, timeout=SECONDS, capture_output=True)
    assert api.workflows["w"]["status"] == api.tasks["w", 1]["status"] == "Completed"
