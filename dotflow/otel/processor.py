"""Runs that are reported to a dotflow-api while they go on, by their spans."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from dotflow.otel import attributes as names
from dotflow.otel.exporter import DotflowSpanExporter
from dotflow.otel.spans.runs import run_in

if TYPE_CHECKING:
    from opentelemetry.context import Context


class DotflowSpanProcessor(SpanProcessor):
    """Makes records in a dotflow-api from spans, from the moment when a span starts.

    Add it to your own tracer provider. Unlike a DotflowSpanExporter it also sees the start of a
    span, so the record is there, "In progress", while the run goes on. It ignores a run that a
    ServerOtel reports to dotflow-api itself. OpenTelemetry calls a processor for sampled spans
    only; a ServerOtel with an address reports every run.

    Args:
        exporter: Sends the reports; by default a DotflowSpanExporter for the dotflow-api of the
            environment.
    """

    def __init__(self, exporter: DotflowSpanExporter | None = None) -> None:
        self.exporter = exporter or DotflowSpanExporter()

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Report the run or the task that starts; called by the thread that starts its span.

        Of a run of a ServerOtel all facts are reported, which say more than its spans do.
        """
        run = run_in(parent_context)
        if run is None:
            self.exporter.begin(span)
        elif run.channel is None:
            run.channel = self.exporter.channel
            span.set_attribute(names.REPORTED, True)

    def on_end(self, span: ReadableSpan) -> None:
        """Report what has ended; called by the thread that ends the span."""
        self.exporter.export((span,))

    def shutdown(self) -> None:
        """Deliver for at most `DOTFLOW_FLUSH_TIMEOUT` seconds, and end the threads."""
        self.exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Deliver what was reported so far.

        Args:
            timeout_millis: How many milliseconds this may take.

        Returns:
            Whether everything was delivered in that time.
        """
        return self.exporter.force_flush(timeout_millis)


class OwnSpanProcessor(DotflowSpanProcessor):
    """The processor of a ServerOtel, which tells its exporter of each fact itself.

    It is there for an application that flushes, or ends, its provider.
    """

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Nothing: the run is reported already."""

    def on_end(self, span: ReadableSpan) -> None:
        """Nothing: so is its end."""
