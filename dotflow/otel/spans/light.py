"""Light spans: begun and ended in a microsecond, whole when somebody looks at them.

A light span holds what happened; its attributes, events and status are made when they are read,
which is in the thread that exports. What a step puts on it goes to a span of the SDK's own that
is made for it then, so that limits, dropped counts and the cleaning of values are the SDK's.
"""

from __future__ import annotations

import logging
import threading
import time
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from opentelemetry import trace
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanProcessor
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode

from dotflow.otel import attributes as names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    from dotflow.otel.spans.place import Place

UNSET = Status(StatusCode.UNSET)

_logger = logging.getLogger("opentelemetry.sdk.trace")
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


class LightSpan(ReadableSpan, trace.Span):
    """A span of a task or an attempt; an internal one, with a parent in this process.

    Args:
        place: What it shares with its siblings.
        span_id: Its id.
        name: Its name.
        start_time: When it began, in nanoseconds since the epoch.
        said: What it says.
        links: The spans that it is linked to.

    Attributes:
        body: The SDK's span that it has become, because it says more, or other things, than follow
            from what happened; None until then.
    """

    __slots__ = ("_context", "_end_time", "_links", "_name", "_start_time", "body", "place",
                 "said", "span_id")  # fmt: skip

    def __init__(
        self,
        place: Place,
        span_id: int,
        name: str,
        start_time: int,
        said: Any,
        links: Sequence[trace.Link] = (),
    ) -> None:
        self.place = place
        self.span_id = span_id
        self._name = name
        self._start_time = start_time
        self._end_time: int | None = None
        self.said: Said = said
        self._links = links
        self._context: SpanContext | None = None
        self.body: sdk.Span | None = None

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

    def get_span_context(self) -> SpanContext:
        """Its ids."""
        return self.context

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

    # What a step, or whoever has it, does to it.

    def is_recording(self) -> bool:
        """Whether it has not ended."""
        return self._end_time is None

    def set_attribute(self, key: str, value: Any) -> None:
        """Set an attribute."""
        if self._may_change("set_attribute"):
            self.whole().set_attribute(key, value)

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Set attributes."""
        if self._may_change("set_attributes"):
            self.whole().set_attributes(attributes)

    def add_event(self, name: str, attributes: Any = None, timestamp: int | None = None) -> None:
        """Add an event."""
        if self._may_change("add_event"):
            self.whole().add_event(name, attributes, timestamp)

    def add_link(self, context: SpanContext, attributes: Any = None) -> None:
        """Add a link."""
        if self._may_change("add_link"):
            self.whole().add_link(context, attributes)

    def update_name(self, name: str) -> None:
        """Change the name."""
        if self._may_change("update_name"):
            self.whole().update_name(name)

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Set the status; that of the task goes before, unless this is OK."""
        if self._may_change("set_status"):
            self.whole().set_status(status, description)

    def record_exception(
        self,
        exception: BaseException,
        attributes: Any = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        """Add the event of an exception."""
        if self._may_change("record_exception"):
            self.whole().record_exception(exception, attributes, timestamp, escaped)

    def end(self, end_time: int | None = None) -> None:
        """End it, once; it leaves for the exporters."""
        if self._end_time is not None:
            _logger.warning("Calling end() on an ended span.")
            return
        self._end_time = time.time_ns() if end_time is None else end_time
        place = self.place
        if self.body is not None:
            self._finish(self.body)
            place.way.on_end_of_changed(self)
            return
        # The fact that ended it has written it down.
        for put in place.way.puts:
            put(self, self.said.n, place.run)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End it, with the exception that leaves the block."""
        if error is not None and self.is_recording():
            self.record_exception(error, escaped=True)
            self.set_status(Status(StatusCode.ERROR, f"{type(error).__name__}: {error}"))
        self.end()

    def _may_change(self, what: str) -> bool:
        if self._end_time is None:
            return True
        _logger.warning("Tried calling %s on an ended span.", what)
        return False

    # Its body.

    def whole(self) -> sdk.Span:
        """Make it a span of the SDK's own, where it is none yet, and return that."""
        if self.body is None:
            self.body = self._begun()
        return self.body

    def _readable(self) -> sdk.Span | None:
        """The span of the SDK's own to be read; None where that would say nothing else."""
        if self.body is not None or self.place.is_wide:
            return self.body
        return self._whole()

    def _whole(self) -> sdk.Span:
        body = self._begun()
        if self._end_time is not None:
            self._finish(body)
        return body

    def _begun(self) -> _Body:
        place = self.place
        body = _Body(
            name=self._name, context=self.context, parent=place.parent, resource=place.resource,
            attributes=self.said.at_start(), links=self._links, span_processor=_nowhere,
            limits=place.limits, instrumentation_scope=place.scope,
        )  # fmt: skip
        body.start(self._start_time)
        return body

    def _finish(self, body: sdk.Span) -> None:
        """Say how it ended on its body."""
        told = self.said.event()
        if told is not None:
            body.add_event(names.EVENT_EXCEPTION, told[0], told[1])
        body.set_attributes(self.said.at_end())
        failed = self.said.failed()
        if failed is not None:
            body.set_status(Status(StatusCode.ERROR, failed))
        body.end(self._end_time)
