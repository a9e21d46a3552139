"""While a step runs its span is current, wherever it runs; and a run joins where it comes from."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import requests
from opentelemetry import baggage, context, trace
from opentelemetry.trace import SpanKind

from dotflow import DotFlow, action

MODES = ["sequential", "background", "parallel", "sequential_group"]
PARENT = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"


def current():
    found = trace.get_current_span().get_span_context()
    return format(found.trace_id, "032x"), format(found.span_id, "016x")


@action
def plain():
    return current()


@action(timeout=5)
def with_timeout():
    return current()


@action
async def coroutine():
    await asyncio.sleep(0)
    return (await asyncio.gather(asyncio.to_thread(current)))[0]


@action
class InClass:
    def __init__(self):
        self.found = current()

    @action
    def method(self):
        return self.found


@action(retry=2, retry_delay=0.01)
def in_second_attempt():
    if not Path("tried").exists():
        Path("tried").touch()
        raise ValueError
    return current()


STEPS = [plain, with_timeout, coroutine, InClass]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_the_span_of_the_task_is_current_in_its_step(step, mode, otlp, servers, quiet):
    """In the same thread, a timeout's thread, a coroutine, a class, a background run, a child."""
    server = servers(endpoint=otlp.http_url)
    flow = DotFlow(config=quiet(server))
    flow.task.add(step)
    manager = flow.start(mode=mode)
    if mode == "background":
        manager.thread.join(60)
    server.flush(60)
    [found] = flow.result_storage()
    found = found[0].storage if step is InClass else found
    span = next(one for one in otlp.wait_for(2) if one.name == step.name)
    assert tuple(found) == (span.trace_id, span.span_id)


@pytest.mark.parametrize("mode", MODES)
def test_the_span_of_the_attempt_is_current_in_a_retried_step(mode, otlp, servers, quiet):
    """Where attempts have spans, the innermost is current."""
    server = servers(endpoint=otlp.http_url)
    flow = DotFlow(config=quiet(server))
    flow.task.add(in_second_attempt)
    manager = flow.start(mode=mode)
    if mode == "background":
        manager.thread.join(60)
    server.flush(60)
    second = next(
        one for one in otlp.wait_for(4) if one.attributes.get("dotflow.attempt.number") == 2
    )
    assert tuple(flow.result_storage()[0]) == (second.trace_id, second.span_id)


@pytest.mark.parametrize("mode", ["sequential", "parallel"])
def test_spans_of_the_steps_own_code_nest_and_arrive(mode, otlp, servers, quiet):
    """What a step traces itself is below its task, also from a child process, and is not lost."""
    server = servers(endpoint=otlp.http_url)
    tracer = server.tracer_provider.get_tracer("the user's")

    @action
    def traced():
        with tracer.start_as_current_span("of the user"):
            pass

    flow = DotFlow(config=quiet(server))
    flow.task.add([traced, traced])
    flow.start(mode=mode)
    server.flush(60)
    spans = otlp.wait_for(5)
    assert len(spans) == 5
    tasks = {span.span_id for span in spans if span.name == "traced"}
    assert {span.parent_id for span in spans if span.name == "of the user"} == tasks
    assert len({span.trace_id for span in spans}) == 1


@pytest.mark.parametrize("mode", MODES)
def test_baggage_comes_along(mode, otlp, servers, quiet):
    """The baggage of who starts the run is there in every step."""

    @action
    def read():
        return baggage.get_baggage("tenant")

    server = servers(endpoint=otlp.http_url)
    flow = DotFlow(config=quiet(server))
    flow.task.add(read)
    token = context.attach(baggage.set_baggage("tenant", "acme"))
    try:
        manager = flow.start(mode=mode)
    finally:
        context.detach(token)
    if mode == "background":
        manager.thread.join(60)
    assert flow.result_storage() == ["acme"]


def test_nothing_stays_current_after_the_run(otlp, servers, quiet):
    """What was current before a run is current after it."""
    server = servers(endpoint=otlp.http_url)
    flow = DotFlow(config=quiet(server))
    flow.task.add([plain, with_timeout, coroutine])
    flow.start()
    assert trace.get_current_span() is trace.INVALID_SPAN


def test_a_run_within_a_span_is_its_child(otlp, servers, quiet):
    """With a current span the run joins its trace, as an internal part of it."""
    server = servers(endpoint=otlp.http_url)
    tracer = server.tracer_provider.get_tracer("the user's")
    flow = DotFlow(config=quiet(server), name="etl")
    flow.task.add(plain)
    with tracer.start_as_current_span("outer"):
        flow.start()
    server.flush(60)
    spans = {span.name: span for span in otlp.wait_for(3)}
    assert spans["etl"].parent_id == spans["outer"].span_id
    assert spans["etl"].kind == SpanKind.INTERNAL.value + 1
    assert len({span.trace_id for span in spans.values()}) == 1


