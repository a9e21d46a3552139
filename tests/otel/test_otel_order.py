"""Whoever calls a ServerOtel in whatever order: no exception, no orphan, nothing kept for good."""

from __future__ import annotations

import gc
import threading
import weakref
from uuid import uuid4

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from dotflow import DotFlow, Task, action
from dotflow.abc.server import WorkflowDescription
from dotflow.otel import hooks as hooks_module
from dotflow.otel.spans import open_runs

START, DONE, FAILED = "In progress", "Completed", "Failed"


@action
def step():
    return 1


@pytest.fixture
def traced(servers):
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return servers(tracer_provider=provider), exporter.get_finished_spans


def task_of(wid, number=1, status=START):
    task = Task(task_id=number, step=step, workflow_id=wid)
    turn(task, status)
    return task


def turn(task, status):
    task._status = status  # what the setter would tell providers is none of these tests
    return task


def is_empty(server):
    return not (len(server._runs) or server._told)


def is_whole(spans):
    ids = {span.context.span_id for span in spans}
    parents = {span.parent.span_id for span in spans if span.parent is not None}
    return len(ids) == len(spans) and parents <= ids


def test_a_run_that_is_begun_twice_is_one(traced):
    """A second "In progress" of the same run, and a second end, change nothing."""
    server, spans = traced
    wid = str(uuid4())
    for status in (START, START, DONE, DONE, FAILED):
        server.update_workflow(wid, status)
    assert [span.name for span in spans()] == ["workflow"]
    assert is_empty(server)


def test_a_task_that_is_told_twice_is_one(traced):
    """Neither a second begin nor a second end makes another span of a task."""
    server, spans = traced
    wid = str(uuid4())
    server.update_workflow(wid, START)
    task = task_of(wid)
    for status in (START, START, "Retry", START, DONE, DONE, FAILED):
        server.update_task(turn(task, status))
    server.update_workflow(wid, DONE)
    assert [span.name for span in spans()] == ["step", "workflow"]
    assert spans()[0].attributes["dotflow.task.status"] == DONE
    assert is_whole(spans())


def test_a_task_that_an_engine_runs_again_has_a_span_again(traced):
    """A loop that begins an ended task anew is two spans: it was done twice."""
    server, spans = traced
    wid = str(uuid4())
    server.update_workflow(wid, START)
    task = task_of(wid)
    for status in (START, DONE, START, DONE):
        server.update_task(turn(task, status))
    server.update_workflow(wid, DONE)
    assert [span.name for span in spans()] == ["step", "step", "workflow"]
    assert is_whole(spans())


@pytest.mark.parametrize("status", ["", "New", "Paused", START, "Retry", DONE, FAILED])
def test_what_is_told_of_an_unknown_run_is_nothing(status, traced):
    """No run, no span, no exception."""
    server, spans = traced
    wid = str(uuid4())
    task = task_of(wid, status=status)
    server.update_task(task)
    server.start_attempt(task, 1, 1)
    server.end_attempt(task, 1, None, 2)
    server.restored(task, {"traceparent": "00-" + "1" * 32 + "-" + "1" * 16 + "-01"})
    with server.activate(task):
        assert not trace.get_current_span().get_span_context().is_valid
    assert server.carrier(task) == {}
    assert server.note(wid, task) == server.note(wid) == {}
    if status != START:
        server.update_workflow(wid, status)
    assert spans() == ()
    assert is_empty(server)


def test_a_task_that_is_open_when_its_run_ends_is_ended_with_it(traced):
    """The spans of what was under way are there, as errors that say why; a late end is nothing."""
    server, spans = traced
    wid = str(uuid4())
    server.update_workflow(wid, START)
    task = task_of(wid)
    server.update_task(task)
    server.start_attempt(task, 1, 1)
    server.update_workflow(wid, DONE)
    server.end_attempt(task, 1, None, 2)
    server.update_task(turn(task, DONE))
    attempt, span, root = spans()
    assert (attempt.name, span.name, root.name) == ("attempt", "step", "workflow")
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == "the run ended before the task did"
    assert root.status.status_code is StatusCode.UNSET
    assert is_whole(spans())
    assert is_empty(server)


def test_the_end_of_one_attempt_is_not_that_of_another(traced):
    """A late end of the first try leaves the second alone; one without ends with the next."""
    server, spans = traced
    wid = str(uuid4())
    server.update_workflow(wid, START)
    task = task_of(wid)
    server.update_task(task)
    server.start_attempt(task, 1, 100)
    server.start_attempt(task, 2, 200)
    server.end_attempt(task, 1, None, 250)
    server.end_attempt(task, 2, None, 300)
    server.end_attempt(task, 2, None, 400)
    server.update_task(turn(task, DONE))
    server.update_workflow(wid, DONE)
    first, second, *_ = spans()
    assert (first.start_time, first.end_time) == (100, 200)
    assert (second.start_time, second.end_time) == (200, 300)
    assert len(spans()) == 4


@pytest.mark.parametrize("status", [DONE, FAILED])
def test_an_end_without_a_word_of_the_error_is_an_end(status, traced):
    """A task that is Failed without errors, in the middle of a try, ends all the same."""
    server, spans = traced
    wid = str(uuid4())
    server.update_workflow(wid, START)
    task = task_of(wid)
    server.update_task(task)
    server.start_attempt(task, 1, 100)
    server.update_task(turn(task, status))
    server.update_workflow(wid, status)
    assert [span.name for span in spans()] == ["attempt", "step", "workflow"]


