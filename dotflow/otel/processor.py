"""Runs that begin as spans of dotflow, reported to a dotflow-api."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from dotflow.otel.exporter import DotflowSpanExporter
from dotflow.otel.spans.runs import run_in

if TYPE_CHECKING:
    from opentelemetry.context import Context


class DotflowSpanProcessor(SpanProcessor):
    """Has the runs whose spans a provider makes be reported by a DotflowSpanExporter.

    An application adds one to its own tracer provider; for a run of a ServerOtel that reports to
    a dotflow-api itself it does nothing. Sampling decides whether a processor is called at all: a
    ServerOtel with an address needs none, and reports all.

    Args:
        exporter: What reports; by default one for the dotflow-api of the environment.
    """

    def __init__(self, exporter: DotflowSpanExporter | None = None) -> None:
        self.exporter = exporter or DotflowSpanExporter()

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:  # noqa: ARG002
        """Report the run that starts with this span; called by the thread that starts it."""
        run = run_in(parent_context)
        if run is not None and run.channel is None:
            run.channel = self.exporter.channel

    def on_end(self, span: ReadableSpan) -> None:
        """See to what has ended; called by the thread that ends the span."""
        self.exporter.export((span,))

    def shutdown(self) -> None:
        """Deliver what can be, and end the threads."""
        self.exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Deliver what was reported so far; whether all was within the time."""
        return self.exporter.force_flush(timeout_millis)


class OwnSpanProcessor(DotflowSpanProcessor):
    """The processor of a ServerOtel, which tells its exporter of each fact itself.

    It is there for an application that flushes, or ends, its provider.
    """

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Nothing: the run is reported already."""

    def on_end(self, span: ReadableSpan) -> None:
        """Nothing: so is its end."""
