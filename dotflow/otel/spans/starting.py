"""Spans are started here, whatever the processors of the application do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry import trace

from dotflow.logging import logger

if TYPE_CHECKING:
    from opentelemetry.context import Context


def started(tracer: trace.Tracer, name: str, context: Context, **known: Any) -> trace.Span:
    """A span; where a processor of the application raises, one that records nothing."""
    try:
        return tracer.start_span(name, context, **known)
    except Exception as error:  # noqa: BLE001 - it costs the span, not the report
        logger.warning("A span could not be started: %s", error)
        return trace.NonRecordingSpan(trace.get_current_span(context).get_span_context())


def is_sampled(span: trace.Span) -> bool:
    """Whether a span is one that is exported."""
    return bool(span.get_span_context().trace_flags.sampled)
