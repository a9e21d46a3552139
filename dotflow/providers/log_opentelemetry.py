"""Log lines, also through OpenTelemetry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dotflow.providers.log_default import LogDefault
from dotflow.providers.opentelemetry_api import load, part
from dotflow.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from dotflow.runlog.texts import Redact


class LogOpenTelemetry(LogDefault):
    """Writes as LogDefault does, and gives each line to OpenTelemetry as a log record.

    If a `ServerOtel` or `TracerOpenTelemetry` makes spans, a record has the trace id and the span
    id of its task; before the task has begun, those of its run. Attributes say which task the
    record is about. The records go to the program's logger provider. If the program has none, and
    an `OTEL_*` variable names an endpoint or an exporter for logs, dotflow makes one; else the
    lines are only written.

    Args:
        service_name: The name of the instrumentation scope, and the `service.name` of a provider
            that dotflow makes, if the environment names none.
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
        load("_logs")
        super().__init__(
            level=level, output=output, path=path, format=format, redact=redact,
            whole_values=whole_values,
        )  # fmt: skip
        self._handler = part("logs.lines").LineHandler(service_name, whole_values)
        self._logger.addHandler(self._handler)

    def _write(self, level: int, values: dict[str, Any]) -> None:
        task = values.get("task")
        if task is None:
            super()._write(level, values)
            return
        with self._handler.about(task):
            super()._write(level, values)
