"""TracerOpenTelemetry: spans on the provider that the program has."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from dotflow import Config, DotFlow, Task, action
from dotflow.core.exception import ModuleNotFound
from dotflow.providers import LogDefault, TracerOpenTelemetry


@action
def fine():
    return 1


@action
def fails():
    raise ValueError("no rows")


@pytest.fixture
def exporter(monkeypatch):
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    return exporter


def run(tracer, *steps, **kwargs):
    workflow = DotFlow(config=Config(tracer=tracer, log=LogDefault(level="ERROR")))
    for step in steps:
        workflow.task.add(step)
    workflow.start(keep_going=True, **kwargs)
    return workflow


@pytest.mark.parametrize("mode", ["sequential", "parallel"])
def test_a_run_is_a_span_with_its_tasks_in_it(exporter, mode):
    """A workflow's span holds mode and size as text; a task's span is its child."""
    workflow = run(TracerOpenTelemetry(), fine, fails, mode=mode)
    wid = str(workflow.workflow_id)
    spans = {span.name: span for span in exporter.get_finished_spans()}
    assert set(spans) == {f"workflow:{wid}", "task:1", "task:2"}
    root = spans[f"workflow:{wid}"]
    assert root.attributes["dotflow.workflow_id"] == wid
    assert root.attributes["dotflow.mode"] == mode
    assert root.attributes["dotflow.tasks_count"] == "2"
    assert 0 < root.attributes["dotflow.duration"] < 30
    assert root.status.status_code is StatusCode.ERROR
    for name in ("task:1", "task:2"):
        assert spans[name].parent.span_id == root.context.span_id
        assert spans[name].attributes["dotflow.workflow_id"] == wid
        assert spans[name].attributes["dotflow.task.duration"] > 0
        assert "dotflow.task.retry_count" not in spans[name].attributes
    one, two = spans["task:1"], spans["task:2"]
    assert (one.attributes["dotflow.task_id"], one.status.status_code) == ("1", StatusCode.OK)
    assert one.attributes["dotflow.task.status"] == "Completed"
    assert two.status.status_code is StatusCode.ERROR
    [event] = two.events
    assert event.name == "exception"
    assert dict(event.attributes) == {
        "exception.type": "ValueError",
        "exception.message": "no rows",
    }


def test_a_run_without_failure_is_ok(exporter):
    """Where no task failed the workflow's span is OK."""
    run(TracerOpenTelemetry(), fine)
    assert exporter.get_finished_spans()[-1].status.status_code is StatusCode.OK


def test_retries_are_told(exporter):
    """A task that was tried again says how often."""
    tries = []

    @action(retry=3, retry_delay=0)
    def flaky():
        tries.append(1)
        if len(tries) < 3:
            raise OSError

    run(TracerOpenTelemetry(), flaky)
    assert exporter.get_finished_spans()[0].attributes["dotflow.task.retry_count"] == 2


def test_unknown_ends_do_nothing_and_a_second_start_keeps_the_first(exporter):
    """Spans are started and ended once, whatever is called how often."""
    tracer = TracerOpenTelemetry()
    task = Task(task_id=1, step=fine, workflow_id="w")
    tracer.end_workflow("w", failed=True)
    tracer.end_task(task)
    for _ in range(2):
        tracer.start_workflow("w", mode="sequential")
    for _ in range(2):
        tracer.start_task(task)
    for _ in range(2):
        tracer.end_task(task)
    for _ in range(2):
        tracer.end_workflow("w", duration=1.0)
    assert [span.name for span in exporter.get_finished_spans()] == ["task:1", "workflow:w"]


def test_nothing_is_left_when_a_workflow_ends(exporter):
    """A task that never ended is ended with its workflow, and nothing is held of either."""
    tracer = TracerOpenTelemetry()
    tracer.start_workflow("w")
    tracer.start_task(Task(task_id=1, step=fine, workflow_id="w"))
    tracer.end_workflow("w")
    lone = Task(task_id=2, step=fine, workflow_id="other")
    tracer.start_task(lone)
    tracer.end_task(lone)
    assert not tracer._runs
    assert len(exporter.get_finished_spans()) == 3


def test_many_threads(exporter):
    """Runs in many threads do not get into each other's way."""
    tracer = TracerOpenTelemetry()

    def work(number):
        tracer.start_workflow(number)
        for task_id in range(20):
            task = Task(task_id=task_id, step=fine, workflow_id=str(number))
            tracer.start_task(task)
            tracer.end_task(task)
        tracer.end_workflow(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    spans = exporter.get_finished_spans()
    assert len(spans) == 8 * 21
    roots = {span.context.span_id: span.context.trace_id for span in spans if span.parent is None}
    assert len(roots) == 8
    assert all(roots[span.parent.span_id] == span.context.trace_id for span in spans if span.parent)
    assert not tracer._runs


def test_no_provider_is_set_and_a_later_one_is_used():
    """The global provider is the program's to set, also after this object was made."""
    program = """
from opentelemetry import trace
from dotflow.providers import TracerOpenTelemetry
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
tracer = TracerOpenTelemetry()
tracer.start_workflow("before"); tracer.end_workflow("before")
assert trace._TRACER_PROVIDER is None
exporter, provider = InMemorySpanExporter(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
tracer.start_workflow("w"); tracer.end_workflow("w")
assert [span.name for span in exporter.get_finished_spans()] == ["workflow:w"]
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "name", ["TracerOpenTelemetry", "MetricsOpenTelemetry", "LogOpenTelemetry"]
)
def test_without_the_library_the_error_names_it(monkeypatch, name):
    """Where OpenTelemetry is not installed, the error says what to install."""
    from dotflow import providers

    cls = getattr(providers, name)
    for module in ("trace", "metrics", "_logs"):
        monkeypatch.setitem(sys.modules, f"opentelemetry.{module}", None)
    with pytest.raises(ModuleNotFound, match="opentelemetry") as caught:
        cls()
    assert "dotflow[otel]" in str(caught.value)


@pytest.mark.parametrize("mode", ["sequential", "background"])
def test_a_steps_span_is_current(exporter, mode):
    """What a step opens is within its task's span; with a ServerOtel within that one's."""
    tracer = trace.get_tracer("shop")

    @action(retry=2, retry_delay=0, timeout=60)
    def opens():
        with tracer.start_as_current_span("inner"):
            raise ValueError("no rows")

    workflow = DotFlow(config=Config(tracer=TracerOpenTelemetry(), log=LogDefault(level="ERROR")))
    workflow.task.add(opens)
    manager = workflow.start(mode=mode)
    manager.wait(60)
    spans = {span.name: span for span in exporter.get_finished_spans()}
    assert spans["inner"].parent.span_id == spans["task:1"].context.span_id
    assert [event.name for event in spans["task:1"].events] == ["exception"]
    assert not trace.get_current_span().get_span_context().is_valid
