"""Spans are started here, whatever the processors of the application do, with their links."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from dotflow.logging import logger
from dotflow.otel import attributes as names
from dotflow.otel.ids import pinned_span

if TYPE_CHECKING:
    from dotflow.abc.facts import Carrier

# Not the configured propagators: a note is to be read by any later process, and baggage is no
# matter for a disk.
_propagator = TraceContextTextMapPropagator()


def started(
    tracer: trace.Tracer, name: str, context: Context, span_id: int = 0, **known: Any
) -> trace.Span:
    """A span; where a processor of the application raises, one that records nothing.

    Args:
        tracer: A tracer of ours.
        name: The span's name.
        context: Its parent is in it.
        span_id: The id that was reserved for it; 0 for any.
        known: What else a tracer is told.
    """
    try:
        if span_id:
            with pinned_span(span_id):
                return tracer.start_span(name, context, **known)
        return tracer.start_span(name, context, **known)
    except Exception as error:  # noqa: BLE001 - it costs the span, not the report
        logger.warning("A span could not be started: %s", error)
        return trace.NonRecordingSpan(trace.get_current_span(context).get_span_context())


def is_sampled(span: trace.Span) -> bool:
    """Whether a span is one that is exported."""
    return bool(span.get_span_context().trace_flags.sampled)


def links_to(note: Carrier | None, kind: str) -> list[Link]:
    """The link to the span of a note; none where the note names no span.

    Args:
        note: What was kept, by whomever.
        kind: `dotflow.link.type` of the link.
    """
    if not isinstance(note, Mapping):
        return []
    fields = {str(name): str(value) for name, value in note.items()}
    found = trace.get_current_span(_propagator.extract(fields, Context())).get_span_context()
    return [link(found, kind)] if found.is_valid else []


def link(target: trace.SpanContext, kind: str) -> Link:
    """A link that says what it is."""
    return Link(target, {names.LINK_TYPE: kind})