def test_a_workflow_within_a_step_nests_under_it(otlp, servers, quiet):
    """A run that a step starts is below that step's span."""
    server = servers(endpoint=otlp.http_url)

    @action
    def outer_step():
        inner = DotFlow(config=quiet(server), name="inner")
        inner.task.add(plain)
        inner.start()

    flow = DotFlow(config=quiet(server), name="outer")
    flow.task.add(outer_step)
    flow.start()
    server.flush(60)
    spans = {span.name: span for span in otlp.wait_for(4)}
    assert spans["inner"].parent_id == spans["outer_step"].span_id
    assert spans["plain"].parent_id == spans["inner"].span_id


def test_traceparent_of_the_environment_is_the_parent(otlp, servers, quiet, monkeypatch):
    """Without a current span the run continues the trace that the environment names."""
    monkeypatch.setenv("TRACEPARENT", PARENT)
    monkeypatch.setenv("BAGGAGE", "tenant=acme")

    @action
    def read():
        return baggage.get_baggage("tenant")

    server = servers(endpoint=otlp.http_url)
    flow = DotFlow(config=quiet(server), name="etl")
    flow.task.add(read)
    flow.start()
    server.flush(60)
    root = next(span for span in otlp.wait_for(2) if span.name == "etl")
    assert (root.trace_id, root.parent_id) == (PARENT[3:35], PARENT[36:52])
    assert root.kind == SpanKind.SERVER.value + 1
    assert flow.result_storage() == ["acme"]


def test_a_malformed_traceparent_is_ignored_with_a_line(otlp, servers, quiet, monkeypatch, caplog):
    """What names no span makes a root, and one warning."""
    monkeypatch.setenv("TRACEPARENT", "00-nonsense")
    server = servers(endpoint=otlp.http_url)
    flow = DotFlow(config=quiet(server), name="etl")
    flow.task.add(plain)
    flow.start()
    flow.start()
    server.flush(60)
    root = next(span for span in otlp.wait_for(4) if span.name == "etl")
    assert root.parent_id == ""
    assert root.trace_id == flow.workflow_id.hex
    assert caplog.text.count("TRACEPARENT") == 1


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_the_standard_variables_alone_switch_otlp_on(protocol, otlp):
    """A program with no line of set-up, run by the standard variables, loses nothing at its end."""
    program = textwrap.dedent("""
        from dotflow import Config, DotFlow, action
        from dotflow.otel import ServerOtel
        from opentelemetry import trace

        @action
        def step():
            with trace.get_tracer("mine").start_as_current_span("inner"):
                pass

        flow = DotFlow(config=Config(server=ServerOtel()), name="etl")
        flow.task.add([step, step])
        flow.start()
        flow.start(mode="parallel")
    """)
    url = otlp.grpc_url if protocol == "grpc" else otlp.http_url
    environment = {
        **os.environ,
        "OTEL_EXPORTER_OTLP_ENDPOINT": url,
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "OTEL_SERVICE_NAME": "nightly",
        "OTEL_BSP_SCHEDULE_DELAY": "600000",  # nothing leaves but what is flushed
        "DOTFLOW_FLUSH_TIMEOUT": "60",
        "OTEL_RESOURCE_ATTRIBUTES": "team=data",
    }
    begin = time.monotonic()
    subprocess.run([sys.executable, "-c", program], env=environment, check=True, timeout=60)
    # Not a second was spent waiting for something at the end, as DOTFLOW_FLUSH_TIMEOUT allows.
    assert time.monotonic() - begin < 30
    spans = otlp.spans
    assert sorted(span.name for span in spans) == ["etl"] * 2 + ["inner"] * 4 + ["step"] * 4
    assert {span.resource["service.name"] for span in spans} == {"nightly"}
    assert {span.resource["team"] for span in spans} == {"data"}
    steps = {span.span_id for span in spans if span.name == "step"}
    assert {span.parent_id for span in spans if span.name == "inner"} == steps


def test_a_server_that_is_gone_before_the_end_loses_nothing(otlp, api):
    """A program whose workflow was local to a function still sends all at its end."""
    program = textwrap.dedent("""
        import gc
        from dotflow import Config, DotFlow, action
        from dotflow.otel import ServerOtel

        def work():
            flow = DotFlow(config=Config(server=ServerOtel()), name="etl")
            flow.task.add(action(lambda: 1))
            flow.start()

        work()
        gc.collect()
    """)
    environment = {
        **os.environ,
        "OTEL_EXPORTER_OTLP_ENDPOINT": otlp.http_url,
        "DOTFLOW_SERVER_URL": api.url,
        "DOTFLOW_USER_TOKEN": "a-token-of-the-tests",
        "OTEL_BSP_SCHEDULE_DELAY": "600000",
    }
    subprocess.run([sys.executable, "-c", program], env=environment, check=True, timeout=60)
    spans = otlp.spans
    assert sorted(span.name for span in spans) == ["<lambda>", "etl"]
    answer = requests.get(
        f"{api.url}/workflows", headers={"X-User-Token": "a-token-of-the-tests"}, timeout=10
    )
    assert [one["status"] for one in answer.json()["workflows"]] == ["Completed"]
