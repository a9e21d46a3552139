"""Start and end of spans, as they happen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from dotflow.otel.exporter import DotflowSpanExporter
from dotflow.otel.spans.runs import Run, run_in

if TYPE_CHECKING:
    from opentelemetry.context import Context


class DotflowSpanProcessor(SpanProcessor):
    """Hands the start and the end of dotflow's spans to a DotflowSpanExporter, at once.

    ServerOtel makes one and adds it to the tracer provider. Sampling has no say in what reaches
    dotflow-api: where the provider does not call a processor, because a span is not recorded,
    ServerOtel tells the exporter itself.

    Args:
        exporter: What reports; by default one for the dotflow-api of the environment.
    """

    def __init__(self, exporter: DotflowSpanExporter | None = None) -> None:
        self.exporter = exporter or DotflowSpanExporter()

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Report the start; called by the thread that starts the span."""
        run = run_in(parent_context)
        if run is not None and self._takes(run):
            self.exporter.start(run, span.get_span_context())

    def on_end(self, span: ReadableSpan) -> None:
        """Report the end; called by the thread that ends the span."""
        self.exporter.export((span,))

    def _takes(self, run: Run) -> bool:
        """Whether a run is this processor's to report: its server's, or one of no server's."""
        return run.exporter is None or run.exporter is self.exporter

    def shutdown(self) -> None:
        """Deliver what can be, and end the threads."""
        self.exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Deliver what was reported so far; whether all was within the time."""
        return self.exporter.force_flush(timeout_millis)


class OwnSpanProcessor(DotflowSpanProcessor):
    """The processor of one ServerOtel: the runs of another on the same provider are not its own."""

    def _takes(self, run: Run) -> bool:
        return run.exporter is self.exporter
