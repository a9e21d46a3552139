"""The exporter that `OTEL_TRACES_EXPORTER=otlp,dotflow` names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from dotflow.otel.exporter import DotflowSpanExporter
from dotflow.process.variables import warn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.trace import ReadableSpan


class NamedSpanExporter(SpanExporter):
    """A DotflowSpanExporter; without an address one that does nothing, and says so once.

    Whoever makes it by its name makes others too, and what it raised would cost these their spans.

    Args:
        options: The arguments of DotflowSpanExporter; a configuration file has some, a variable
            none.

    Attributes:
        exporter: The exporter; None without an address.
    """

    def __init__(self, **options: Any) -> None:
        self.exporter: DotflowSpanExporter | None = None
        try:
            self.exporter = DotflowSpanExporter(**options)
        except (TypeError, ValueError) as error:
            warn(f"The exporter 'dotflow' sends no records: {error}")

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Report what has ended; called by the processor's thread."""
        if self.exporter is None:
            return SpanExportResult.SUCCESS
        return self.exporter.export(spans)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Deliver what was reported so far; whether all was within the time."""
        return self.exporter is None or self.exporter.force_flush(timeout_millis)

    def shutdown(self) -> None:
        """Deliver what can be, and end the threads."""
        if self.exporter is not None:
            self.exporter.shutdown()
