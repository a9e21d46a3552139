"""Log records on their way to an OTLP endpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.sdk._logs import LogRecordProcessor

from dotflow.abc.facts import next_number
from dotflow.logging import logger
from dotflow.otel.export.children import step_child
from dotflow.otel.export.leaving.beside import look
from dotflow.otel.export.leaving.outgoing import Outgoing
from dotflow.otel.logs.past import Writer
from dotflow.otel.logs.record import Record, fields_of
from dotflow.process.variables import warn
from dotflow.runlog.limits import max_bytes
from dotflow.runlog.writer import run_log

if TYPE_CHECKING:
    from collections.abc import Callable

    from dotflow.otel.export.otlp.endpoint import OtlpSettings
    from dotflow.otel.export.otlp.exports import SpanCounts
    from dotflow.runlog.texts import Texts


class OtlpRecords(Outgoing, LogRecordProcessor):
    """Takes log records; a child that runs a step only writes them down, for its parent to send.

    Args:
        settings: Which endpoint.
        counts: Where records are counted.
        texts: Gives what decides what may be said.
    """

    def __init__(
        self, settings: OtlpSettings, counts: SpanCounts, texts: Callable[[], tuple[Texts, ...]]
    ) -> None:
        self._writer = Writer()
        self._most = max_bytes()
        self._texts = texts
        super().__init__(settings, counts, look=look)

    def on_emit(self, log_record: Any) -> None:
        """Take a record, and write it down; called by the thread that logs, which gets no error."""
        if self.has_ended:
            return
        try:
            self._take(log_record)
        except Exception as error:  # noqa: BLE001 - a value may raise when it is looked at
            logger.debug("A log record cannot be written down: %s", error)
            self.counts.add(failed=1)

    @property
    def _has_too_much(self) -> bool:
        """Whether this child has logged more than all logs may take; it is said once."""
        segments = run_log.segments
        if not step_child.only_writes or not segments or segments[-1].size <= self._most:
            return False
        warn(
            f"A step has logged more than {self._most} bytes (DOTFLOW_OUTBOX_MAX_BYTES): its "
            "further log records are not exported."
        )
        return True

    emit = on_emit  # its name in older releases

    def _take(self, given: Any) -> None:
        said = given.log_record
        # In older releases both of these are the record's.
        dropped: Any = (given if hasattr(given, "resource") else said).dropped_attributes
        resource = getattr(given, "resource", None) or said.resource
        fields = fields_of(said, int(dropped), self._texts())
        self.take_past(Record(resource, given.instrumentation_scope, fields))

    def take_past(self, record: Record) -> None:
        """Take a record of which it is decided what may be said; called by any thread."""
        n = next_number()
        if self._has_too_much:
            self.counts.add(failed=1)
            return
        if run_log.is_durable:
            self._write(self._lines.record(n, self._writer.write(record)))
        self.put(record, n, n)
