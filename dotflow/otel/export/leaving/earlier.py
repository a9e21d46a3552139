"""Spans that the version before left in its files, made again so that any exporter can send them.

What waited there is encoded OTLP, or a span as JSON with its ids as numbers.
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any, cast

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags, TraceState
from opentelemetry.trace.status import Status, StatusCode

from dotflow.delivery.waiting import BEFORE
from dotflow.logging import logger
from dotflow.otel.export.leaving.sending import Item
from dotflow.otel.spans.fields import NANO, PastEvent, PastLink, PastSpan, killed, read
from dotflow.otel.spans.wording import reworded
from dotflow.runlog import files
from dotflow.runlog.texts import Texts

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from opentelemetry.proto.common.v1 import common_pb2
    from opentelemetry.proto.trace.v1 import trace_pb2
    from opentelemetry.sdk.trace import ReadableSpan

    from dotflow.delivery.dead.earlier import EarlierSpans

W3C_FLAGS = 0xFF
"""The low byte of an encoded span's flags, which the SDK leaves empty."""

KINDS = {kind.value + 1: kind for kind in SpanKind}
"""By OTLP's numbers, in which 0 is a kind that was not said."""


class EarlierFiles:
    """The files that the version before left for an endpoint; called by one thread.

    Args:
        key: The endpoint's key.
    """

    def __init__(self, key: str) -> None:
        self._key = key
        self._found: Generator[EarlierSpans] | None = None
        self._batch: EarlierBatch | None = None

    def look(self) -> None:
        """Look for files of dead processes, unless those that were found are not sent yet."""
        if self._found is None and (files.state_dir() / BEFORE).is_dir():
            from dotflow.delivery.dead.earlier import earlier_spans

            self._found = earlier_spans(self._key)

    def more(self) -> Iterator[Item]:
        """The spans of the next batch, if the one before has left; a file is locked until then."""
        while self._found is not None and (self._batch is None or self._batch.has_left):
            found = next(self._found, None)
            if found is None:
                self._found = self._batch = None
            else:
                self._batch = EarlierBatch(found)
                yield from self._batch.items()

    def close(self) -> None:
        """Leave what has not left to the next process."""
        if self._found is not None:
            with contextlib.suppress(ValueError):  # the thread is reading: it ends with the process
                self._found.close()
        self._found = self._batch = None


class EarlierBatch:
    """Spans that are forgotten together: once all have left, or never will.

    Args:
        found: What waited.
    """

    def __init__(self, found: EarlierSpans) -> None:
        self._found = found
        self._spans = list(spans_of(found))
        self._under_way = set(range(len(self._spans)))
        if not self._spans:
            found.has_left()

    @property
    def has_left(self) -> bool:
        """Whether all have left."""
        return not self._under_way

    def items(self) -> Iterator[Item]:
        """The spans, on their way."""
        for n, span in enumerate(self._spans):
            yield Item(span, n, 0, self)

    def left(self, numbers: list[int]) -> None:
        """Take note of spans that have left, or never will."""
        self._under_way.difference_update(numbers)
        if self.has_left:
            self._found.has_left()


def spans_of(found: EarlierSpans) -> Iterator[ReadableSpan]:
    """The spans that waited; those that had not ended end with their process."""
    texts = (Texts(),)
    try:
        if found.encoded:
            for span in decode_spans(found.encoded):
                yield reworded(span, texts, is_ours_worded=False)
    except ValueError as error:
        logger.warning("A batch of spans of the version before is lost: %s.", error)
    for record in found.records:
        try:
            span = _of_record(json.loads(record), found.last_seen)
            yield reworded(span, texts, is_ours_worded=False)
        except Exception as error:  # noqa: BLE001, PERF203 - one that is damaged costs no other
            logger.warning("A span of the version before cannot be read, and is lost: %s", error)


# Spans as JSON.


def _of_record(record: dict[str, Any], last_seen: float) -> ReadableSpan:
    known = record["span"]
    known["context"], known["parent"] = _ids(known["context"]), _ids(known["parent"])
    for link in known.get("links", ()):
        link[0] = _ids(link[0])
    span = read({**known, "resource": record["resource"]})
    return killed(span, int(last_seen * NANO)) if span.end_time is None else span


def _ids(context: list[Any] | None) -> list[Any] | None:
    """A context with its ids as this version writes them."""
    if context is None:
        return None
    trace_id, span_id, *rest = context
    return [f"{trace_id:032x}", f"{span_id:016x}", *rest]


# Encoded spans.


def decode_spans(body: bytes) -> list[ReadableSpan]:
    """The spans of an encoded `ExportTraceServiceRequest`; encoded again they are the same bytes.

    Args:
        body: What `encode_spans` of the OTLP exporters made, serialised.

    Raises:
        ValueError: The bytes are something else.
    """
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

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


def _span(
    span: trace_pb2.Span, resource: Resource, scope: InstrumentationScope | None
) -> ReadableSpan:
    parent = None
    if span.parent_span_id:
        parent = _context(span.trace_id, span.parent_span_id, span.flags)
    return PastSpan(
        (span.dropped_attributes_count, span.dropped_events_count, span.dropped_links_count),
        name=span.name,
        # Its own flags say whether its parent is remote; the span itself is of this process.
        context=_context(span.trace_id, span.span_id, span.flags & W3C_FLAGS, span.trace_state),
        parent=parent,
        resource=resource,
        attributes=_mapping(span.attributes),
        events=[_event(event) for event in span.events],
        links=[_link(link) for link in span.links],
        kind=KINDS.get(span.kind, SpanKind.INTERNAL),
        status=_status(span),
        start_time=span.start_time_unix_nano,
        end_time=span.end_time_unix_nano,
        instrumentation_scope=scope,
    )


def _event(event: trace_pb2.Span.Event) -> PastEvent:
    attributes = _mapping(event.attributes)
    return PastEvent(event.name, event.time_unix_nano, attributes, event.dropped_attributes_count)


def _link(link: trace_pb2.Span.Link) -> PastLink:
    context = _context(link.trace_id, link.span_id, link.flags, link.trace_state)
    return PastLink(context, _mapping(link.attributes), link.dropped_attributes_count)


def _status(span: trace_pb2.Span) -> Status | None:
    if not span.HasField("status"):
        return None
    return Status(StatusCode(span.status.code), span.status.message or None)


def _context(trace_id: bytes, span_id: bytes, flags: int, trace_state: str = "") -> SpanContext:
    from opentelemetry.proto.trace.v1.trace_pb2 import SpanFlags

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
