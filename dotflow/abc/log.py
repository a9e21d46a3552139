"""The Log contract: one line for each turn of a task."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

if TYPE_CHECKING:
    from dotflow.abc.task import TaskView

LEVELS = {
    "DEBUG": logging.DEBUG,
    "INFO": logging.INFO,
    "WARNING": logging.WARNING,
    "ERROR": logging.ERROR,
}


class LogRecordError(BaseModel):
    """The error of a log record."""

    exception: str = ""
    message: str = ""


class LogRecord(BaseModel):
    """One line of the json format."""

    timestamp: str = ""
    level: str = ""
    workflow_id: str = ""
    task_id: str = ""
    status: str = ""
    duration: float | None = None
    retry_count: int | None = None
    error: LogRecordError | None = None


class Log:
    """Writes one message a call, as text or as JSON, through a standard logger.

    A subclass sets `_logger`, and may set `_level` (the lowest level that is written) and
    `_format` ("simple" or "json"). The engine passes `task=`, in the process that called
    `start()`.
    """

    _logger: logging.Logger
    _level: int = logging.INFO
    _format: str = "simple"

    def debug(self, **kwargs: Any) -> None:
        """Write at DEBUG."""
        self._write(logging.DEBUG, kwargs)

    def info(self, **kwargs: Any) -> None:
        """Write at INFO."""
        self._write(logging.INFO, kwargs)

    def warning(self, **kwargs: Any) -> None:
        """Write at WARNING."""
        self._write(logging.WARNING, kwargs)

    def error(self, **kwargs: Any) -> None:
        """Write at ERROR, with what the task's last error says."""
        self._write(logging.ERROR, kwargs)

    def _write(self, level: int, values: dict[str, Any]) -> None:
        lowest = self._level
        # A subclass may name its level as its users do.
        if level < (LEVELS.get(lowest, logging.INFO) if isinstance(lowest, str) else lowest):
            return
        message = _json(level, values) if self._format == "json" else _text(level, values)
        self._logger.log(level, message)


def _text(level: int, values: dict[str, Any]) -> str:
    task: TaskView | None = values.get("task")
    if task is None:
        return " ".join(f"{name}={value}" for name, value in values.items())
    line = f"ID {task.workflow_id} - {task.task_id} - {task.status}"
    if level >= logging.ERROR and task.errors:
        return f"{line}\n{task.errors[-1].traceback}"
    return line


def _json(level: int, values: dict[str, Any]) -> str:
    record = LogRecord(
        timestamp=datetime.now(timezone.utc).isoformat(), level=logging.getLevelName(level)
    )
    task: TaskView | None = values.get("task")
    if task is None:
        record = record.model_copy(
            update={
                name: str(value) for name, value in values.items() if name in LogRecord.model_fields
            }
        )
    else:
        record.workflow_id = str(task.workflow_id)
        record.task_id = str(task.task_id)
        record.status = str(task.status)
        record.duration = task.duration
        record.retry_count = task.retry_count or None
        if level >= logging.ERROR and task.errors:
            last = task.errors[-1]
            record.error = LogRecordError(exception=last.exception, message=last.message)
    # Not pydantic's own JSON: that refuses half a surrogate pair, which a message may have.
    return json.dumps(record.model_dump(exclude_none=True, warnings="none"))
