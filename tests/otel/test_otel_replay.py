"""What is made again from the run log is what was exported, or would have been."""

from __future__ import annotations

import json

import pytest
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.trace import Link, SpanKind, Status, StatusCode, set_span_in_context
from support.fault_server import TOKEN, FaultServer

from dotflow import DotFlow, action
from dotflow.abc.facts import next_number
from dotflow.otel.export.leaving.batch import OtlpProcessor
from dotflow.otel.spans import fields
from dotflow.otel.spans.light import LightSpan
from dotflow.otel.spans.past import PastSpans
from dotflow.runlog.reader import SegmentReader
from dotflow.runlog.writer import run_log

NOW = 2_000_000_000_000_000_000


@action
def gives():
    return {"text": "ä \u2028 \x7f", "number": 0.1, "password": "p"}


@action
def takes(previous_context):
    return [previous_context.storage, "x" * 5000]


@action(retry=2, retry_delay=0)
def second_time():
    if not tries:
        tries.append(1)
        raise ConnectionError("password=hunter2")
    return 2


@action
def annotates():
    span = trace.get_current_span()
    span.set_attribute("mine", [1, 2])
    span.set_attribute("odd", object())
    span.add_event("seen", {"at": 1.5}, 7)
    span.add_link(trace.SpanContext(1, 2, True), {"why": "so"})
    span.update_name("renamed")
    with trace.get_tracer("user", "1.0", "https://schema").start_as_current_span("inner"):
        return


@action
def fails():
    raise ValueError("no \U0001f600")


tries: list[int] = []


@pytest.fixture
def exported(monkeypatch):
    """The spans that leave, and never arrive: each is what an exporter was given."""
    seen: list[ReadableSpan] = []
    put = OtlpProcessor.put

    def seeing(self, what, n, base):
        seen.append(what)
        put(self, what, n, base)

    monkeypatch.setattr(OtlpProcessor, "put", seeing)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "600000")
    return seen


def run(server, quiet, *steps, **kwargs):
    flow = DotFlow(config=quiet(server), name="etl", **kwargs)
    flow.task.add(list(steps))
    flow.start(keep_going=True)
    return flow


@pytest.fixture(autouse=True)
def _begins():
    """Lines of earlier tests may be in the log of this process."""
    global first  # noqa: PLW0603 - one a test
    first = next_number()


first = 0


def facts():
    """All lines of this test in this process's log."""
    found = []
    for segment in run_log.segments:
        reader = SegmentReader(segment.path, segment)
        while lines := reader.read():
            found += [fact for fact in lines if fact.get("n", 0) > first]
    return found


def made_again(server):
    [processor] = server._pipeline._keeping()
    past = PastSpans(processor.key)
    made = [span for span, _ in filter(None, map(past.take, facts()))]
    assert past.damaged == 0
    return made, past


def encoded(spans):
    """What leaves, one span at a time."""
    one_by_one = (encode_spans([span]).SerializeToString(deterministic=True) for span in spans)
    return sorted(one_by_one)


def test_spans_of_a_run_that_is_reported_say_so_from_the_log_too(exported, servers, quiet, otlp):
    """Byte for byte; who gets them reports none of them again."""
    tries.clear()
    api = FaultServer()
    server = servers(api.url, TOKEN, endpoint=otlp.http_url)
    run(server, quiet, gives, second_time, fails)
    made, _ = made_again(server)
    assert encoded(made) == encoded(exported)
    assert len(made) == 6
    assert all(span.attributes["dotflow.reported"] for span in made)
    server.close(60)
    api.close()