def test_a_run_within_a_step_of_a_run_of_the_same_id_nests(traced, quiet):
    """A step that starts a workflow under its own run's id: each task is under its own run."""
    server, spans = traced
    config, wid = quiet(server), str(uuid4())

    @action
    def outer():
        inner = DotFlow(config=config, workflow_id=wid, name="inner")
        inner.task.add(step)
        inner.start()

    flow = DotFlow(config=config, workflow_id=wid, name="outer")
    flow.task.add(outer).add(step)
    flow.start()
    names = {span.context.span_id: span.name for span in spans()}
    above = [(span.name, names.get(span.parent.span_id)) for span in spans() if span.parent]
    assert above == [("step", "inner"), ("inner", "outer"), ("outer", "outer"), ("step", "outer")]
    assert is_empty(server)
    assert not config.guard.failures


def test_runs_whose_end_never_comes_are_let_go(traced, monkeypatch):
    """An engine that ends nothing costs a bounded memory, and what it began is in the trace."""
    monkeypatch.setattr(open_runs, "OPEN_RUNS", 5)
    monkeypatch.setattr(open_runs, "KNOWN_ROOTS", 5)
    monkeypatch.setattr(hooks_module, "MOST_TOLD", 5)
    server, spans = traced
    for _ in range(20):
        wid = str(uuid4())
        server.update_workflow(wid, START)
        server.update_task(task_of(wid))
        server.describe_workflow(str(uuid4()), WorkflowDescription(mode="sequential"))
    assert len(server._runs) == len(server._runs._roots) == len(server._told) == 5
    assert len(spans()) == 30
    assert is_whole(spans())


def test_runs_within_runs_without_an_end_are_let_go(traced, monkeypatch):
    """The same under one id: a description before each makes it look like a run within a run."""
    monkeypatch.setattr(open_runs, "MOST_NESTED", 5)
    server, _ = traced
    wid = str(uuid4())
    for _ in range(20):
        server.describe_workflow(wid, WorkflowDescription(mode="sequential"))
        server.update_workflow(wid, START)
    assert len(server._runs) == 5


def test_nothing_is_kept_of_runs_that_ended(traced, quiet):
    """A program that runs workflows for months keeps none of their tasks."""
    server, _ = traced
    config, gone = quiet(server), []
    for _ in range(10):
        flow = DotFlow(config=config)
        flow.task.add([step] * 3)
        flow.start()
        gone += [weakref.ref(task) for task in flow.result_task()]
    del flow
    gc.collect()
    assert is_empty(server)
    assert [one() for one in gone] == [None] * 30


def test_a_timed_out_thread_ends_nothing_but_its_own(traced, quiet):
    """What it opens late nests under the try that timed out, and no other span is touched."""
    server, spans = traced
    go_on, is_over = threading.Event(), threading.Event()
    tries = []

    @action(retry=2, retry_delay=0, timeout=1.5)
    def late():
        tries.append(trace.get_current_span())
        if len(tries) == 2:
            return "in time"
        with server.tracer_provider.get_tracer("mine").start_as_current_span("early"):
            go_on.wait(60)
        with server.tracer_provider.get_tracer("mine").start_as_current_span("late"):
            pass
        tries[0].set_attribute("late", True)
        tries[0].end()
        is_over.set()
        raise RuntimeError("nobody hears of it")

    flow = DotFlow(config=quiet(server))
    flow.task.add(late)
    flow.start()
    before = spans()
    go_on.set()
    assert is_over.wait(60)
    first, second, task, _ = before
    assert [span.name for span in before] == ["attempt", "attempt", "late", "workflow"]
    assert [span.status.status_code for span in (first, second, task)] == [
        StatusCode.ERROR, StatusCode.UNSET, StatusCode.UNSET,
    ]  # fmt: skip
    assert first.attributes["error.type"] == "timeout"
    assert "late" not in first.attributes
    assert first.end_time <= second.start_time
    early, after = spans()[len(before):]  # fmt: skip
    assert (early.name, after.name) == ("early", "late")
    assert early.parent.span_id == after.parent.span_id == first.context.span_id
    assert flow.result_task()[0].status == "Completed"


def test_a_timed_out_thread_that_goes_on_into_the_next_try_leaves_it_alone(traced, quiet):
    """The first try's thread ends and fails while the second runs: the second succeeds."""
    server, spans = traced
    go_on, is_over = threading.Event(), threading.Event()
    tries = []

    @action(retry=2, retry_delay=0, timeout=30)
    def second():
        tries.append(trace.get_current_span().get_span_context())
        if len(tries) == 1:
            thread = threading.Thread(target=lost, args=(trace.get_current_span(),))
            thread.start()
            raise ConnectionError("the first time it fails")
        go_on.set()
        assert is_over.wait(60)
        return trace.get_current_span().is_recording()

    def lost(span):
        go_on.wait(60)
        span.record_exception(RuntimeError("too late"))
        span.end()
        is_over.set()

    flow = DotFlow(config=quiet(server))
    flow.task.add(second)
    flow.start()
    assert flow.result_storage() == [True]
    first, after, *_ = spans()
    assert [len(first.events), len(after.events)] == [1, 0]
    assert len(spans()) == 4
