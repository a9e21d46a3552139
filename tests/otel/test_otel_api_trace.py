"""Calls to dotflow-api lead into the trace, are no part of it, and do not depend on it."""

from __future__ import annotations

import re
import threading

import pytest
import requests
from opentelemetry import baggage, context, propagate, trace
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from support.fault_server import FaultServer, status

from dotflow import DotFlow, action
from dotflow.api import ApiServer
from dotflow.api import server as api_server
from dotflow.delivery.headers import MOST, headers_of, to_headers
from dotflow.providers import ServerDefault

TOKEN = "a-token-of-the-tests"
TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})\Z")

tries = {}


@action
def plain():
    return {"n": 1}


@action(retry=3, retry_delay=0.01)
def second_time():
    tries["n"] = tries.get("n", 0) + 1
    if tries["n"] == 1:
        raise ConnectionError("the first time it fails")


@action
def broken():
    raise KeyError("no such thing")


STEPS = [plain, second_time, broken]


@pytest.fixture
def web():
    one = FaultServer()
    yield one
    one.close()


class Held:
    """Keeps the first request until the run is over: what comes after it is all there by then."""

    def __init__(self, web):
        self._over = threading.Event()
        web.on("^(POST|PATCH)", self._hold, times=1)

    def _hold(self, handler, seen):
        assert self._over.wait(60)
        handler.answer(*handler.server.api.apply(seen), {})

    def let_go(self):
        self._over.set()


def run(server, quiet, steps=STEPS, mode="sequential", held=None, **kwargs):
    tries.clear()
    flow = DotFlow(config=quiet(server), name="etl", **kwargs)
    for step in steps:
        flow.task.add(step)
    flow.start(mode=mode, keep_going=True)
    if held is not None:
        held.let_go()
    result = server.flush(30)
    assert (result.pending, result.dead) == (0, 0)
    return flow


def named(seen):
    """The trace, the span and the flags that a request names."""
    return TRACEPARENT.match(seen.headers["traceparent"]).groups()


def about(seen):
    """What a request is about: the name of its workflow's or task's span."""
    if "tasks" not in seen.path:
        return "etl"
    return "task"


@pytest.mark.parametrize("mode", ["sequential", "parallel"])
@pytest.mark.parametrize("dialect", ["default", "managed"])
def test_every_report_names_the_span_that_it_is_about(dialect, mode, web, otlp, servers, quiet):
    """The workflow's span in what is said of the workflow, the task's in what is said of it."""
    server = servers(web.url, TOKEN, dialect, endpoint=otlp.http_url)
    flow = run(server, quiet, [plain, broken], mode)
    spans = {span.name: span for span in otlp.wait_for(3)}
    calls = [seen for seen in web.seen if seen.method != "GET"]
    assert len(calls) >= 6
    for seen in calls:
        trace_id, span_id, flags = named(seen)
        assert trace_id == flow.workflow_id.hex
        assert int(flags, 16) & 1
        if about(seen) == "etl":
            assert span_id == spans["etl"].span_id
        else:
            assert span_id in (spans["plain"].span_id, spans["broken"].span_id)
    posts = {seen.body["name"]: named(seen)[1] for seen in calls if "name" in seen.body}
    assert posts == {name: span.span_id for name, span in spans.items()}


@pytest.mark.parametrize("instrumented", [True, False])
def test_an_instrumented_api_joins_the_trace(
    instrumented, otlp, servers, quiet, tmp_path, monkeypatch
):
    """What the API does for a report is below the workflow's or the task's span."""
    asgi = pytest.importorskip("opentelemetry.instrumentation.asgi")
    theirs = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(theirs))
    make = api_server.create_app

    def create_app(*args):
        app = make(*args)
        if instrumented:
            return asgi.OpenTelemetryMiddleware(app, tracer_provider=provider)
        return app

    monkeypatch.setattr(api_server, "create_app", create_app)
    with ApiServer(f"sqlite:///{tmp_path}/api.db", TOKEN) as api:
        server = servers(api.url, TOKEN, endpoint=otlp.http_url)
        run(server, quiet, [plain])
        server.close(60)
    provider.shutdown()
    spans = {span.span_id: span for span in otlp.wait_for(2)}
    calls = [one for one in theirs.get_finished_spans() if one.kind is trace.SpanKind.SERVER]
    assert bool(calls) == instrumented
    for call in calls:
        parent = spans[format(call.parent.span_id, "016x")]
        assert format(call.context.trace_id, "032x") == parent.trace_id
        assert parent.name == ("plain" if "tasks" in call.name else "etl")


