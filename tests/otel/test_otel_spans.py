"""One run is one trace, whatever runs the steps."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest
from opentelemetry.trace import SpanKind, StatusCode

from dotflow import DotFlow, action

MODES = ["sequential", "background", "parallel", "sequential_group"]
OK, ERROR = StatusCode.UNSET.value, StatusCode.ERROR.value
INTERNAL, SERVER = SpanKind.INTERNAL.value + 1, SpanKind.SERVER.value + 1  # as OTLP numbers them

tries = {}


@action
def nap(initial_context):
    time.sleep(initial_context.storage)
    return initial_context.storage


@action(retry=3, retry_delay=0.01)
def second_time():
    tries["n"] = tries.get("n", 0) + 1
    if tries["n"] == 1:
        raise ConnectionError("the first time it fails")
    return "ok"


@action
def broken():
    raise KeyError("no such thing")


@action(retry=2, retry_delay=0.01)
def always_broken():
    raise ValueError("never works")


over = threading.Event()


@action(timeout=0.05)
def slow():
    over.wait(60)


@action
def killed():
    os.kill(os.getpid(), signal.SIGKILL)


@action(retry=2, retry_delay=0.01)
def killed_in_an_attempt():
    os.kill(os.getpid(), signal.SIGKILL)


def run(server, config, steps, mode, **kwargs):
    """Run steps (each a step, or a step and its initial context); return the workflow."""
    flow = DotFlow(config=config(server), name="etl")
    for number, step in enumerate(steps):
        action_, value = step if isinstance(step, tuple) else (step, None)
        group = f"group {number % 2}" if mode == "sequential_group" else "default"
        flow.task.add(action_, initial_context=value, group_name=group)
    manager = flow.start(mode=mode, **kwargs)
    if mode == "background":
        manager.thread.join(60)
    assert server.flush(60).complete
    return flow


def named(spans, name):
    found = [span for span in spans if span.name == name]
    assert len(found) == 1, [span.name for span in spans]
    return found[0]


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
@pytest.mark.parametrize("mode", MODES)
def test_every_span_arrives_once_under_the_right_parent(mode, protocol, otlp, servers, quiet):
    """One trace a run: the workflow's span, the tasks' below it, the attempts' below these."""
    tries.clear()
    url = otlp.grpc_url if protocol == "grpc" else otlp.http_url
    server = servers(endpoint=url, protocol=protocol)
    flow = run(server, quiet, [(nap, 0.05), second_time, (nap, 0.02)], mode)

    spans = otlp.wait_for(6)
    assert sorted(span.name for span in spans) == [
        "attempt", "attempt", "etl", "nap", "nap", "second_time",
    ]  # fmt: skip
    assert len({span.span_id for span in spans}) == len(spans)
    assert {span.trace_id for span in spans} == {flow.workflow_id.hex}
    root, retried = named(spans, "etl"), named(spans, "second_time")
    assert root.parent_id == ""
    assert {span.parent_id for span in spans if span.name in ("nap", "second_time")} == {
        root.span_id
    }
    assert {span.parent_id for span in spans if span.name == "attempt"} == {retried.span_id}
    assert root.kind == SERVER
    assert {span.kind for span in spans if span is not root} == {INTERNAL}
    assert {span.scope for span in spans} == {"dotflow"}


@pytest.mark.parametrize("mode", MODES)
def test_times_are_true(mode, otlp, servers, quiet):
    """A span begins and ends with its task, and lies within its parent."""
    server = servers(endpoint=otlp.http_url)
    begin = time.time_ns()
    flow = run(server, quiet, [(nap, 0.1), (nap, 0.1)], mode)
    end = time.time_ns()

    spans = otlp.wait_for(3)
    root = named(spans, "etl")
    naps = [span for span in spans if span.name == "nap"]
    for span in naps:
        assert begin <= root.start <= span.start < span.end <= root.end <= end
        assert span.seconds >= 0.1
    by_id = {span.attributes["dotflow.task.id"]: span for span in naps}
    for task in flow.result_task():
        assert by_id[task.task_id].seconds == pytest.approx(task.duration, abs=1e-6)
        assert by_id[task.task_id].attributes["dotflow.task.duration"] == task.duration


def test_processes_run_side_by_side_in_the_trace(otlp, servers, quiet):
    """The spans of parallel tasks overlap as the tasks did."""
    server = servers(endpoint=otlp.http_url)
    run(server, quiet, [(nap, 0.4), (nap, 0.4)], "parallel")
    one, two = (span for span in otlp.wait_for(3) if span.name == "nap")
    assert max(one.start, two.start) < min(one.end, two.end)


