"""The logger provider that we make where the application has none, and its processors."""

from __future__ import annotations

import threading
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

from dotflow.logging import logger
from dotflow.otel.export.otlp.endpoint import LOGS, OtlpSettings, endpoint_name
from dotflow.otel.export.otlp.exports import OTLP, PROTOCOLS, SpanCounts
from dotflow.otel.logs.asked import EXPORTERS
from dotflow.otel.logs.processor import OtlpRecords
from dotflow.process.forking import renew_in_child
from dotflow.process.variables import warn
from dotflow.runlog.texts import Texts

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource

    Exporting = OtlpRecords | BatchLogRecordProcessor


class Processors:
    """The processors of our provider: unlike the SDK's list, one can be taken out.

    Attributes:
        texts: What decides what may be said of records.
    """

    def __init__(self) -> None:
        self._processors: tuple[Any, ...] = ()
        self.texts: tuple[Texts, ...] = ()
        self._default = (Texts(),)

    def said(self) -> tuple[Texts, ...]:
        """What decides what may be said; masking, where nobody has chosen."""
        return self.texts or self._default

    def add_log_record_processor(self, processor: Any) -> None:
        """Add one; the provider's method of the same name calls this."""
        self._processors = (*self._processors, processor)

    def remove(self, processor: Any) -> None:
        """Take one out."""
        self._processors = tuple(one for one in self._processors if one is not processor)

    def on_emit(self, log_record: Any) -> None:
        """Hand on a record."""
        for one in self._processors:
            one.on_emit(log_record)

    def enabled(self, **known: Any) -> bool:
        """Whether anybody takes a record."""
        return any(one.enabled(**known) for one in self._processors)

    def shutdown(self) -> None:
        """Shut down all."""
        for one in self._processors:
            one.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Flush all, also those behind one that fails; whether all did."""
        flushed = [one.force_flush(timeout_millis) is not False for one in self._processors]
        return all(flushed)


class OwnLoggerProvider(LoggerProvider):
    """The provider that we make where the application has none.

    Args:
        resource: What produces the records.
    """

    def __init__(self, resource: Resource) -> None:
        self.processors = Processors()
        super().__init__(
            resource=resource,
            shutdown_on_exit=False,  # dotflow.process.at_exit does, with a deadline
            multi_log_record_processor=self.processors,  # type: ignore[arg-type]
        )
        self._shared: dict[tuple[Any, ...], tuple[list[Exporting], int]] = {}
        self.counts = SpanCounts()
        self.renew()
        renew_in_child(self)

    def renew(self) -> None:
        """Have a lock that nobody holds, in a forked child."""
        self._sharing = threading.Lock()

    def acquire(self, settings: OtlpSettings, names: list[str], texts: Texts) -> list[Exporting]:
        """Have records leave by exporters; users of the same ones share."""
        with self._sharing:
            key = endpoint_name(settings), *names
            found, users = self._shared.get(key) or ([], 0)
            if not users:
                made = [self._made(one, settings) for one in names]
                found = [one for one in made if one is not None]
                for one in found:
                    self.processors.add_log_record_processor(one)
            self._shared[key] = found, users + 1
            self.processors.texts = (*self.processors.texts, texts)
            return found

    def release(self, settings: OtlpSettings, names: list[str], texts: Texts) -> list[Exporting]:
        """Take back `acquire`; the processors that nobody uses any more are to be shut down."""
        with self._sharing:
            self.processors.texts = tuple(one for one in self.processors.texts if one is not texts)
            key = endpoint_name(settings), *names
            found, users = self._shared[key]
            if users > 1:
                self._shared[key] = found, users - 1
                return []
            del self._shared[key]
            for one in found:
                self.processors.remove(one)
            return found

    def _made(self, name: str, settings: OtlpSettings) -> Exporting | None:
        try:
            if name in PROTOCOLS:
                settings = OtlpSettings(settings.endpoint, PROTOCOLS[name], LOGS)
            if name == OTLP or name in PROTOCOLS:
                return OtlpRecords(settings, self.counts, self.processors.said)
            for entry in entry_points(group="opentelemetry_logs_exporter", name=name):
                return BatchLogRecordProcessor(entry.load()())
        except Exception as error:  # noqa: BLE001 - a wrong variable costs records, not the rest
            logger.warning("Log records are not exported: %s", error)
            return None
        warn(f"{EXPORTERS} names {name!r}, which is not installed: it is ignored.")
        return None
