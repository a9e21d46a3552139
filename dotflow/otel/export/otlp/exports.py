"""OTLP: whether it is on, and what exports."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Protocol

from opentelemetry.environment_variables import OTEL_TRACES_EXPORTER
from opentelemetry.sdk.environment_variables import OTEL_SDK_DISABLED
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from dotflow.logging import logger
from dotflow.otel.export.otlp.endpoint import (
    DEFAULTS,
    GRPC,
    HTTP,
    LOGS,
    METRICS,
    TRACES,
    OtlpSettings,
    is_grpc,
    is_named,
)
from dotflow.process import at_exit
from dotflow.process.late import renew_when_used
from dotflow.process.variables import warn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.trace import ReadableSpan

    from dotflow.otel.export.otlp.endpoint import Endpoint, Signal
    from dotflow.otel.export.otlp.outcome import Outcome

OTLP = "otlp"
PROTOCOLS = {"otlp_proto_http": HTTP, "otlp_proto_grpc": GRPC}
HTTP_MODULE, GRPC_MODULE = "dotflow.otel.export.otlp.http", "dotflow.otel.export.otlp.grpc"

MOST_BYTES = 3 * 2**20
"""Bytes of spans that are sent at a time."""

SPAN_BYTES = 1000
"""About what a span takes beside its texts."""

BATCH_SIZE = 512
DEFAULT_DELAY = 5000  # milliseconds

QUEUE_SIZE = 16_384
"""Spans that may wait in memory, half a kilobyte each, unless OTEL_BSP_MAX_QUEUE_SIZE says
otherwise. More spans wait in the run log, and cost more to send."""

MEMORY_QUEUE_SIZE = 65_536
"""The same where the run log is in memory too: a span that finds no room is lost."""


class Exporter(Protocol):
    """Sends what an endpoint is for in one protocol, by OpenTelemetry's own exporter."""

    def made(self) -> Any:
        """OpenTelemetry's exporter, made now where it was not yet."""

    def send(self, batch: Any) -> Outcome | None:
        """Send a batch, within the endpoint's timeout; None if it cannot be encoded."""

    def let_go(self) -> None:
        """Let go of the parent's connections, in a forked child."""

    def close(self) -> None:
        """Close the connections; called by any thread."""


class SpanCounts:
    """What became of spans; all methods may be called from any thread.

    Attributes:
        exported: Spans that an exporter delivered, at once or from the outbox.
        failed: Spans that are lost: no exporter will deliver them.
    """

    def __init__(self) -> None:
        self.renew()
        renew_when_used(self)
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


Export = OtlpSettings | Callable[[], SpanExporter]
"""One way that spans leave: an OTLP endpoint, which is taken care of, or what makes an exporter."""


def exports(settings: OtlpSettings) -> list[Export]:
    """The ways out that the settings or the environment switch on."""
    if settings.endpoint is not None:
        return [settings]
    return [export for one in _named() if (export := _by_name(one, settings)) is not None]


def tell_of_nowhere() -> None:
    """Say once that runs are reported to nobody, unless the environment says that this is meant."""
    is_disabled = os.environ.get(OTEL_SDK_DISABLED, "").strip().lower() == "true"
    # What is wrong with those was said; who wants metrics alone gets these.
    is_meant = is_disabled or _names() or is_named() or is_named(METRICS)
    if not is_meant and not at_exit.is_child():
        warn(
            "ServerOtel has no destination: set OTEL_EXPORTER_OTLP_ENDPOINT for traces "
            f"({DEFAULTS[HTTP]} for a Collector on this machine), or DOTFLOW_SERVER_URL and "
            "DOTFLOW_USER_TOKEN for dotflow-api. If you want none, set OTEL_TRACES_EXPORTER=none."
        )


def exporter_of(endpoint: Endpoint) -> Exporter:
    """What sends to an endpoint; the library of the other protocol is not loaded."""
    if endpoint.has_grpc:
        from dotflow.otel.export.otlp.grpc import GrpcExporter

        return GrpcExporter(endpoint)
    from dotflow.otel.export.otlp.http import HttpExporter

    return HttpExporter(endpoint)