@pytest.mark.parametrize("mode", MODES)
def test_every_attribute_of_workflow_and_task(mode, otlp, servers, quiet):
    """The attributes say what ran, where it stands in the code, and how it went."""
    server = servers(endpoint=otlp.http_url)
    flow = run(server, quiet, [(nap, 0.01)], mode)
    spans = otlp.wait_for(2)
    root, span = named(spans, "etl").attributes, named(spans, "nap").attributes
    assert root == {
        "dotflow.workflow.id": str(flow.workflow_id),
        "dotflow.workflow.name": "etl",
        "dotflow.workflow.mode": mode,
        "dotflow.workflow.status": "Completed",
        "dotflow.workflow.duration": root["dotflow.workflow.duration"],
        "dotflow.workflow.task_count": 1,
        "dotflow.workflow.plan": f'[[1,"nap","{span["dotflow.task.group"]}"]]',
    }
    assert root["dotflow.workflow.duration"] >= span["dotflow.task.duration"] >= 0.01
    assert span == {
        "dotflow.workflow.id": str(flow.workflow_id),
        "dotflow.task.id": 1,
        "dotflow.task.name": "nap",
        "dotflow.task.group": "group 0" if mode == "sequential_group" else "default",
        "dotflow.task.status": "Completed",
        "dotflow.task.duration": span["dotflow.task.duration"],
        "dotflow.task.retry_count": 0,
        "dotflow.task.max_attempts": 1,
        "dotflow.task.restored": False,
        "dotflow.task.context.initial": "0.01",
        "dotflow.task.context.current": "0.01",
        "code.function.name": "test_otel_spans.nap",
        "code.file.path": __file__,
        "code.line.number": nap.func.__code__.co_firstlineno,
    }


def test_previous_contexts_reach_the_span(otlp, servers, quiet):
    """What the task before returned is an attribute of the next one's span."""

    @action
    def take(previous_context):
        return previous_context.storage

    server = servers(endpoint=otlp.http_url)
    flow = DotFlow(config=quiet(server))
    flow.task.add(nap, initial_context=0.001).add(take)
    flow.start()
    server.flush(60)
    span = named(otlp.wait_for(3), "take")
    assert span.attributes["dotflow.task.context.previous"] == "0.001"


@pytest.mark.parametrize("mode", MODES)
def test_a_failed_task_is_an_error_with_one_exception_event(mode, otlp, servers, quiet):
    """A failed task's span is ERROR with message, error.type and the exception; so is the run's."""
    server = servers(endpoint=otlp.http_url)
    run(server, quiet, [broken], mode)
    spans = otlp.wait_for(2)
    span, root = named(spans, "broken"), named(spans, "etl")
    assert (span.status, span.message) == (ERROR, "KeyError: 'no such thing'")
    assert span.attributes["error.type"] == "KeyError"
    [(event, said)] = span.events
    assert event == "exception"
    assert said["exception.type"] == "KeyError"
    assert said["exception.message"] == "KeyError: 'no such thing'"
    assert 'raise KeyError("no such thing")' in said["exception.stacktrace"]
    assert root.status == ERROR
    assert root.message == "task 1 (broken) failed: KeyError: 'no such thing'"
    assert root.attributes["error.type"] == "KeyError"
    assert root.attributes["dotflow.workflow.status"] == "Failed"
    assert root.events == []


@pytest.mark.parametrize("mode", MODES)
def test_a_task_that_a_retry_saved_is_no_error(mode, otlp, servers, quiet):
    """The failed attempt is the error, and has the event; task and run stay Unset."""
    tries.clear()
    server = servers(endpoint=otlp.http_url)
    run(server, quiet, [second_time], mode)
    spans = otlp.wait_for(4)
    span, root = named(spans, "second_time"), named(spans, "etl")
    first, second = sorted(
        (one for one in spans if one.name == "attempt"),
        key=lambda one: one.attributes["dotflow.attempt.number"],
    )
    assert (root.status, span.status, first.status, second.status) == (OK, OK, ERROR, OK)
    assert first.attributes == {"dotflow.attempt.number": 1, "error.type": "ConnectionError"}
    assert second.attributes == {"dotflow.attempt.number": 2}
    assert [event for event, _ in first.events] == ["exception"]
    assert root.events == span.events == second.events == []
    assert span.start <= first.start <= first.end <= second.start <= second.end <= span.end
    assert span.attributes["dotflow.task.retry_count"] == 1
    assert span.attributes["dotflow.task.max_attempts"] == 3
    assert "error.type" not in span.attributes


@pytest.mark.parametrize("mode", MODES)
def test_every_failed_attempt_has_its_exception_on_itself(mode, otlp, servers, quiet):
    """Where all attempts fail the task is ERROR too, and the events are on the attempts."""
    server = servers(endpoint=otlp.http_url)
    run(server, quiet, [always_broken], mode)
    spans = otlp.wait_for(4)
    span = named(spans, "always_broken")
    attempts = [one for one in spans if one.name == "attempt"]
    assert [len(one.events) for one in attempts] == [1, 1]
    assert {one.status for one in attempts} == {ERROR}
    assert (span.status, span.message, span.events) == (ERROR, "ValueError: never works", [])
    assert span.attributes["error.type"] == "ValueError"


