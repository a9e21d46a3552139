"""Where a run comes from, and what it does with the trace that it is started in."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest
from opentelemetry import baggage, context, propagate, trace
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from dotflow import DotFlow, action
from dotflow.otel import ServerOtel
from dotflow.otel.spans.origin import TraceContinuation

TRACE, SPAN = "0123456789abcdef0123456789abcdef", "0123456789abcdef"
PARENT = f"00-{TRACE}-{SPAN}-01"
SERVER, INTERNAL = SpanKind.SERVER.value + 1, SpanKind.INTERNAL.value + 1
MODES = ["sequential", "background", "parallel", "sequential_group"]


@action
def tenant():
    return baggage.get_baggage("tenant")


def run(server, quiet, step=tenant, mode="sequential", **kwargs):
    flow = DotFlow(config=quiet(server), name="etl", **kwargs)
    flow.task.add(step)
    manager = flow.start(mode=mode)
    if mode == "background":
        manager.thread.join(30)
    server.flush(60)
    return flow


def root_of(otlp, count):
    return next(span for span in otlp.wait_for(count) if span.name == "etl")


@pytest.mark.parametrize("how", ["argument", "variable"])
@pytest.mark.parametrize("continuation", ["continue", "link", "new"])
def test_the_trace_of_the_environment(continuation, how, otlp, servers, quiet, monkeypatch):
    """It is continued, or linked to from a root of the run's own, or not looked at."""
    monkeypatch.setenv("TRACEPARENT", PARENT)
    monkeypatch.setenv("TRACESTATE", "vendor=a")
    monkeypatch.setenv("BAGGAGE", "tenant=acme")
    if how == "variable":
        monkeypatch.setenv("DOTFLOW_TRACE_CONTINUATION", continuation)
    arguments = {"trace_continuation": continuation} if how == "argument" else {}
    server = servers(endpoint=otlp.http_url, **arguments)
    flow = run(server, quiet)
    root = root_of(otlp, 2)
    assert root.kind == SERVER
    if continuation == "continue":
        assert (root.trace_id, root.parent_id, root.links) == (TRACE, SPAN, [])
    else:
        assert (root.trace_id, root.parent_id) == (flow.workflow_id.hex, "")
        assert root.links == ([(TRACE, SPAN)] if continuation == "link" else [])
    assert flow.result_storage() == [None if continuation == "new" else "acme"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("continuation", ["continue", "link", "new"])
def test_the_current_span_of_the_program(continuation, mode, otlp, servers, quiet):
    """It is treated as the environment's is; what baggage the program has set comes along."""
    server = servers(endpoint=otlp.http_url, trace_continuation=continuation)
    tracer = server.tracer_provider.get_tracer("the user's")
    token = context.attach(baggage.set_baggage("tenant", "acme"))
    try:
        with tracer.start_as_current_span("request") as request:
            flow = run(server, quiet, mode=mode)
    finally:
        context.detach(token)
    server.flush(60)
    root, outer = root_of(otlp, 3), request.get_span_context()
    names = format(outer.trace_id, "032x"), format(outer.span_id, "016x")
    if continuation == "continue":
        assert (root.trace_id, root.parent_id) == names
        assert (root.kind, root.links) == (INTERNAL, [])
    else:
        assert (root.trace_id, root.parent_id) == (flow.workflow_id.hex, "")
        assert root.kind == SERVER
        assert root.links == ([names] if continuation == "link" else [])
    assert flow.result_storage() == ["acme"]


@pytest.mark.parametrize("mode", ["sequential", "parallel"])
@pytest.mark.parametrize("continuation", ["continue", "link", "new"])
def test_a_run_within_a_step_is_always_a_part_of_it(continuation, mode, otlp, servers, quiet):
    """Whatever the program wants of other traces, its own run is one."""
    server = servers(endpoint=otlp.http_url, trace_continuation=continuation)

    @action
    def outer_step():
        inner = DotFlow(config=quiet(server), name="inner")
        inner.task.add(tenant)
        inner.start()

    flow = DotFlow(config=quiet(server), name="etl")
    flow.task.add(outer_step)
    flow.start(mode=mode)
    server.flush(60)
    spans = {span.name: span for span in otlp.wait_for(4)}
    assert spans["inner"].parent_id == spans["outer_step"].span_id
    assert {span.trace_id for span in spans.values()} == {flow.workflow_id.hex}


def test_a_run_after_a_run_is_none_of_its_steps(otlp, servers, quiet):
    """What is said to steps is not said to what the program does after the run."""
    server = servers(endpoint=otlp.http_url, trace_continuation="new")
    tracer = server.tracer_provider.get_tracer("the user's")
    run(server, quiet)
    with tracer.start_as_current_span("request"):
        second = run(server, quiet)
    server.flush(60)
    roots = [span for span in otlp.wait_for(5) if span.name == "etl"]
    assert [span.parent_id for span in roots] == ["", ""]
    assert second.workflow_id.hex in {span.trace_id for span in roots}


def test_on_an_applications_provider_a_root_of_its_own_has_an_id_of_its_generator(servers, quiet):
    """There the trace id is not ours to choose."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    server = servers(tracer_provider=provider, trace_continuation="link")
    with provider.get_tracer("theirs").start_as_current_span("request") as request:
        flow = run(server, quiet)
    provider.shutdown()
    root = next(span for span in exporter.get_finished_spans() if span.name == "etl")
    assert root.parent is None
    assert root.context.trace_id not in (flow.workflow_id.int, request.context.trace_id)
    [link] = root.links
    assert (link.context, dict(link.attributes)) == (
        request.context, {"dotflow.link.type": "started_in"},
    )  # fmt: skip


def test_no_such_continuation_is_said_at_the_border():
    """An argument that means nothing is an error, with the words that do."""
    with pytest.raises(ValueError, match=r"'ignore'.*'continue', 'link' or 'new'"):
        ServerOtel(trace_continuation="ignore")


def test_no_such_continuation_in_the_variable_is_one_line(monkeypatch, caplog):
    """A variable that means nothing costs a line, and runs continue what is there."""
    monkeypatch.setenv("DOTFLOW_TRACE_CONTINUATION", "ignore-once")
    for _ in range(2):
        assert TraceContinuation.chosen(None) is TraceContinuation.CONTINUE
    assert caplog.text.count("DOTFLOW_TRACE_CONTINUATION") == 1
    monkeypatch.setenv("DOTFLOW_TRACE_CONTINUATION", " Link ")
    assert TraceContinuation.chosen(None) is TraceContinuation.LINK
    assert TraceContinuation.chosen("new") is TraceContinuation.NEW


PROGRAM = textwrap.dedent("""
    import sys
    from dotflow import Config, DotFlow, action
    from dotflow.otel import ServerOtel
    from opentelemetry import baggage, trace

    @action
    def step():
        with trace.get_tracer("mine").start_as_current_span("inner"):
            return baggage.get_baggage("tenant")

    flow = DotFlow(config=Config(server=ServerOtel()), name="etl")
    flow.task.add(step)
    flow.start(mode=sys.argv[1])
    print(flow.result_storage())
""")


def in_a_program(otlp, mode="sequential", **variables):
    environment = {
        **os.environ, **variables,
        "OTEL_EXPORTER_OTLP_ENDPOINT": otlp.http_url,
        "DOTFLOW_FLUSH_TIMEOUT": "60",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, mode],
        env=environment, check=True, timeout=120, capture_output=True, text=True,
    )  # fmt: skip
    return {span.name: span for span in otlp.wait_for(3)}, done


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["sequential", "parallel"])
@pytest.mark.parametrize(
    ("propagators", "variables", "parent"),
    [
        ("tracecontext,baggage", {"TRACEPARENT": PARENT, "BAGGAGE": "tenant=acme"}, SPAN),
        ("none", {"TRACEPARENT": PARENT, "BAGGAGE": "tenant=acme"}, ""),
        ("baggage", {"TRACEPARENT": PARENT, "BAGGAGE": "tenant=acme"}, ""),
        ("tracecontext", {"TRACEPARENT": PARENT, "BAGGAGE": "tenant=acme"}, SPAN),
    ],
)
def test_the_configured_propagators_read_the_environment(
    propagators, variables, parent, mode, otlp
):
    """What they do not speak is not read; the run's own spans are one trace all the same."""
    spans, done = in_a_program(otlp, mode, OTEL_PROPAGATORS=propagators, **variables)
    assert spans["etl"].parent_id == parent
    assert spans["inner"].parent_id == spans["step"].span_id
    assert len({span.trace_id for span in spans.values()}) == 1
    assert ("acme" in done.stdout) == ("baggage" in propagators)
    assert "TRACEPARENT" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "named",
    ["", "00-nonsense", "ff-" + PARENT[3:], f"00-{'0' * 32}-{SPAN}-01", PARENT[:-1], PARENT.upper(),
     "00-" + "x" * 20_000, "\u2603"],
    ids=["empty", "nonsense", "version ff", "zeros", "short", "upper case", "long", "snowman"],
)  # fmt: skip
def test_a_malformed_traceparent_is_a_root_and_one_line(named, otlp):
    """What names no span is ignored; an empty one is none at all."""
    spans, done = in_a_program(otlp, TRACEPARENT=named, TRACESTATE="=,=", BAGGAGE="tenant=acme")
    if named == PARENT.upper():  # lower case is what the recommendation asks for, not all parsers
        assert spans["etl"].parent_id in ("", SPAN)
    else:
        assert spans["etl"].parent_id == ""
    assert spans["etl"].parent_id or done.stderr.count("TRACEPARENT") == bool(named)
    assert "acme" in done.stdout


