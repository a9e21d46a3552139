"""Log lines, also through the program's own OpenTelemetry logger provider."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from dotflow.process.variables import mended
from dotflow.providers.log_default import LogDefault
from dotflow.providers.opentelemetry_api import load
from dotflow.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from dotflow.runlog.texts import Redact


class OpenTelemetryHandler(logging.Handler):
    """Hands log records on to OpenTelemetry, with the span that is current.

    The SDK's own handler is deprecated, and its successor comes in one more package.

    Args:
        service_name: The name of the instrumentation scope.

    Raises:
        ModuleNotFound: OpenTelemetry is not installed.
    """

    def __init__(self, service_name: str) -> None:
        super().__init__()
        self._logs = load("_logs")
        with mended():
            self._otel_logger = self._logs.get_logger(service_name)
        severity = self._logs.SeverityNumber
        self._severities: dict[int, tuple[Any, str]] = {
            logging.DEBUG: (severity.DEBUG, "DEBUG"),
            logging.INFO: (severity.INFO, "INFO"),
            logging.WARNING: (severity.WARN, "WARN"),
            logging.ERROR: (severity.ERROR, "ERROR"),
        }

    def emit(self, record: logging.LogRecord) -> None:
        """Hand one record on."""
        try:
            number, text = self._severities.get(
                record.levelno, (self._logs.SeverityNumber.UNSPECIFIED, record.levelname)
            )
            self._otel_logger.emit(
                self._logs.LogRecord(
                    timestamp=int(record.created * 1e9),
                    severity_number=number,
                    severity_text=text,
                    body=record.getMessage(),
                )
            )
        except Exception:  # noqa: BLE001 - what a handler raises would reach the caller
            self.handleError(record)


class LogOpenTelemetry(LogDefault):
    """Writes as LogDefault does, and hands each line on to OpenTelemetry.

    The lines go to the logger provider that the program has configured, now or later; without one
    they are only written.

    Args:
        service_name: The name of the instrumentation scope. (The `service.name` of the lines is
            that of the provider's resource.)
        level: As in LogDefault.
        output: As in LogDefault.
        path: As in LogDefault.
        format: As in LogDefault.
        redact: As in LogDefault.
        whole_values: As in LogDefault.

    Raises:
        ModuleNotFound: OpenTelemetry is not installed.
    """

    def __init__(
        self,
        service_name: str = "dotflow",
        level: str = "INFO",
        output: str = "console",
        path: str | Path = Settings.LOG_PATH,
        format: str = "simple",  # noqa: A002 - the contract's name
        *,
        redact: Redact | None = None,
        whole_values: bool | None = None,
    ) -> None:
        handler = OpenTelemetryHandler(service_name)
        super().__init__(
            level=level, output=output, path=path, format=format, redact=redact,
            whole_values=whole_values,
        )  # fmt: skip
        self._logger.addHandler(handler)