@pytest.mark.parametrize("mode", MODES)
def test_a_timeout_is_an_error_of_its_own_type(mode, otlp, servers, quiet):
    """error.type says "timeout", the exception is a TimeoutError, the limit is an attribute."""
    server = servers(endpoint=otlp.http_url)
    over.clear()
    run(server, quiet, [slow], mode)
    over.set()
    span = named(otlp.wait_for(2), "slow")
    assert span.status == ERROR
    assert span.attributes["error.type"] == "timeout"
    assert span.attributes["dotflow.task.timeout"] == 0.05
    [(_, said)] = span.events
    assert said["exception.type"] == "TimeoutError"
    assert said["exception.message"] == "timed out after 0.05 s"
    assert 0.05 <= span.seconds < 30


@pytest.mark.parametrize("mode", ["parallel", "sequential_group"])
@pytest.mark.parametrize("step", [killed, killed_in_an_attempt])
def test_a_killed_child_is_a_span_that_ends(mode, step, otlp, servers, quiet):
    """The span of a child that was killed ends as an error that names the signal."""
    server = servers(endpoint=otlp.http_url)
    run(server, quiet, [step, (nap, 0.01)], mode)
    is_retried = step is killed_in_an_attempt
    spans = otlp.wait_for(4 if is_retried else 3)
    span = named(spans, step.name)
    assert span.status == ERROR
    assert "SIGKILL" in span.message
    assert span.attributes["error.type"] == "process_killed"
    innermost = named(spans, "attempt") if is_retried else span
    assert len(innermost.events) == 1
    assert innermost.status == ERROR
    assert named(spans, "nap").status == OK


def test_tasks_that_never_ran_have_no_span(otlp, servers, quiet):
    """After a failure the tasks left are counted in the plan, and have no spans."""
    server = servers(endpoint=otlp.http_url)
    run(server, quiet, [broken, (nap, 0.01)], "sequential", keep_going=False)
    flow = DotFlow(config=quiet(server))
    flow.task.add(broken).add(nap, initial_context=0)
    otlp.clear()
    flow.start()
    server.flush(60)
    spans = otlp.wait_for(2)
    assert sorted(span.name for span in spans) == ["broken", "workflow"]
    assert named(spans, "workflow").attributes["dotflow.workflow.task_count"] == 2


def test_a_run_without_a_name_is_called_workflow(otlp, servers, quiet):
    """Names are few: never an id, never the host."""
    server = servers(endpoint=otlp.http_url)
    flow = DotFlow(config=quiet(server))
    flow.task.add(nap, initial_context=0)
    flow.start()
    server.flush(60)
    spans = otlp.wait_for(2)
    assert sorted(span.name for span in spans) == ["nap", "workflow"]
    assert "dotflow.workflow.name" not in named(spans, "workflow").attributes


def test_a_second_run_is_a_new_root_linked_to_the_first(otlp, servers, quiet):
    """Under the same id a second run opens a new root in the same trace, linked to the first."""
    server = servers(endpoint=otlp.http_url)
    flow = DotFlow(config=quiet(server), name="etl")
    flow.task.add(nap, initial_context=0)
    flow.start()
    flow.start()
    server.flush(60)
    first, second = (span for span in otlp.wait_for(4) if span.name == "etl")
    assert first.trace_id == second.trace_id
    assert first.links == []
    assert second.links == [(first.trace_id, first.span_id)]


def test_restored_tasks_have_spans_that_say_so(otlp, servers, quiet):
    """A resumed run shows what it restored, without a duration."""
    server = servers(endpoint=otlp.http_url)
    flow = DotFlow(config=quiet(server), workflow_id="0b5e0b1e-5a3c-4b53-9e0a-6f5f3c2a7c11")
    flow.task.add(nap, initial_context=0.01)
    flow.start()
    server.flush(60)
    otlp.clear()
    flow.start(resume=True)
    server.flush(60)
    span = named(otlp.wait_for(2), "nap")
    assert span.attributes["dotflow.task.restored"] is True
    assert span.attributes["dotflow.task.status"] == "Completed"
    assert "dotflow.task.duration" not in span.attributes
    assert span.trace_id == "0b5e0b1e5a3c4b539e0a6f5f3c2a7c11"


@pytest.mark.slow
def test_thousands_of_quick_tasks_all_arrive(otlp, servers, quiet):
    """A burst larger than the SDK's own queue loses no span with default settings."""

    @action
    def quick():
        return None

    server = servers(endpoint=otlp.http_url)
    flow = DotFlow(config=quiet(server))
    flow.task.add([quick] * 5000)
    flow.start()
    assert server.flush(30).complete
    assert len({span.span_id for span in otlp.wait_for(5001)}) == 5001
    assert server.spans_exported == 5001
