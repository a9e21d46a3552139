"""The Log contract: one line for each turn of a task."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dotflow.abc.log_record import LogRecord, LogRecordError
    from dotflow.abc.task import TaskView

__all__ = ["LEVELS", "Log", "LogRecord", "LogRecordError"]

LEVELS = {
    "DEBUG": logging.DEBUG,
    "INFO": logging.INFO,
    "WARNING": logging.WARNING,
    "ERROR": logging.ERROR,
}


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
        self._emit(level, message)

    def _emit(self, level: int, message: str) -> None:
        """Write one message."""
        self._logger.log(level, message)


def _text(level: int, values: dict[str, Any]) -> str:
    task: TaskView | None = values.get("task")
    if task is None:
        return " ".join(f"{name}={value}" for name, value in values.items())
    line = f"ID {_id_text(task.workflow_id)} - {task.task_id} - {task.status}"
    if level >= logging.ERROR and task.errors:
        return f"{line}\n{task.errors[-1].traceback}"
    return line


_last: tuple[Any, str] = (None, "None")


def _id_text(workflow_id: Any) -> str:
    """The text of an id; that of a UUID is slow to make, and the next line has the same one."""
    global _last  # noqa: PLW0603 - one tuple, which any thread may replace
    known, text = _last
    if known is not workflow_id:
        from uuid import UUID  # here, once a run, for it is slow to load

        text = str(workflow_id)
        if type(workflow_id) is UUID:
            _last = (workflow_id, text)
    return text


def _json(level: int, values: dict[str, Any]) -> str:
    # Here, for few programs write this format.
    import json
    from datetime import datetime, timezone

    record: dict[str, Any] = dict.fromkeys(
        ("timestamp", "level", "workflow_id", "task_id", "status"), ""
    )
    record["timestamp"] = datetime.now(timezone.utc).isoformat()
    record["level"] = logging.getLevelName(level)
    task: TaskView | None = values.get("task")
    if task is None:
        names = (*record, "duration", "retry_count", "error")
        record.update({name: str(values[name]) for name in names if name in values})
    else:
        record.update(_of_task(level, task))
    return json.dumps(record)


def _of_task(level: int, task: TaskView) -> dict[str, Any]:
    record: dict[str, Any] = {
        "workflow_id": str(task.workflow_id),
        "task_id": str(task.task_id),
        "status": str(task.status),
    }
    if task.duration is not None:
        record["duration"] = task.duration
    if task.retry_count:
        record["retry_count"] = task.retry_count
    if level >= logging.ERROR and task.errors:
        last = task.errors[-1]
        record["error"] = {"exception": last.exception, "message": last.message}
    return record


def __getattr__(name: str) -> Any:
    # Models that few programs use; pydantic is slow to load.
    if name in ("LogRecord", "LogRecordError"):
        from dotflow.abc import log_record

        return getattr(log_record, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
