"""Spans that have ended, for what exports them."""

from __future__ import annotations

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import TracerProvider


def ended_span(**attributes):
    """A span of the SDK's that has ended."""
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("tests")
    span = tracer.start_span("step", attributes=attributes)
    span.end()
    return span


def encoded(spans):
    """Spans as OTLP has them."""
    return encode_spans(spans).SerializeToString()
