"""Spans as reports to dotflow-api."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import NonRecordingSpan

from dotflow.delivery.channel import Channel
from dotflow.delivery.environment import find_destination
from dotflow.delivery.headers import to_headers
from dotflow.otel.propagation import carrier_of
from dotflow.process.forking import renew_in_child

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import SpanContext

    from dotflow.abc.server import FlushResult
    from dotflow.delivery.dialect import Dialect
    from dotflow.delivery.message import Message
    from dotflow.otel.spans.runs import Run


class DotflowSpanExporter(SpanExporter):
    """Turns the start of a dotflow span into a POST to dotflow-api, and its end into a PATCH.

    A span alone does not say what a record needs (contexts are cut and masked in it). What does,
    the run, reaches the exporter beside the span: with `start`, and is found again by the span's
    id. Spans that are none of dotflow's are passed over. All that happens here is that messages
    are put into the outbox; no method touches a socket, or raises.

    Args:
        base_url: The address of dotflow-api; without one what the environment says.
        user_token: The token; without one what the environment says.
        dialect: Its dialect; without one that whose variables are set.
        timeout: Seconds for one call, in the background.

    Raises:
        ValueError: There is no address or token, or the address is no http or https URL.
    """

    def __init__(
        self,
        base_url: str | None = None,
        user_token: str | None = None,
        dialect: Dialect | str | None = None,
        timeout: float = 15.0,
    ) -> None:
        destination = find_destination(base_url, user_token, dialect, timeout)
        if destination is None:
            raise ValueError(
                "where is dotflow-api? Give base_url and user_token, or set DOTFLOW_SERVER_URL and "
                "DOTFLOW_USER_TOKEN (managed: SERVER_BASE_URL and SERVER_USER_TOKEN)"
            )
        self.channel = Channel(destination)
        self._open: dict[int, Run] = {}
        self.renew()
        renew_in_child(self)

    def renew(self) -> None:
        """Have a lock that nobody holds, in a forked child."""
        self._lock = threading.Lock()

    def start(self, run: Run, span_context: SpanContext) -> None:
        """Report that a run began; once, however often it is called. Called by the engine's thread.

        Args:
            run: The workflow's or task's run.
            span_context: The context of its span.
        """
        with self._lock:
            if run.started_by is self:
                return
            run.started_by = self
            if span_context.is_valid:
                self._open[span_context.span_id] = run
        run.headers = self._headers(run, span_context)
        for message in run.start_messages(span_context):
            self._put(run, message)

    def update(self, run: Run) -> None:
        """Report a run that will be tried again."""
        self._put(run, run.update_message())

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Report the ends of the runs that these spans belong to."""
        for span in spans:
            context = span.get_span_context()
            run = self._open.get(context.span_id) if context is not None else None
            if run is not None:
                self.end(run, context)
        return SpanExportResult.SUCCESS

    def end(self, run: Run, span_context: SpanContext | None) -> None:
        """Report that a run ended; once, however often it is called."""
        with self._lock:
            if run.started_by is not self:
                return
            run.started_by = None
            if span_context is not None:
                self._open.pop(span_context.span_id, None)
        self._put(run, run.end_message())

    def _put(self, run: Run, message: Message) -> None:
        self.channel.put(message.with_headers(run.headers))

    def _headers(self, run: Run, span_context: SpanContext) -> str:
        """What leads dotflow-api to a run's span, which may not be current anywhere yet."""
        context = trace.set_span_in_context(NonRecordingSpan(span_context), run.context)
        return to_headers(carrier_of(context), self.channel.destination.token)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Deliver what was reported so far; whether all was within the time."""
        return self.channel.flush(timeout_millis / 1000).complete

    def shutdown(self) -> None:
        """Deliver what can be within `DOTFLOW_FLUSH_TIMEOUT`, and end the threads."""
        self.close()

    def close(self, timeout: float | None = None) -> FlushResult:
        """Deliver what can be within `timeout` seconds, end the threads, say what came of it."""
        return self.channel.close(timeout)
