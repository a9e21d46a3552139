"""Encoded spans of the version before are spans again, and nothing of them is lost."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, TraceFlags, TraceState
from opentelemetry.trace.status import Status, StatusCode

from dotflow.otel.export.leaving.earlier import decode_spans

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
keys = st.text("abc.é", min_size=1, max_size=4)
int64 = st.integers(-(2**63), 2**63 - 1)
scalars = text | int64 | st.booleans() | st.floats() | st.binary(max_size=8)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=6,
)
attributes = st.none() | st.dictionaries(keys, values, max_size=4)
# What one process has: resources and scopes hold plain values.
plain = st.dictionaries(keys, text | int64 | st.booleans(), max_size=3)
times = st.integers(0, 2**63)
trace_states = st.none() | st.builds(
    TraceState, st.lists(st.tuples(st.text("abc", min_size=1), st.text("x1 -", min_size=1).map(
        lambda value: value + "!")), max_size=3, unique_by=lambda pair: pair[0])
)  # fmt: skip


def bounded(values):
    return None if values is None else BoundedAttributes(2, values, extended_attributes=True)


@st.composite
def contexts(draw):
    return SpanContext(
        draw(st.integers(1, 2**128 - 1)), draw(st.integers(1, 2**64 - 1)), draw(st.booleans()),
        TraceFlags(TraceFlags.SAMPLED), draw(trace_states),
    )  # fmt: skip


events = st.builds(Event, text, attributes | attributes.map(bounded), times)
links = st.builds(Link, contexts(), attributes | attributes.map(bounded))
statuses = st.just(Status(StatusCode.UNSET)) | st.just(Status(StatusCode.OK)) | (
    st.builds(Status, st.just(StatusCode.ERROR), st.none() | text)
)  # fmt: skip
resources = st.builds(Resource, plain, text)
scopes = st.none() | st.builds(
    InstrumentationScope, text, st.none() | text, st.none() | text, st.none() | plain
)


@st.composite
def spans(draw):
    of = draw(st.lists(resources, min_size=1, max_size=2))
    by = draw(st.lists(scopes, min_size=1, max_size=2))
    one = st.builds(
        ReadableSpan,
        name=text, context=contexts(), parent=st.none() | contexts(),
        resource=st.sampled_from(of), attributes=attributes | attributes.map(bounded),
        events=st.lists(events, max_size=2), links=st.lists(links, max_size=2),
        kind=st.sampled_from(SpanKind), status=st.none() | statuses, start_time=times,
        end_time=times, instrumentation_scope=st.sampled_from(by),
    )  # fmt: skip
    return draw(st.lists(one, min_size=1, max_size=4))


@pytest.mark.slow
@given(spans())
@settings(deadline=None)
def test_what_is_decoded_and_encoded_again_is_the_same(batch):
    """Byte for byte; only spans of no scope and of a nameless one are the same to OTLP."""
    body = encode_spans(batch).SerializeToString(deterministic=True)
    again = encode_spans(decode_spans(body))
    named = [span for span in batch if span.instrumentation_scope is not None]
    if all(span.instrumentation_scope.name for span in named):
        assert again.SerializeToString(deterministic=True) == body
    assert _flat(again) == _flat(encode_spans(batch))


def _flat(request):
    """The spans, in no order, each with what it is of."""
    return sorted(
        (
            of_resource.resource.SerializeToString(), of_resource.schema_url,
            of_scope.scope.SerializeToString(), of_scope.schema_url, span.SerializeToString(),
        )
        for of_resource in request.resource_spans
        for of_scope in of_resource.scope_spans
        for span in of_scope.spans
    )  # fmt: skip


def test_spans_of_the_sdk_come_back_with_what_was_dropped():
    """Limits of the SDK drop attributes, events and links: how many is still known."""
    exporter = InMemorySpanExporter()
    limits = SpanLimits(max_span_attributes=1, max_events=1, max_links=1)
    provider = TracerProvider(span_limits=limits)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("scope", "1.2", "https://schema", {"of": "scope"})
    with tracer.start_as_current_span("first") as first:
        context = first.get_span_context()
    with tracer.start_as_current_span("it", links=[Link(context), Link(context)]) as span:
        span.set_attributes({"a": 1, "b": (1.5, 2.5)})
        span.add_event("x")
        span.add_event("y", {"of": "event"})
    provider.shutdown()
    batch = exporter.get_finished_spans()
    body = encode_spans(batch).SerializeToString()
    [first, it] = decode_spans(body)
    assert (it.dropped_attributes, it.dropped_events, it.dropped_links) == (1, 1, 1)
    assert (it.name, it.context.span_id) == ("it", batch[1].context.span_id)
    assert it.context.trace_flags.sampled
    assert it.instrumentation_scope == batch[1].instrumentation_scope
    assert it.resource == batch[1].resource
    assert encode_spans([first, it]).SerializeToString() == body


def test_bytes_that_are_no_spans_are_said_to_be_none():
    """They raise, rather than be taken for an empty batch."""
    with pytest.raises(ValueError, match="no batch of spans"):
        decode_spans(b"\xffno spans")
