"""Spans as JSON, for what facts do not say of them; and spans again."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.span import TraceState

from dotflow.otel import attributes as names
from dotflow.utils.json_text import encoder_of
from dotflow.utils.masking import clean

if TYPE_CHECKING:
    from collections.abc import Sequence

KILLED = "process_killed"

OUTCOMES = {names.TASK_ID: names.TASK_STATUS, names.WORKFLOW_TASK_COUNT: names.WORKFLOW_STATUS}
"""Which attribute says how a span ended that has the other one."""

NANO = 1_000_000_000

_encode = encoder_of(is_ascii=True, default=str)


class Writer:
    """Writes spans as JSON objects; what all spans of a resource share is encoded once."""

    def __init__(self) -> None:
        self._resource: tuple[Resource | None, str] = (None, "")

    def write(self, span: ReadableSpan, resource: Resource | None = None) -> str:
        """A span, whole; one that has not ended has no end, and says so much as it begins with.

        Args:
            span: The span.
            resource: What is said to produce it, in place of its own.
        """
        known, shared = self._resource
        resource = resource or span.resource
        if known is not resource:
            shared = _encode([_plain(resource.attributes), resource.schema_url])
            self._resource = resource, shared
        return f'{{"resource":{shared},{_encode(_fields(span))[1:]}'


def _plain(given: Any) -> dict[str, Any]:
    """A dict of attributes; the SDK's mapping copies itself much faster than it is walked."""
    copy = getattr(given, "copy", None)
    return dict(copy() if copy is not None else given or ())


def _fields(span: ReadableSpan) -> dict[str, Any]:
    scope = span.instrumentation_scope
    fields = {
        "name": span.name,
        "context": _of_context(span.context),
        "parent": _of_context(span.parent),
        "kind": span.kind.name,
        "scope": None,
        "start": span.start_time,
        "end": span.end_time,
        "attributes": _plain(span.attributes),
    }
    if scope is not None:
        fields["scope"] = [
            scope.name, scope.version, scope.schema_url, _plain(scope.attributes) or None
        ]  # fmt: skip
    if span.links:
        fields["links"] = [
            [_of_context(link.context), _plain(link.attributes), link.dropped_attributes]
            for link in span.links
        ]
    if span.end_time is not None:
        fields["status"] = [span.status.status_code.name, span.status.description]
        fields["events"] = [
            [event.name, event.timestamp, _plain(event.attributes), _dropped(event)]
            for event in span.events
        ]
        fields["dropped"] = [span.dropped_attributes, span.dropped_events, span.dropped_links]
    return fields


def _dropped(event: Any) -> int:
    return int(getattr(event, "dropped_attributes", 0))


def _of_context(context: SpanContext | None) -> list[Any] | None:
    if context is None:
        return None
    state = context.trace_state.to_header() if context.trace_state else ""
    return [
        f"{context.trace_id:032x}", f"{context.span_id:016x}", context.is_remote,
        int(context.trace_flags), state,
    ]  # fmt: skip


# Spans again.


class PastSpan(ReadableSpan):
    """A span that was written down; it knows how much of it had been dropped before.

    Args:
        dropped: How many attributes, events and links there had been beside those that it has.
        known: What else a ReadableSpan is made of.
    """

    def __init__(self, dropped: Sequence[int], **known: Any) -> None:
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


class PastEvent(Event):
    """An event that was written down.

    Args:
        name: Its name.
        timestamp: Its time.
        attributes: Its attributes.
        dropped: How many there had been beside these.
    """

    def __init__(self, name: str, timestamp: int, attributes: Any, dropped: int = 0) -> None:
        super().__init__(name, attributes, timestamp)
        self._dropped = dropped

    @property
    def dropped_attributes(self) -> int:
        """How many attributes were dropped."""
        return self._dropped


class PastLink(Link):
    """A link that was written down.

    Args:
        context: Where it leads.
        attributes: What it says.
        dropped: How many attributes there had been beside these.
    """

    def __init__(self, context: SpanContext, attributes: Any, dropped: int = 0) -> None:
        super().__init__(context, attributes)
        self._dropped = dropped

    @property
    def dropped_attributes(self) -> int:
        """How many attributes were dropped."""
        return self._dropped


_resources: dict[str, Resource] = {}
_MOST_RESOURCES = 16


def _resource_of(attributes: dict[str, Any], schema_url: str | None) -> Resource:
    """What a span is of; spans of one log share it, for it costs more to make than all else."""
    key = repr((attributes, schema_url))
    found = _resources.get(key)
    if found is None:
        if len(_resources) >= _MOST_RESOURCES:
            _resources.clear()
        found = _resources[key] = Resource(attributes, schema_url)
    return found


def read(fields: dict[str, Any]) -> ReadableSpan:
    """The span that was written down; one that had not ended has no end.

    Raises:
        Exception: It is damaged.
    """
    scope, end = fields["scope"], fields["end"]
    code, description = fields.get("status", ("UNSET", None))
    return PastSpan(
        fields.get("dropped", (0, 0, 0)),
        name=clean(fields["name"]),
        context=_context(fields["context"]),
        parent=_context(fields["parent"]) if fields["parent"] is not None else None,
        resource=_resource_of(*fields["resource"]),
        attributes=fields["attributes"],
        events=[PastEvent(*event) for event in fields.get("events", ())],
        links=[PastLink(_context(link[0]), *link[1:]) for link in fields.get("links", ())],
        kind=SpanKind[fields["kind"]],
        status=Status(StatusCode[code], description),
        start_time=fields["start"],
        end_time=end,
        instrumentation_scope=InstrumentationScope(*scope) if scope is not None else None,
    )


def _context(fields: list[Any]) -> SpanContext:
    trace_id, span_id, is_remote, flags, state = fields
    trace_state = TraceState.from_header([state]) if state else TraceState()
    return SpanContext(
        int(trace_id, 16), int(span_id, 16), is_remote, TraceFlags(flags), trace_state
    )


def killed(span: ReadableSpan, last_seen_ns: int) -> ReadableSpan:
    """How a span ends whose process did not live to end it.

    Args:
        span: The span as it began.
        last_seen_ns: When the process last gave a sign of life.
    """
    attributes: dict[str, Any] = {**(span.attributes or {}), names.ERROR_TYPE: KILLED}
    for mark, outcome in OUTCOMES.items():
        if mark in attributes:
            attributes[outcome] = "Failed"
    seen = datetime.fromtimestamp(last_seen_ns / NANO, timezone.utc).isoformat(timespec="seconds")
    description = f"the process ended before the span did; it was last seen at {seen}"
    start = span.start_time or 0
    return PastSpan(
        (span.dropped_attributes, span.dropped_events, span.dropped_links),
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=attributes,
        events=span.events,
        links=span.links,
        kind=span.kind,
        status=Status(StatusCode.ERROR, description),
        start_time=start,
        end_time=max(start + 1, last_seen_ns),
        instrumentation_scope=span.instrumentation_scope,
    )
