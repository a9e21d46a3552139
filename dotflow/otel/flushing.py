"""How what a ServerOtel has told leaves: to OTLP endpoints, and to dotflow-api."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from dotflow.abc.server import FlushResult
from dotflow.otel.hooks import HookedServer
from dotflow.process import at_exit

if TYPE_CHECKING:
    import threading
    import weakref
    from collections.abc import Callable

    from dotflow.otel.export.provider.pipeline import Pipeline
    from dotflow.otel.exporter import DotflowSpanExporter
    from dotflow.otel.metrics.of_server import ServerMetrics

    Countdown = Callable[[], float]


RESERVE = 0.2
"""Of the time of a flush, what metrics have at its end, where some other destination is away."""


class FlushedServer(HookedServer):
    """Sends what has ended, and closes what sends it."""

    _lock: threading.Lock
    _exporter: DotflowSpanExporter | None
    _pipeline: Pipeline | None
    _metrics: ServerMetrics
    _abandoned: weakref.finalize[Any, Any]

    def _open(self) -> Pipeline:
        """The tracer provider, found or made when the first run starts."""
        raise NotImplementedError

    @property
    def tracer_provider(self) -> Any:
        """The tracer provider that runs are traced with; found or made now, if it was not yet."""
        return self._open().provider

    @property
    def spans_exported(self) -> int:
        """Spans that left through OTLP so far (those of other libraries on our provider too)."""
        return 0 if self._pipeline is None else self._pipeline.counts.exported

    @property
    def spans_failed(self) -> int:
        """Spans that are lost: that no exporter will deliver."""
        return 0 if self._pipeline is None else self._pipeline.counts.failed

    @property
    def spans_kept(self) -> int:
        """Spans that wait in the outbox, for the OTLP endpoint to take them."""
        return 0 if self._pipeline is None else self._pipeline.kept

    def flush(self, timeout: float | None = None) -> FlushResult:
        """Send what has ended, to OTLP and to dotflow-api, within `timeout` seconds for both.

        Spans that an OTLP endpoint did not take before are sent too. Metrics leave last.

        Args:
            timeout: Seconds; `DOTFLOW_FLUSH_TIMEOUT` (5 by default) without one.
        """
        first, left = self._countdowns(timeout)
        spans_sent = None if self._pipeline is None else self._pipeline.begin_flush()
        result = FlushResult()
        if self._exporter is not None:
            result = self._exporter.channel.flush(first())
        is_sent = spans_sent is None or spans_sent(first())
        is_measured = self._metrics.begin_flush()(left())
        complete = result.complete and is_sent and is_measured
        return FlushResult(result.delivered, result.pending, result.dead, complete)

    def deliver(self, timeout: float) -> FlushResult:
        """Send what has ended, unless a destination is away; see `Server.deliver`."""
        first, left = self._countdowns(timeout)
        spans_sent = None if self._pipeline is None else self._pipeline.begin_to_deliver(timeout)
        result = FlushResult()
        if self._exporter is not None:
            result = self._exporter.channel.deliver(first())
        is_sent = spans_sent is None or spans_sent(first())
        is_measured = self._metrics.deliver(left())
        return result._replace(complete=result.complete and is_sent and is_measured)

    def close(self, timeout: float | None = None) -> FlushResult:
        """Flush, and release threads and connections; a later run begins anew.

        Reports and spans that are left stay in their outboxes, for the next process.

        Args:
            timeout: Seconds; `DOTFLOW_FLUSH_TIMEOUT` (5 by default) without one.
        """
        first, left = self._countdowns(timeout)
        with self._lock:
            pipeline, exporter = self._pipeline, self._exporter
            self._pipeline = self._exporter = None
        if pipeline is not None:
            self._abandoned.detach()
            pipeline.hurry()
        with at_exit.in_one_line():
            result = FlushResult() if exporter is None else exporter.channel.close(first())
            is_sent = pipeline is None or pipeline.close(first())
        is_measured = self._metrics.close(left())
        complete = result.complete and is_sent and is_measured
        return FlushResult(result.delivered, result.pending, result.dead, complete)

    def _countdowns(self, timeout: float | None) -> tuple[Countdown, Countdown]:
        """What tells the seconds that are left for all but the metrics, and for these too."""
        seconds = at_exit.flush_timeout() if timeout is None else timeout
        reserve = RESERVE if self._metrics.are_counted else 0.0
        return _countdown((1 - reserve) * seconds), _countdown(seconds)

    def shutdown(self) -> FlushResult:
        """The same as `close`, by OpenTelemetry's word."""
        return self.close()


def _countdown(seconds: float) -> Countdown:
    """Tells the seconds that are left of a time that begins now."""
    deadline = time.monotonic() + seconds
    return lambda: max(0.0, deadline - time.monotonic())