def load(settings: OtlpSettings, load_metrics: Callable[[], None], has_records: bool) -> None:
    """Load what reports, where there is anything to report to: else the first run has to wait.

    Args:
        settings: What the arguments say of OTLP.
        load_metrics: Loads what counts runs.
        has_records: Whether a dotflow-api gets records of them.
    """
    if settings.endpoint is not None or OTLP in _named():
        load_exporter(settings)
        import_module("dotflow.otel.export.provider.pipeline")
        load_metrics()
    if has_records:
        import_module("dotflow.delivery.channel")


def load_exporter(settings: OtlpSettings) -> None:
    """Load the library that exports to an endpoint."""
    try:
        has_grpc = is_grpc(settings)
        import_module(GRPC_MODULE if has_grpc else HTTP_MODULE)
        settings.signal.exporter_over("grpc" if has_grpc else "http")
    except Exception as error:  # noqa: BLE001 - said when the first run begins
        logger.debug("The OTLP exporter cannot be loaded: %s", error)


def _names() -> list[str]:
    """What OTEL_TRACES_EXPORTER says."""
    return [name for one in os.environ.get(OTEL_TRACES_EXPORTER, "").split(",")
            if (name := one.strip())]  # fmt: skip


def _named() -> list[str]:
    """The names of the exporters that the environment switches on."""
    named = _names() or ([OTLP] if is_named() else [])
    return [one for one in named if one != "none"]


def _by_name(name: str, settings: OtlpSettings) -> Export | None:
    """An exporter by its name in OTEL_TRACES_EXPORTER."""
    if name == OTLP:
        return settings
    if name in PROTOCOLS:
        return OtlpSettings(protocol=PROTOCOLS[name])
    for entry in entry_points(group="opentelemetry_traces_exporter", name=name):
        make: Callable[[], SpanExporter] = entry.load()
        return make
    warn(f"OTEL_TRACES_EXPORTER names {name!r}, which is not installed: it is ignored.")
    return None


def size_of(span: ReadableSpan) -> int:
    """About as many bytes as a span takes, rather too many; its texts are what is long."""
    said = [span.attributes or {}, *(event.attributes or {} for event in span.events)]
    texts = (value for one in said for value in one.values() if isinstance(value, str))
    return SPAN_BYTES + sum(len(text) * (1 if text.isascii() else 4) for text in texts)


def _batch(signal: Signal) -> str:
    """How the variables begin that say how large its batches are."""
    return "OTEL_BLRP_" if signal == LOGS else "OTEL_BSP_"


def batch_size(signal: Signal = TRACES) -> int:
    """How many are sent at a time: OTEL_BSP_MAX_EXPORT_BATCH_SIZE, else the SDK's 512.

    A batch is not longer than the queue, whatever is said.
    """
    size = _number(f"{_batch(signal)}MAX_EXPORT_BATCH_SIZE", BATCH_SIZE)
    return min(size, queue_size(signal))


def schedule_delay(signal: Signal = TRACES) -> float:
    """Seconds that one waits for others, at most: OTEL_BSP_SCHEDULE_DELAY, else the SDK's 5."""
    return _number(f"{_batch(signal)}SCHEDULE_DELAY", DEFAULT_DELAY) / 1000


def queue_size(signal: Signal = TRACES, default: int = QUEUE_SIZE) -> int:
    """How many may wait for export: OTEL_BSP_MAX_QUEUE_SIZE, else the default."""
    return _number(f"{_batch(signal)}MAX_QUEUE_SIZE", default)


def _number(name: str, default: int) -> int:
    given = os.environ.get(name, "").strip()
    if not given:
        return default
    if not given.isdecimal() or not int(given):
        warn(f"{name} is {given!r}, which is no whole number above 0. The value is ignored.")
        return default
    return int(given)
