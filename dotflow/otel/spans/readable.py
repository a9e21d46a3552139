"""What a light span says to whoever reads it, which is the thread that exports."""

from __future__ import annotations

import threading
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanProcessor
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode

from dotflow.otel import attributes as names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentelemetry import trace
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    from dotflow.otel.spans.place import Place

UNSET = Status(StatusCode.UNSET)

_nowhere = SpanProcessor()


class Said(Protocol):
    """What a span says; `record` has one for tasks and one for attempts."""

    n: int

    def at_start(self) -> dict[str, Any]:
        """The attributes that it begins with."""

    def at_end(self) -> dict[str, Any]:
        """The attributes that it ends with."""

    def event(self) -> tuple[dict[str, str], int | None] | None:
        """The attributes and the time of the exception that it tells of, if it does."""

    def failed(self) -> str | None:
        """The description of its error status; None where it has not failed."""

    def length(self) -> int:
        """About how many characters it says in words of its own."""


class _Body(sdk.Span):
    """The SDK's span that a light one becomes when a step puts something on it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # A signal handler may use the span while the step that it interrupts does.
        self._lock = threading.RLock()  # type: ignore[assignment]


class Readable(ReadableSpan):
    """A light span as it is read: its attributes, events and status are made of what it holds.

    Attributes:
        place: What it shares with its siblings.
        span_id: Its id.
        said: What it says.
        body: The SDK's span that it has become, because it says more, or other things, than follow
            from what happened; None until then.
    """

    __slots__ = ("_context", "_end_time", "_links", "_name", "_start_time", "body", "place",
                 "said", "span_id")  # fmt: skip

    place: Place
    span_id: int
    said: Said
    body: sdk.Span | None
    _context: SpanContext | None
    _end_time: int | None
    _links: Sequence[trace.Link]
    _name: str

    def __repr__(self) -> str:
        return f'{type(self).__name__}(name="{self._name}", context={self.context})'

    # What it is.

    @property
    def context(self) -> SpanContext:
        """Its ids."""
        context = self._context
        if context is None:
            parent = self.place.parent
            context = self._context = SpanContext(
                parent.trace_id, self.span_id, False, parent.trace_flags, parent.trace_state
            )
        return context

    @property
    def name(self) -> str:
        """Its name."""
        return self._name if self.body is None else self.body.name

    @property
    def kind(self) -> SpanKind:
        """Internal."""
        return SpanKind.INTERNAL

    @property
    def parent(self) -> SpanContext:
        """The ids of its parent."""
        return self.place.parent

    @property
    def start_time(self) -> int | None:
        """When it began, in nanoseconds since the epoch."""
        return self._start_time

    @property
    def end_time(self) -> int | None:
        """When it ended; None until then."""
        return self._end_time

    @property
    def resource(self) -> Resource:
        """What produced it."""
        return self.place.resource

    @property
    def instrumentation_scope(self) -> InstrumentationScope | None:
        """Its scope."""
        return self.place.scope

    @property
    def instrumentation_info(self) -> Any:
        """What the scope was called before; nothing."""
        return None

    # What it says.

    @property
    def attributes(self) -> Mapping[str, Any]:
        """Its attributes, as far as they are known."""
        body = self._readable()
        if body is not None:
            return body.attributes or {}
        found = self.said.at_start()
        if self._end_time is not None:
            found.update(self.said.at_end())
        return MappingProxyType(found)

    @property
    def events(self) -> Sequence[Event]:
        """Its events: what a step added, and the exception that failed it."""
        body = self._readable()
        if body is not None:
            return body.events
        told = None if self._end_time is None else self.said.event()
        return () if told is None else (Event(names.EVENT_EXCEPTION, told[0], told[1]),)

    @property
    def links(self) -> Sequence[trace.Link]:
        """Its links."""
        body = self._readable()
        return tuple(self._links) if body is None else body.links

    @property
    def status(self) -> Status:
        """Its status."""
        body = self._readable()
        if body is not None:
            return body.status
        failed = None if self._end_time is None else self.said.failed()
        return UNSET if failed is None else Status(StatusCode.ERROR, failed)

    @property
    def dropped_attributes(self) -> int:
        """How many attributes were dropped for the limits."""
        body = self._readable()
        return 0 if body is None else body.dropped_attributes

    @property
    def dropped_events(self) -> int:
        """How many events were dropped for the limits."""
        body = self._readable()
        return 0 if body is None else body.dropped_events

    @property
    def dropped_links(self) -> int:
        """How many links were dropped for the limits."""
        body = self._readable()
        return 0 if body is None else body.dropped_links

    def to_json(self, indent: int | None = 4) -> str:
        """Its text as JSON."""
        return str((self._readable() or self._whole()).to_json(indent))

    def _readable(self) -> sdk.Span | None:
        """The span of the SDK's own to be read; None where that would say nothing else."""
        if self.body is not None or self.place.is_wide:
            return self.body
        return self._whole()

    def _whole(self) -> sdk.Span:
        body = begun(self)
        if self._end_time is not None:
            finish(self, body)
        return body


def begun(span: Readable) -> sdk.Span:
    """The SDK's span for a light one, which has begun when that did."""
    place = span.place
    body = _Body(
        name=span._name, context=span.context, parent=place.parent, resource=place.resource,
        attributes=span.said.at_start(), links=span._links, span_processor=_nowhere,
        limits=place.limits, instrumentation_scope=place.scope,
    )  # fmt: skip
    body.start(span._start_time)
    return body


def finish(span: Readable, body: sdk.Span) -> None:
    """Say how it ended on the body of a span."""
    told = span.said.event()
    if told is not None:
        body.add_event(names.EVENT_EXCEPTION, told[0], told[1])
    body.set_attributes(span.said.at_end())
    failed = span.said.failed()
    if failed is not None:
        body.set_status(Status(StatusCode.ERROR, failed))
    body.end(span._end_time)
