"""OTLP: whether it is on, and what exports."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from opentelemetry.environment_variables import OTEL_TRACES_EXPORTER
from opentelemetry.sdk.environment_variables import (
    OTEL_BSP_MAX_EXPORT_BATCH_SIZE,
    OTEL_BSP_MAX_QUEUE_SIZE,
    OTEL_BSP_SCHEDULE_DELAY,
    OTEL_EXPORTER_OTLP_ENDPOINT,
    OTEL_EXPORTER_OTLP_PROTOCOL,
    OTEL_EXPORTER_OTLP_TIMEOUT,
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT,
    OTEL_EXPORTER_OTLP_TRACES_PROTOCOL,
    OTEL_EXPORTER_OTLP_TRACES_TIMEOUT,
)
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from dotflow.logging import logger
from dotflow.process.at_exit import seconds_from_environment
from dotflow.process.forking import renew_in_child

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentelemetry.sdk.trace import ReadableSpan

OTLP = "otlp"
HTTP_MODULE = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
GRPC_MODULE = "dotflow.otel.export.grpc"
GRPC, HTTP = "grpc", "http/protobuf"
PATH = "/v1/traces"
DEFAULT_TIMEOUT = 10.0  # seconds

MOST_BYTES = 3 * 2**20
"""Bytes of spans that are sent at a time."""

SPAN_BYTES = 1000
"""About what a span takes beside its texts."""

BATCH_SIZE = 512
DEFAULT_DELAY = 5000  # milliseconds

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
    """What became of spans; all methods may be called from any thread.

    Attributes:
        exported: Spans that an exporter delivered, at once or from the outbox.
        failed: Spans that are lost: no exporter will deliver them.
    """

    def __init__(self) -> None:
        self.renew()
        renew_in_child(self)
        self.exported = 0
        self.failed = 0

    def renew(self) -> None:
        """Have a lock that nobody holds, in a forked child."""
        self._lock = threading.RLock()

    def add(self, exported: int = 0, failed: int = 0) -> None:
        """Count spans."""
        with self._lock:
            self.exported += exported
            self.failed += failed


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
        self._is_shut = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export a batch; called by the batch processor's thread."""
        result = SpanExportResult.FAILURE
        try:
            result = self._send(spans)
        finally:
            is_sent = result is SpanExportResult.SUCCESS
            self._counts.add(len(spans) * is_sent, len(spans) * (not is_sent))
        return result

    def _send(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if self._exporter is None or self._pid != os.getpid():
            self._pid, self._exporter = os.getpid(), self._make_here()
        return self._exporter.export(spans)

    def _make_here(self) -> SpanExporter:
        """Make the exporter of a process that is not the one which made this object."""
        return self._make()

    def shutdown(self) -> None:
        """Release the connection, once; another process's is its own to release."""
        if self._exporter is not None and self._pid == os.getpid() and not self._is_shut:
            self._is_shut = True
            self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - the SDK's
        """Nothing waits here."""
        return True


@dataclass(frozen=True)
class Export:
    """One way that spans leave.

    Attributes:
        make: Makes what exports.
        is_otlp: Whether that is an OTLP exporter: what it cannot deliver is kept.
    """

    make: Callable[[], SpanExporter]
    is_otlp: bool


def exports(settings: OtlpSettings) -> list[Export]:
    """The exporters that the settings or the environment switch on."""
    if settings.endpoint is not None:
        return [Export(lambda: make_exporter(settings), True)]
    named = [one.strip() for one in os.environ.get(OTEL_TRACES_EXPORTER, "").split(",")]
    named = [one for one in named if one]
    if not named:
        on = os.environ.get(OTEL_EXPORTER_OTLP_TRACES_ENDPOINT) or os.environ.get(
            OTEL_EXPORTER_OTLP_ENDPOINT
        )
        named = [OTLP] if on else []
    return [export for one in named if one != "none" and (export := _by_name(one, settings))]


def _by_name(name: str, settings: OtlpSettings) -> Export | None:
    """An exporter by its name in OTEL_TRACES_EXPORTER."""
    if name == OTLP:
        return Export(lambda: make_exporter(settings), True)
    for entry in entry_points(group="opentelemetry_traces_exporter", name=name):
        return Export(entry.load(), False)
    logger.warning("OTEL_TRACES_EXPORTER names %r, which is not installed: it is ignored.", name)
    return None


def make_exporter(settings: OtlpSettings, timeout: float | None = None) -> SpanExporter:
    """An OTLP exporter; the library of the other protocol is not loaded.

    Args:
        settings: What is not of the environment.
        timeout: Seconds for one export, with its retries; what the environment says without them.
    """
    protocol = _protocol(settings)
    if protocol == GRPC:
        from dotflow.otel.export.grpc import GrpcSpanExporter

        return GrpcSpanExporter(endpoint=settings.endpoint, timeout=timeout)
    if protocol != HTTP:
        logger.warning("The OTLP protocol %r is not known: %r is used.", protocol, HTTP)
    from opentelemetry.exporter.otlp.proto.http import trace_exporter as http

    return http.OTLPSpanExporter(endpoint=_with_path(settings.endpoint), timeout=timeout)


def load(settings: OtlpSettings) -> None:
    """Load the library that exports, if there is to be an export: a run need not wait for that."""
    named = os.environ.get(OTEL_TRACES_EXPORTER, "")
    endpoints = (OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, OTEL_EXPORTER_OTLP_ENDPOINT)
    is_on = settings.endpoint is not None or OTLP in named.split(",")
    if not is_on and (named or not any(os.environ.get(name) for name in endpoints)):
        return
    try:
        import_module(GRPC_MODULE if is_grpc(settings) else HTTP_MODULE)
    except Exception as error:  # noqa: BLE001 - said when the first run begins
        logger.debug("The OTLP exporter cannot be loaded: %s", error)


def ends_at_shutdown(settings: OtlpSettings) -> bool:
    """Whether an export that is under way ends soon when the exporter is shut down.

    The one over gRPC may have the shutdown wait for the export instead.
    """
    return not is_grpc(settings)


def is_grpc(settings: OtlpSettings) -> bool:
    """Whether spans go over gRPC."""
    return _protocol(settings) == GRPC


def export_timeout() -> float:
    """Seconds that an export may take, with its retries: what the OTLP exporters read."""
    for name in (OTEL_EXPORTER_OTLP_TRACES_TIMEOUT, OTEL_EXPORTER_OTLP_TIMEOUT):
        if os.environ.get(name):
            return seconds_from_environment(name, DEFAULT_TIMEOUT)
    return DEFAULT_TIMEOUT


def address(settings: OtlpSettings) -> str:
    """The URL that spans go to, without what may be a credential: user, password and query.

    Raises:
        ValueError: What is configured is no URL.
    """
    is_http = not is_grpc(settings)
    url = _with_path(settings.endpoint) if is_http else settings.endpoint
    url = url or os.environ.get(OTEL_EXPORTER_OTLP_TRACES_ENDPOINT)
    if not url:
        default = "http://localhost:4318" if is_http else "http://localhost:4317"
        url = os.environ.get(OTEL_EXPORTER_OTLP_ENDPOINT) or default
        url = f"{url.rstrip('/')}{PATH}" if is_http else url
    scheme, netloc, path, _, _ = urlsplit(url if "//" in url else f"//{url}")
    return urlunsplit((scheme, netloc.rpartition("@")[2], path, "", "")).removeprefix("//")


def endpoint_name(settings: OtlpSettings) -> str:
    """What people call the endpoint, without credentials.

    Raises:
        ValueError: What is configured is no URL.
    """
    return f"OTLP endpoint {address(settings)}"


def size_of(span: ReadableSpan) -> int:
    """About as many bytes as a span takes, rather too many; its texts are what is long."""
    said = [span.attributes or {}, *(event.attributes or {} for event in span.events)]
    texts = (value for one in said for value in one.values() if isinstance(value, str))
    return SPAN_BYTES + sum(len(text) * (1 if text.isascii() else 4) for text in texts)


def batch_size() -> int:
    """Spans that are sent at a time: OTEL_BSP_MAX_EXPORT_BATCH_SIZE, else the SDK's 512."""
    return _number(OTEL_BSP_MAX_EXPORT_BATCH_SIZE, BATCH_SIZE)


def schedule_delay() -> float:
    """Seconds that a span waits for others, at most: OTEL_BSP_SCHEDULE_DELAY, else the SDK's 5."""
    return _number(OTEL_BSP_SCHEDULE_DELAY, DEFAULT_DELAY) / 1000


def queue_size() -> int:
    """Spans that may wait for export: OTEL_BSP_MAX_QUEUE_SIZE, else QUEUE_SIZE."""
    return _number(OTEL_BSP_MAX_QUEUE_SIZE, QUEUE_SIZE)


def _number(name: str, default: int) -> int:
    given = os.environ.get(name)
    try:
        return int(given) if given else default
    except ValueError:
        logger.warning("%s=%r is no number: %d is used.", name, given, default)
        return default


def _protocol(settings: OtlpSettings) -> str:
    return settings.protocol or (
        os.environ.get(OTEL_EXPORTER_OTLP_TRACES_PROTOCOL)
        or os.environ.get(OTEL_EXPORTER_OTLP_PROTOCOL)
        or HTTP
    )


def _with_path(endpoint: str | None) -> str | None:
    """The exporter's argument is the whole URL, where the variable is only its beginning."""
    if endpoint is None or urlsplit(endpoint).path not in ("", "/"):
        return endpoint
    return f"{endpoint.rstrip('/')}{PATH}"
