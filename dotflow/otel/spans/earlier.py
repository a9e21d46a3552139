"""The spans of an earlier run: noted with its checkpoints, linked to by the run that resumes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from dotflow.otel import attributes as names
from dotflow.otel.spans.light import LightSpan
from dotflow.otel.spans.starting import is_sampled

if TYPE_CHECKING:
    from dotflow.abc.facts import Carrier

# Not the configured propagators: a note is to be read by any later process, and baggage is no
# matter for a disk.
_propagator = TraceContextTextMapPropagator()


def note_of(span: trace.Span) -> dict[str, str]:
    """What leads to a span, to be kept; nothing for one that is not sampled, and leads nowhere."""
    if type(span) is LightSpan:  # all of them are sampled
        return {"traceparent": f"{span.place.traceparent}{span.span_id:016x}-01"}
    if not is_sampled(span):
        return {}
    found = span.get_span_context()
    # As the propagator writes it, in a tenth of the time.
    return {"traceparent": f"00-{found.trace_id:032x}-{found.span_id:016x}-01"}


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
