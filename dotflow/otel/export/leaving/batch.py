"""Ended spans on their way to an OTLP endpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.sdk.trace import SpanProcessor

from dotflow.abc.facts import next_number
from dotflow.logging import logger
from dotflow.otel import attributes as names
from dotflow.otel.export.leaving.beside import look
from dotflow.otel.export.leaving.outgoing import Outgoing
from dotflow.otel.export.otlp.endpoint import TRACES
from dotflow.otel.spans.fields import Writer
from dotflow.runlog.writer import run_log

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import ReadableSpan, Span

    from dotflow.otel.export.otlp.endpoint import OtlpSettings
    from dotflow.otel.export.otlp.exports import SpanCounts

SPANS = TRACES.what
"""What a reader of the run log makes of lines that are for spans."""


class OtlpProcessor(Outgoing, SpanProcessor):
    """Takes ended spans, and those of ours that start.

    Args:
        settings: Which endpoint.
        counts: Where spans are counted.
    """

    def __init__(self, settings: OtlpSettings, counts: SpanCounts) -> None:
        self._writer = Writer()
        super().__init__(settings, counts, look=look)

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:  # noqa: ARG002
        """Write down a span of ours that starts; called by the thread that starts it."""
        scope = span.instrumentation_scope
        if scope is not None and scope.name == names.SCOPE and not self.has_ended:
            context = span.context
            if context is not None and context.trace_flags.sampled:
                n = self._write_down(span)
                self._log.opened[context.span_id] = n

    def _on_ending(self, span: Span) -> None:
        """Nothing: it has not ended."""

    def on_end(self, span: ReadableSpan) -> None:
        """Take a span, and write it down; called by the thread that ends it."""
        context = span.context
        if self.has_ended or context is None or not context.trace_flags.sampled:
            return
        n = self._write_down(span)
        base = self._log.opened.pop(context.span_id, n)
        self.put(span, n, base)

    def _write_down(self, span: ReadableSpan) -> int:
        """Write a span down whole; the line's number."""
        n = next_number()
        if run_log.is_durable:
            try:
                line = self._lines.span(n, self._writer.write(span))
            except Exception as error:  # noqa: BLE001 - a value may raise when it is looked at
                logger.debug("A span cannot be written down: %s", error)
            else:
                self._write(line)
        return n