@pytest.mark.parametrize("sampler", ["always_on", "always_off"])
def test_the_flag_says_whether_the_span_is_sampled(sampler, web, servers, quiet, monkeypatch):
    """An API that asks its parent is told the truth."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    server = servers(web.url, TOKEN)
    run(server, quiet, [plain])
    assert {int(named(seen)[2], 16) & 1 for seen in web.seen} == {int(sampler == "always_on")}


class Own(TextMapPropagator):
    """The propagator of a shop that has its own headers."""

    fields = frozenset({"x-shop-trace"})

    def extract(self, carrier, context=None, getter=None):
        return context

    def inject(self, carrier, context=None, setter=None):
        span = trace.get_current_span(context).get_span_context()
        carrier["X-Shop-Trace"] = format(span.trace_id, "032x")
        carrier["Authorization"] = "Bearer somebody-else"
        carrier["Idempotency-Key"] = "always the same"
        carrier["broken name"] = "a"
        carrier["X-Broken-Value"] = "a\r\nX-Injected: b"


@pytest.fixture
def speak():
    """Sets the program's propagators, for one test."""
    before = propagate.get_global_textmap()
    yield propagate.set_global_textmap
    propagate.set_global_textmap(before)


def test_the_configured_propagators_write_the_headers(web, servers, quiet, speak):
    """Those of the program are used; none of them has a say in who asks, or how a call is made."""
    speak(Own())
    server = servers(web.url, TOKEN)
    flow = run(server, quiet, [plain])
    for seen in web.seen:
        assert seen.headers["x-shop-trace"] == flow.workflow_id.hex
        assert seen.headers["x-user-token"] == TOKEN
        assert seen.headers["idempotency-key"] != "always the same"
        assert not {"authorization", "traceparent", "x-broken-value", "x-injected"} & set(
            seen.headers
        )


@pytest.mark.parametrize("secret", [TOKEN, "a/token+with=signs"])
def test_the_token_is_in_no_header_but_its_own(secret, web, servers, quiet, tmp_path):
    """Baggage comes along; what has the token in it does not, and is in no file either."""
    server = servers(web.url, secret)
    held = Held(web)
    both = baggage.set_baggage("tenant", "acme")
    for found in (both, baggage.set_baggage("key", f"it is {secret}", both)):
        token = context.attach(found)
        try:
            flow = DotFlow(config=quiet(server), name="etl")
            flow.task.add(plain)
            flow.start()
        finally:
            context.detach(token)
    files = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"traceparent" in files
    assert secret.encode() not in files
    held.let_go()
    assert server.flush(30).complete
    assert {seen.headers.get("baggage") for seen in web.seen} == {"tenant=acme", None}
    assert all(named(seen) for seen in web.seen)


def test_a_server_that_finds_the_headers_too_large_gets_none(web, servers, quiet):
    """A report is worth more than what leads from it into the trace."""
    server = servers(web.url, TOKEN)
    web.on("POST /workflows$", status(431), times=1)
    run(server, quiet, [plain])
    refused, again = [seen for seen in web.seen if seen.line == "POST /workflows"]
    assert "traceparent" in refused.headers
    assert "traceparent" not in again.headers
    assert refused.key != again.key
    assert refused.raw == again.raw


def test_with_no_span_there_is_no_header(web, servers, quiet, monkeypatch):
    """With the SDK switched off nothing is named that is not there."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    server = servers(web.url, TOKEN)
    run(server, quiet, [plain])
    assert web.seen
    assert not any("traceparent" in seen.headers for seen in web.seen)


def test_reports_without_spans_name_the_programs_current_span(web, quiet):
    """As any call that the program makes there; without a current span they name none."""
    provider = TracerProvider()
    server = ServerDefault(web.url, TOKEN)
    run(server, quiet, [plain])
    count = len(web.seen)
    assert count >= 4
    assert not any("traceparent" in seen.headers for seen in web.seen)
    with provider.get_tracer("theirs").start_as_current_span("request") as span:
        run(server, quiet, [plain])
    server.close(60)
    provider.shutdown()
    found = span.get_span_context()
    expected = format(found.trace_id, "032x"), format(found.span_id, "016x")
    assert {named(seen)[:2] for seen in web.seen[count:]} == {expected}


@pytest.mark.parametrize("dialect", ["default", "managed"])
def test_our_calls_make_no_spans(dialect, web, otlp, servers, quiet):
    """With requests and urllib3 instrumented the program's calls are in the trace, ours are not."""
    over_requests = pytest.importorskip("opentelemetry.instrumentation.requests")
    over_urllib3 = pytest.importorskip("opentelemetry.instrumentation.urllib3")
    server = servers(web.url, TOKEN, dialect, endpoint=otlp.http_url)
    provider = server.tracer_provider

    @action
    def calls():
        return requests.get(f"{web.url}/of-the-program", timeout=60).status_code

    instrumentors = [over_requests.RequestsInstrumentor(), over_urllib3.URLLib3Instrumentor()]
    for one in instrumentors:
        one.instrument(tracer_provider=provider)
    try:
        # Managed: numbers are asked for, too.
        kwargs = {"workflow_id": "orders-11"} if dialect == "managed" else {}
        if kwargs:
            web.workflows["orders-11"] = {}
        run(server, quiet, [calls], **kwargs)
        server.close(60)
    finally:
        for one in instrumentors:
            one.uninstrument()
    of_calls = [span for span in otlp.wait_for(3) if span.name not in ("etl", "calls")]
    # One call, seen by requests' instrumentation, and perhaps by urllib3's below it.
    assert 1 <= len(of_calls) <= 2
    assert all("of-the-program" in str(span.attributes) for span in of_calls)
    assert any("of-the-program" in seen.path for seen in web.seen)
    assert len(web.seen) > 4