class Broken(TextMapPropagator):
    """A propagator that somebody wrote in a hurry."""

    fields = frozenset({"x-broken"})

    def extract(self, carrier, context=None, getter=None):
        raise RuntimeError("cannot read")

    def inject(self, carrier, context=None, setter=None):
        raise RuntimeError("cannot write")


@pytest.fixture
def speak():
    """Sets the program's propagators, for one test."""
    before = propagate.get_global_textmap()
    yield propagate.set_global_textmap
    propagate.set_global_textmap(before)


@pytest.mark.parametrize("mode", MODES)
def test_a_propagator_that_raises_costs_a_line(mode, otlp, servers, quiet, caplog, api, speak):
    """The run, its spans and its records are as they would be without it."""
    speak(Broken())
    server = servers(api.url, "a-token-of-the-tests", endpoint=otlp.http_url)

    @action
    def current():
        return format(trace.get_current_span().get_span_context().span_id, "016x")

    flow = run(server, quiet, current, mode)
    task = next(span for span in otlp.wait_for(2) if span.name == "current")
    assert flow.result_storage() == [task.span_id]
    assert server.flush(60).dead == 0
    assert caplog.text.count("cannot read") <= 2


def test_the_programs_baggage_is_nearer_than_the_environments(otlp, servers, quiet, monkeypatch):
    """Where both name the same thing the program's own word counts."""
    monkeypatch.setenv("BAGGAGE", "tenant=theirs")
    server = servers(endpoint=otlp.http_url)
    token = context.attach(baggage.set_baggage("tenant", "ours"))
    try:
        assert run(server, quiet).result_storage() == ["ours"]
    finally:
        context.detach(token)
