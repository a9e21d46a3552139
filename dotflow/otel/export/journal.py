"""Spans on disk until they are exported: of a process that is killed the next one sends them."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, TraceFlags, TraceState
from opentelemetry.trace.status import Status, StatusCode

from dotflow.core.types import TypeStatus
from dotflow.delivery.message import Kind, Message
from dotflow.logging import logger
from dotflow.otel import attributes as names
from dotflow.process.forking import renew_in_child

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from dotflow.delivery.outbox import Held, Outbox

SCOPE = "dotflow"
"""The instrumentation scope of our spans."""

KILLED = "process_killed"

OUTCOMES = {names.TASK_ID: names.TASK_STATUS, names.WORKFLOW_MODE: names.WORKFLOW_STATUS}
"""Which attribute says how a span ended that has the other one."""

NANO = 1_000_000_000


class Journal:
    """Writes down our spans when they start, and all spans when they end, until they have left.

    To write a span down as OTLP would cost the work several times as much; it is encoded only if
    it comes to that. All methods may be called from any thread, and none raises.

    Args:
        opened: Gives the outbox; None once that is closed.
    """

    def __init__(self, opened: Callable[[], Outbox | None]) -> None:
        self._opened = opened
        self._resource: tuple[Resource | None, str] = (None, "")
        self.renew()
        renew_in_child(self)

    def renew(self) -> None:
        """Begin with none in a forked child: what is written down is the parent's."""
        self._held: dict[int, Held] = {}

    def started(self, span: ReadableSpan) -> None:
        """Write down a span of ours that starts; called by the thread that starts it."""
        scope = span.instrumentation_scope
        if scope is not None and scope.name == SCOPE:
            self._write(span)

    def ended(self, span: ReadableSpan) -> None:
        """Write down a span that ended; called by the thread that ends it."""
        self._write(span)

    def left(self, spans: Sequence[ReadableSpan]) -> None:
        """Forget spans that were exported, or are kept otherwise."""
        popped = (self._held.pop(_id(span), None) for span in spans)
        held = [one for one in popped if one is not None]
        outbox = self._opened() if held else None
        if outbox is not None:
            outbox.forget(held)

    def _write(self, span: ReadableSpan) -> None:
        context = span.context
        if context is None or not context.trace_flags.sampled:
            return
        outbox = self._opened()
        if outbox is None or not outbox.is_durable:
            return
        try:
            body = self._record(span)
        except Exception as error:  # noqa: BLE001 - a value may raise anything when it is looked at
            logger.debug("A span cannot be written down: %s", error)
            return
        message = Message(Kind.SPANS, "", None, body, final=True)
        held = outbox.hold(message, self._held.get(context.span_id))
        if held is not None:
            self._held[context.span_id] = held

    def _record(self, span: ReadableSpan) -> bytes:
        """A span as a JSON object; what all spans of a resource share is written once."""
        resource, shared = self._resource
        if resource is not span.resource:
            resource = span.resource
            shared = _json([dict(resource.attributes), resource.schema_url])
            self._resource = resource, shared
        return f'{{"resource":{shared},"span":{_json(_fields(span))}}}'.encode()


_encoder = json.JSONEncoder(separators=(",", ":"), default=str, check_circular=False)


def _json(value: Any) -> str:
    return _encoder.encode(value)


def _attributes(given: Any) -> dict[str, Any]:
    """A dict of attributes; the SDK's mapping copies itself much faster than it is walked."""
    copy = getattr(given, "copy", None)
    return dict(copy() if copy is not None else given or ())


def _id(span: ReadableSpan) -> int:
    return span.context.span_id if span.context is not None else 0


def _fields(span: ReadableSpan) -> dict[str, Any]:
    scope = span.instrumentation_scope
    fields = {
        "name": span.name,
        "context": _context_fields(span.context),
        "parent": _context_fields(span.parent),
        "kind": span.kind.name,
        "scope": [scope.name, scope.version, scope.schema_url] if scope is not None else None,
        "start": span.start_time,
        "end": span.end_time,
        "attributes": _attributes(span.attributes),
    }
    if span.links:
        fields["links"] = [
            [_context_fields(link.context), dict(link.attributes or ())] for link in span.links
        ]
    if span.end_time is not None:
        fields["status"] = [span.status.status_code.name, span.status.description]
        fields["events"] = [
            [event.name, event.timestamp, dict(event.attributes or ())] for event in span.events
        ]
    return fields


def _context_fields(context: SpanContext | None) -> list[Any] | None:
    if context is None:
        return None
    return [
        context.trace_id, context.span_id, context.is_remote, int(context.trace_flags),
        context.trace_state.to_header() if context.trace_state else "",
    ]  # fmt: skip


def spans_of_the_dead(records: Iterable[bytes], last_seen: float) -> list[ReadableSpan]:
    """The spans that a dead process had written down; those that had not ended end here.

    Args:
        records: What it had written.
        last_seen: When it last gave a sign of life (seconds since the epoch).
    """
    spans = []
    for record in records:
        try:
            spans.append(_span(json.loads(record), int(last_seen * NANO)))
        except Exception as error:  # noqa: BLE001, PERF203 - one that is damaged costs no other
            logger.warning("A span in the outbox cannot be read, and is lost: %s", error)
    return spans


def _span(record: dict[str, Any], last_seen_ns: int) -> ReadableSpan:
    fields = record["span"]
    attributes, schema_url = record["resource"]
    scope = fields["scope"]
    known: dict[str, Any] = {
        "name": fields["name"],
        "context": _context(fields["context"]),
        "parent": _context(fields["parent"]),
        "resource": Resource(attributes, schema_url),
        "attributes": fields["attributes"],
        "links": [Link(_known(linked), said) for linked, said in fields.get("links", ())],
        "kind": SpanKind[fields["kind"]],
        "instrumentation_scope": InstrumentationScope(*scope) if scope is not None else None,
        "start_time": fields["start"],
        "end_time": fields["end"],
    }
    if fields["end"] is None:
        known |= _end(fields, last_seen_ns)
    else:
        code, description = fields["status"]
        known["status"] = Status(StatusCode[code], description)
        known["events"] = [Event(name, said, at) for name, at, said in fields["events"]]
    return ReadableSpan(**known)


def _end(fields: dict[str, Any], last_seen_ns: int) -> dict[str, Any]:
    """How a span ends whose process did not live to end it."""
    attributes = {**fields["attributes"], names.ERROR_TYPE: KILLED}
    for mark, outcome in OUTCOMES.items():
        if mark in attributes:
            attributes[outcome] = TypeStatus.FAILED
    seen = datetime.fromtimestamp(last_seen_ns / NANO, timezone.utc).isoformat(timespec="seconds")
    description = f"the process ended before this did; it was last seen at {seen}"
    return {
        "attributes": attributes,
        "status": Status(StatusCode.ERROR, description),
        "end_time": max(fields["start"] + 1, last_seen_ns),
    }


def _context(fields: list[Any] | None) -> SpanContext | None:
    return None if fields is None else _known(fields)


def _known(fields: list[Any]) -> SpanContext:
    trace_id, span_id, is_remote, flags, state = fields
    trace_state = TraceState.from_header([state]) if state else TraceState()
    return SpanContext(trace_id, span_id, is_remote, TraceFlags(flags), trace_state)
