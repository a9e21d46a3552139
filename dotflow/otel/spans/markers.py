"""Markers: tiny spans that end at once, so that a run of hours is visible before it ends."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.context import Context

from dotflow.otel import attributes as names
from dotflow.otel.spans.starting import is_sampled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.trace import Span, Tracer

VARIABLE = "DOTFLOW_TRACE_MARKERS"

SAID = (
    names.WORKFLOW_ID,
    names.WORKFLOW_NAME,
    names.WORKFLOW_PART,
    names.WORKFLOW_TASK_COUNT,
    names.TASK_ID,
    names.TASK_NAME,
)
"""What a marker says of its span: which one it is."""


def are_wanted(given: bool | None) -> bool:
    """Whether there are markers: what the argument says, else the variable, else not."""
    if given is not None:
        return given
    return os.environ.get(VARIABLE, "").strip().lower() in ("1", "true", "yes", "on")


def mark(tracer: Tracer, name: str, span: Span, attributes: Mapping[str, Any]) -> None:
    """Emit the marker of a span that has just begun; of one that is not sampled there is none.

    Args:
        tracer: Makes the marker.
        name: SPAN_WORKFLOW_STARTED, SPAN_PART_STARTED or SPAN_TASK_STARTED.
        span: The span.
        attributes: What the span says.

    Raises:
        Exception: What a processor of the application raised.
    """
    if not is_sampled(span):
        return
    began = getattr(span, "start_time", None)  # nanoseconds, of the SDK's spans
    marker = tracer.start_span(
        name,
        _place(span),
        attributes={key: value for key, value in attributes.items() if key in SAID},
        start_time=began,
    )
    # Not where it began: Jaeger takes a span of no length for one that ends too early.
    marker.end(None if began is None else began + 1)


def _place(span: Span) -> Context:
    """The context that a marker is started in: it is a child of the span that it stands for.

    That one is exported when it ends, so until then a viewer warns of a missing parent. No other
    shape saves the warning, for all that ends before the run does has a parent that is missing:
    tasks that are done, and the spans of their steps. As a child the marker costs the finished
    trace no root and no level, what is of one task stands together at any time, and a marker that
    has no task above it is one of a task that runs.
    """
    return trace.set_span_in_context(span, Context())
