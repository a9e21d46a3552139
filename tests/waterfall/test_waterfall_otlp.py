"""OTLP JSON is read as whoever writes it, and written as all readers want it."""

from __future__ import annotations

import base64
import json

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from dotflow.waterfall.otlp_json import NoOtlpError, from_otlp, to_otlp
from dotflow.waterfall.spans import ERROR, children_of


@pytest.fixture(scope="module")
def request_of_sdk():
    """What OpenTelemetry itself makes of two spans, as a protobuf message."""
    kept = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    tracer = provider.get_tracer("lib", "1.2")
    known = {"whole": 2**60, "part": 1.5, "is": True, "texts": ["a", "b"], "name": "é<"}
    with tracer.start_as_current_span("outer", attributes=known):
        try:
            with tracer.start_as_current_span("inner") as inner:
                inner.add_link(inner.get_span_context(), {"to": "itself"})
                raise ValueError("no luck")
        except ValueError:
            pass
    provider.shutdown()
    return encode_spans(kept.get_finished_spans())


def as_json(message, **how):
    """A message in the form of protobuf's own JSON, whose ids are not hexadecimal."""
    from google.protobuf.json_format import MessageToDict

    return MessageToDict(message, **how)


def with_hexadecimal_ids(said):
    """The same in OTLP's form."""
    text = json.dumps(said)
    for of_resource in said["resourceSpans"]:
        for of_scope in of_resource["scopeSpans"]:
            for span in of_scope["spans"]:
                for name in ("traceId", "spanId", "parentSpanId"):
                    if name in span:
                        text = text.replace(span[name], base64.b64decode(span[name]).hex())
    return text


def test_what_was_read_is_written_as_it_was(request_of_sdk):
    text = with_hexadecimal_ids(as_json(request_of_sdk))
    spans = from_otlp(text)
    inner, outer = spans
    assert (inner.parent_id, inner.trace_id) == (outer.span_id, outer.trace_id)
    assert outer.attributes == {
        "whole": 2**60, "part": 1.5, "is": True, "texts": ["a", "b"], "name": "é<",
    }  # fmt: skip
    assert (inner.outcome, inner.message) == (ERROR, "ValueError: no luck")
    assert [event.attributes["exception.type"] for event in inner.events] == ["ValueError"]
    assert inner.links[0].span_id == inner.span_id
    assert (outer.scope, outer.resource["telemetry.sdk.name"]) == (("lib", "1.2"), "opentelemetry")
    assert from_otlp(json.dumps(to_otlp(spans))) == spans


@pytest.mark.parametrize(
    "how",
    [{}, {"preserving_proto_field_name": True}, {"use_integers_for_enums": True}],
    ids=["ids of protobuf", "names of protobuf", "numbers"],
)
def test_other_dialects_are_read_alike(how, request_of_sdk):
    usual = from_otlp(with_hexadecimal_ids(as_json(request_of_sdk)))
    assert from_otlp(json.dumps(as_json(request_of_sdk, **how))) == usual


def test_lines_and_lists_are_read_and_a_torn_line_is_passed_over(request_of_sdk):
    text = with_hexadecimal_ids(as_json(request_of_sdk))
    usual = from_otlp(text)
    line = json.dumps(json.loads(text))
    assert from_otlp(f"{line}\n{line}\n{line[:50]}") == usual
    assert from_otlp(f"[{line}, {line}]") == usual


@pytest.mark.parametrize("text", ["", "{}", "[]", "no JSON", "null", '{"resourceSpans": 7}'])
def test_what_is_no_otlp_is_refused(text):
    with pytest.raises(NoOtlpError):
        from_otlp(text)


def test_what_is_odd_within_costs_no_other_span(request_of_sdk):
    said = json.loads(with_hexadecimal_ids(as_json(request_of_sdk)))
    spans = said["resourceSpans"][0]["scopeSpans"][0]["spans"]
    spans += [7, None, {}, {"traceId": "x"}, {**spans[0], "startTimeUnixNano": "soon"}]
    said["resourceSpans"] += [None, {"scopeSpans": [None, {"spans": 3}]}]
    assert len(from_otlp(json.dumps(said))) == 2


def test_spans_within_each_other_by_a_mistake_are_all_reached(request_of_sdk):
    inner, outer = from_otlp(with_hexadecimal_ids(as_json(request_of_sdk)))
    outer.parent_id = inner.span_id
    found = children_of([inner, outer])
    assert sum(len(below) for below in found.values()) == 2
    assert len(found[""]) == 1
