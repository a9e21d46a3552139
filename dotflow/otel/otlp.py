"""OTLP: whether it is on, and what exports."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from opentelemetry.environment_variables import OTEL_TRACES_EXPORTER
from opentelemetry.sdk.environment_variables import (
    OTEL_BSP_MAX_QUEUE_SIZE,
    OTEL_EXPORTER_OTLP_ENDPOINT,
    OTEL_EXPORTER_OTLP_PROTOCOL,
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT,
    OTEL_EXPORTER_OTLP_TRACES_PROTOCOL,
)
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from dotflow.delivery.forking import renew_in_child
from dotflow.logging import logger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentelemetry.sdk.trace import ReadableSpan

GRPC, HTTP = "grpc", "http/protobuf"

QUEUE_SIZE = 65_536
"""Spans that may wait for export, unless OTEL_BSP_MAX_QUEUE_SIZE says otherwise. The SDK's own
2048 loses spans of a workflow with a few thousand quick tasks."""


@dataclass(frozen=True)
class OtlpSettings:
    """What the arguments of ServerOtel say of OTLP; what is None the environment says.

    Attributes:
        endpoint: The address; for HTTP with or without the path `/v1/traces`.
        protocol: "http/protobuf" or "grpc".
    """

    endpoint: str | None = None
    protocol: str | None = None


class SpanCounts:
    """How many spans left, and how many could not."""

    def __init__(self) -> None:
        self.renew()
        renew_in_child(self)
        self.exported = 0
        self.failed = 0

    def renew(self) -> None:
        """Have a lock that nobody holds, in a forked child."""
        self._lock = threading.Lock()

    def add(self, spans: int, result: SpanExportResult) -> None:
        """Count the spans of one export."""
        with self._lock:
            if result is SpanExportResult.SUCCESS:
                self.exported += spans
            else:
                self.failed += spans


class ProcessExporter(SpanExporter):
    """Exports through an exporter of this very process, and counts.

    A forked child inherits the parent's exporter with its open connection; what both wrote into
    it would be one garbled stream. So a process makes its own when it first exports.

    Args:
        make: Makes the exporter.
        counts: Where spans are counted.
    """

    def __init__(self, make: Callable[[], SpanExporter], counts: SpanCounts) -> None:
        self._make = make
        self._counts = counts
        self._exporter: SpanExporter | None = make()
        self._pid = os.getpid()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export a batch; called by the batch processor's thread."""
        if self._exporter is None or self._pid != os.getpid():
            self._pid, self._exporter = os.getpid(), self._make()
        result = SpanExportResult.FAILURE
        try:
            result = self._exporter.export(spans)
        finally:
            self._counts.add(len(spans), result)
        return result

    def shutdown(self) -> None:
        """Release the connection; another process's is its own to release."""
        if self._exporter is not None and self._pid == os.getpid():
            self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - the SDK's
        """Nothing waits here."""
        return True


def span_processors(settings: OtlpSettings, counts: SpanCounts) -> list[BatchSpanProcessor]:
    """One batch processor for each exporter that the settings or the environment switch on.

    One that cannot be made, because a variable is wrong, is warned of and left out.
    """
    made = (_batch(make, counts) for make in _exporters(settings))
    return [processor for processor in made if processor is not None]


def _batch(make: Callable[[], SpanExporter], counts: SpanCounts) -> BatchSpanProcessor | None:
    try:
        return BatchSpanProcessor(ProcessExporter(make, counts), max_queue_size=_queue_size())
    except Exception as error:  # noqa: BLE001 - a wrong variable costs spans, not the rest
        logger.warning("Spans are not exported: %s", error)
        return None


def _exporters(settings: OtlpSettings) -> list[Callable[[], SpanExporter]]:
    named = [one.strip() for one in os.environ.get(OTEL_TRACES_EXPORTER, "").split(",")]
    named = [one for one in named if one]
    if settings.endpoint is not None:
        return [lambda: _otlp(settings)]
    if not named:
        on = os.environ.get(OTEL_EXPORTER_OTLP_TRACES_ENDPOINT) or os.environ.get(
            OTEL_EXPORTER_OTLP_ENDPOINT
        )
        named = ["otlp"] if on else []
    return [make for one in named if one != "none" and (make := _by_name(one, settings))]


def _by_name(name: str, settings: OtlpSettings) -> Callable[[], SpanExporter] | None:
    """An exporter by its name in OTEL_TRACES_EXPORTER."""
    if name == "otlp":
        return lambda: _otlp(settings)
    for entry in entry_points(group="opentelemetry_traces_exporter", name=name):
        return entry.load()  # type: ignore[no-any-return]
    logger.warning("OTEL_TRACES_EXPORTER names %r, which is not installed: it is ignored.", name)
    return None


def _otlp(settings: OtlpSettings) -> SpanExporter:
    """An OTLP exporter; the library of the other protocol is not loaded."""
    protocol = settings.protocol or (
        os.environ.get(OTEL_EXPORTER_OTLP_TRACES_PROTOCOL)
        or os.environ.get(OTEL_EXPORTER_OTLP_PROTOCOL)
        or HTTP
    )
    if protocol == GRPC:
        from opentelemetry.exporter.otlp.proto.grpc import trace_exporter as grpc

        return grpc.OTLPSpanExporter(endpoint=settings.endpoint)
    if protocol != HTTP:
        logger.warning("The OTLP protocol %r is not known: %r is used.", protocol, HTTP)
    from opentelemetry.exporter.otlp.proto.http import trace_exporter as http

    return http.OTLPSpanExporter(endpoint=_with_path(settings.endpoint))


def _with_path(endpoint: str | None) -> str | None:
    """The exporter's argument is the whole URL, where the variable is only its beginning."""
    if endpoint is None or urlsplit(endpoint).path not in ("", "/"):
        return endpoint
    return f"{endpoint.rstrip('/')}/v1/traces"


def _queue_size() -> int | None:
    # None has the SDK read its variable.
    return None if os.environ.get(OTEL_BSP_MAX_QUEUE_SIZE) else QUEUE_SIZE