def test_headers_are_kept_short_and_come_back():
    """The longest gives way; what a damaged file says is no header."""
    carrier = {"traceparent": "a" * 55, "baggage": "b" * MOST, "tracestate": "c" * 512}
    kept = headers_of(to_headers(carrier))
    assert kept == {name: carrier[name] for name in ("traceparent", "tracestate")}
    assert to_headers({}) == to_headers({"Host": "elsewhere", "x": "\u2603", "y": "a\n"}) == ""
    for damaged in ("", "{", "[]", "1", '{"x": 1}', '{"cookie": "a"}', '{"x": "a\\nb"}'):
        assert headers_of(damaged) == {}


SAMPLERS = {
    "always_on": {"OTEL_TRACES_SAMPLER": "always_on"},
    "always_off": {"OTEL_TRACES_SAMPLER": "always_off"},
    "ratio": {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.5"},
    "parent sampled": {"OTEL_TRACES_SAMPLER": "parentbased_always_off", "FLAGS": "01"},
    "parent not sampled": {"OTEL_TRACES_SAMPLER": "parentbased_always_on", "FLAGS": "00"},
    "disabled": {"OTEL_SDK_DISABLED": "true"},
}


def traffic(web, workflow_id):
    """The requests, without what differs from run to run: ids, times, the sampled flag."""
    found = []
    for seen in web.seen:
        assert seen.headers.pop("idempotency-key", seen.method == "GET")
        seen.headers.pop("host")
        seen.headers.pop("content-length", None)  # durations have more digits or fewer
        for name in ("dotflow-times", "dotflow-opens", "dotflow-run"):  # times, and a run's name
            if name in seen.headers:
                seen.headers[name] = ""
        traceparent = seen.headers.pop("traceparent", None)
        assert traceparent is None or TRACEPARENT.match(traceparent)
        raw = re.sub(rb'"duration":[0-9.e-]+', b'"duration":0', seen.raw)
        raw = re.sub(rb'"trace_id":"[0-9a-f]{32}"', b'"trace_id":0', raw)
        path = re.sub(r"/srv-\d+", "/srv", seen.path)
        found.append((seen.method, path, sorted(seen.headers.items()), raw))
    assert any(b"trace_id" in one[-1] for one in found), workflow_id
    return sorted(found)


@pytest.mark.parametrize("dialect", ["default", "managed"])
@pytest.mark.parametrize("sampler", [name for name in SAMPLERS if name != "always_on"])
def test_the_traffic_is_the_same_whatever_is_sampled(sampler, dialect, servers, quiet, monkeypatch):
    """Byte for byte, but for ids, times and the sampled flag."""
    found = []
    for name in ("always_on", sampler):
        with monkeypatch.context() as patch:
            variables = dict(SAMPLERS[name])
            flags = variables.pop("FLAGS", None)
            if flags:
                patch.setenv("TRACEPARENT", f"00-{'1' * 32}-{'2' * 16}-{flags}")
            for variable, value in variables.items():
                patch.setenv(variable, value)
            web = FaultServer()
            try:
                server = servers(web.url, TOKEN, dialect)
                held = Held(web)
                web.workflows["orders-11"] = {}
                run(server, quiet, held=held, workflow_id="orders-11")
                server.close(60)
                found.append(traffic(web, "orders-11"))
            finally:
                web.close()
    assert found[0] == found[1]
    assert len(found[0]) > 4


def test_baggage_that_is_a_credential_is_left_out(monkeypatch):
    """By its name; the rest of the baggage goes along, unless a user wants whole values."""
    carrier = {"traceparent": "00-1-2-01", "baggage": "user=ada,password=hunter2,x_token=a%20b"}
    assert headers_of(to_headers(carrier)) == {"traceparent": "00-1-2-01", "baggage": "user=ada"}
    only = {"traceparent": "00-1-2-01", "baggage": "api_key=hunter2"}
    assert headers_of(to_headers(only)) == {"traceparent": "00-1-2-01"}
    monkeypatch.setenv("DOTFLOW_WHOLE_VALUES", "1")
    assert headers_of(to_headers(carrier)) == carrier