@pytest.mark.parametrize("limits", [{}, {"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "20"},
                                    {"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "5"}])  # fmt: skip
@pytest.mark.parametrize("options", [{}, {"markers": True}, {"tasks_per_trace": 2}])
def test_spans_from_the_log_are_the_live_ones(
    limits, options, exported, servers, quiet, otlp, monkeypatch
):
    """Byte for byte: results, cuts, masks, retries, failures, what a step added, the user's."""
    for name, value in limits.items():
        monkeypatch.setenv(name, value)
    tries.clear()
    server = servers(endpoint=otlp.http_url, **options)
    monkeypatch.setattr(trace, "get_tracer", server.tracer_provider.get_tracer)
    run(server, quiet, gives, takes, second_time, annotates, fails)
    made, past = made_again(server)
    assert len(made) == len(exported) >= 9
    assert encoded(made) == encoded(exported)
    assert not past.has_unended()
    assert any(isinstance(span, LightSpan) for span in exported)


def test_light_spans_say_what_the_sdks_say(exported, servers, quiet, otlp, monkeypatch):
    """The same run with a foreign processor on the provider: all spans are the SDK's."""
    said = []
    for is_light in (True, False):
        tries.clear()
        exported.clear()
        server = servers(endpoint=otlp.http_url)
        monkeypatch.setattr(trace, "get_tracer", server.tracer_provider.get_tracer)
        if not is_light:
            server.tracer_provider.add_span_processor(SpanProcessor())
        run(server, quiet, gives, takes, second_time, annotates, fails)
        assert any(isinstance(span, LightSpan) for span in exported) is is_light
        said.append([_told(span) for span in exported])
    assert said[0] == said[1]
    assert len(said[0]) == 9


def _told(span):
    """A span without what differs from run to run: ids and times."""
    whole = json.loads(fields.Writer().write(span))
    for name in ("context", "parent", "start", "end", "resource"):
        del whole[name]
    for name in ("dotflow.workflow.id", "dotflow.task.duration", "dotflow.workflow.duration"):
        whole["attributes"].pop(name, None)
    for event in whole["events"]:
        if event[0] == "exception":
            event[1] = 0
    return whole


def test_what_had_not_ended_ends_when_its_process_was_last_seen(exported, servers, quiet, otlp):
    """Lines up to any of them make spans without an orphan, each within the time of its parent."""
    server = servers(endpoint=otlp.http_url)
    tries.clear()
    run(server, quiet, gives, second_time, fails)
    [processor] = server._pipeline._keeping()
    lines = [fact for fact in facts() if processor.key in fact.get("to", ())]
    assert len(lines) > 12
    for count in range(1, len(lines) + 1):
        past = PastSpans(processor.key)
        made = [span for span, _ in filter(None, map(past.take, lines[:count]))]
        killed = [span for span, n in past.unended(1) if n == -span.context.span_id]
        spans = {span.context.span_id: span for span in [*made, *killed]}
        assert len(spans) == len(made) + len(killed)
        for span in spans.values():
            if span.parent is not None:
                above = spans[span.parent.span_id]
                assert above.start_time <= span.start_time < span.end_time <= above.end_time
        for span in killed:
            assert span.attributes["error.type"] == "process_killed"
            assert span.status.status_code is StatusCode.ERROR


def spans_of_every_kind(provider):
    parent = provider.get_tracer("user", "1.0", "https://schema").start_span("parent")
    span = provider.get_tracer("user", "1.0", "https://schema", {"a": 1}).start_span(
        "a \U0001f600 name", set_span_in_context(parent), SpanKind.PRODUCER,
        {"text": "ä", "flag": True, "number": -1, "float": 0.25, "list": ["a", "b"], "none": ()},
        [Link(parent.get_span_context(), {"why": "so"})],
    )  # fmt: skip
    span.add_event("happened", {"at": 1.5}, 7)
    span.set_status(Status(StatusCode.ERROR, "why not"))
    span.end()
    return span


def test_what_is_written_down_is_the_span():
    """A span comes back from its line as OTLP would have had it."""
    span = spans_of_every_kind(TracerProvider())
    back = fields.read(json.loads(fields.Writer().write(span)))
    assert encode_spans([back]) == encode_spans([span])


def test_a_damaged_line_costs_no_other():
    """What cannot be read is counted and left out."""
    past = PastSpans("key")
    span = json.loads(fields.Writer().write(spans_of_every_kind(TracerProvider())))
    good = {"f": "span", "n": 1, "to": {"key": "spans"}, "said": span}
    bad = [{**good, "said": None}, {**good, "said": {**span, "kind": "?"}},
           {"f": "task began", "to": {"key": "spans"}, "in": "0"}]  # fmt: skip
    assert [past.take(fact) for fact in bad] == [None] * 3
    assert past.damaged == 3
    assert past.take(good)[0].name == "a \U0001f600 name"
    assert past.take({**good, "to": {"another": "spans"}}) is None


def test_a_clock_that_was_set_back():
    """A span never ends before it began."""
    span = TracerProvider().get_tracer("dotflow").start_span("x")
    back = fields.killed(span, 1)
    assert back.start_time == span.start_time == back.end_time - 1


def test_a_span_that_is_not_sampled_is_not_written_down(servers, quiet, otlp, monkeypatch):
    """Sampling decides what leaves, also after a death: without a reader there is no log."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    server = servers(endpoint=otlp.http_url)
    run(server, quiet, gives)
    assert facts() == []
