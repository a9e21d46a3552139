"""OTLP bytes as spans again, so that any exporter can send them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import SpanFlags
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, TraceFlags, TraceState
from opentelemetry.trace.status import Status, StatusCode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.proto.common.v1 import common_pb2
    from opentelemetry.proto.trace.v1 import trace_pb2

W3C_FLAGS = 0xFF  # the low byte of an encoded span's flags; the SDK leaves it empty

KINDS = {kind.value + 1: kind for kind in SpanKind}
"""By OTLP's numbers, in which 0 is a kind that was not said."""


def decode_spans(body: bytes) -> list[ReadableSpan]:
    """The spans of an encoded `ExportTraceServiceRequest`; encoded again they are the same bytes.

    Args:
        body: What `encode_spans` of the OTLP exporters made, serialised.

    Raises:
        ValueError: The bytes are something else.
    """
    try:
        request = ExportTraceServiceRequest.FromString(body)
    except Exception as error:  # protobuf's own, which is no dependency of ours
        raise ValueError("it is no batch of spans") from error
    return [
        _span(span, resource, scope)
        for of_resource in request.resource_spans
        for resource in [
            Resource(_mapping(of_resource.resource.attributes), of_resource.schema_url)
        ]
        for of_scope in of_resource.scope_spans
        for scope in [_scope(of_scope)]
        for span in of_scope.spans
    ]


class DecodedSpan(ReadableSpan):
    """A span that was encoded; it knows how much of it had been dropped before.

    Args:
        dropped: How many attributes, events and links there had been beside those that it has.
        known: What else a ReadableSpan is made of.
    """

    def __init__(self, dropped: tuple[int, int, int], **known: Any) -> None:
        super().__init__(**known)
        self._dropped = dropped

    @property
    def dropped_attributes(self) -> int:
        """How many attributes were dropped."""
        return self._dropped[0]

    @property
    def dropped_events(self) -> int:
        """How many events were dropped."""
        return self._dropped[1]

    @property
    def dropped_links(self) -> int:
        """How many links were dropped."""
        return self._dropped[2]


class DecodedEvent(Event):
    """An event that was encoded.

    Args:
        event: The encoded event.
    """

    def __init__(self, event: trace_pb2.Span.Event) -> None:
        super().__init__(event.name, _mapping(event.attributes), event.time_unix_nano)
        self._dropped = event.dropped_attributes_count

    @property
    def dropped_attributes(self) -> int:
        """How many attributes were dropped."""
        return self._dropped


class DecodedLink(Link):
    """A link that was encoded.

    Args:
        link: The encoded link.
    """

    def __init__(self, link: trace_pb2.Span.Link) -> None:
        context = _context(link.trace_id, link.span_id, link.flags, link.trace_state)
        super().__init__(context, _mapping(link.attributes))
        self._dropped = link.dropped_attributes_count

    @property
    def dropped_attributes(self) -> int:
        """How many attributes were dropped."""
        return self._dropped


def _span(
    span: trace_pb2.Span, resource: Resource, scope: InstrumentationScope | None
) -> ReadableSpan:
    parent = None
    if span.parent_span_id:
        parent = _context(span.trace_id, span.parent_span_id, span.flags)
    return DecodedSpan(
        (span.dropped_attributes_count, span.dropped_events_count, span.dropped_links_count),
        name=span.name,
        # Its own flags say whether its parent is remote; the span itself is of this process.
        context=_context(span.trace_id, span.span_id, span.flags & W3C_FLAGS, span.trace_state),
        parent=parent,
        resource=resource,
        attributes=_mapping(span.attributes),
        events=[DecodedEvent(event) for event in span.events],
        links=[DecodedLink(link) for link in span.links],
        kind=KINDS.get(span.kind, SpanKind.INTERNAL),
        status=_status(span),
        start_time=span.start_time_unix_nano,
        end_time=span.end_time_unix_nano,
        instrumentation_scope=scope,
    )


def _status(span: trace_pb2.Span) -> Status | None:
    if not span.HasField("status"):
        return None
    return Status(StatusCode(span.status.code), span.status.message or None)


def _context(trace_id: bytes, span_id: bytes, flags: int, trace_state: str = "") -> SpanContext:
    return SpanContext(
        int.from_bytes(trace_id, "big"),
        int.from_bytes(span_id, "big"),
        is_remote=bool(flags & SpanFlags.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK),
        # Only what is sampled is exported.
        trace_flags=TraceFlags(flags & W3C_FLAGS | TraceFlags.SAMPLED),
        trace_state=TraceState.from_header([trace_state]) if trace_state else None,
    )


def _scope(spans: trace_pb2.ScopeSpans) -> InstrumentationScope | None:
    scope = spans.scope
    if not (scope.name or scope.version or scope.attributes or spans.schema_url):
        return None
    attributes = _mapping(scope.attributes) or None
    return InstrumentationScope(scope.name, scope.version, spans.schema_url, attributes)


def _mapping(pairs: Iterable[common_pb2.KeyValue]) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: common_pb2.AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(one) for one in value.array_value.values]
    if kind == "kvlist_value":
        return _mapping(value.kvlist_value.values)
    return None if kind is None else cast("Any", getattr(value, kind))
