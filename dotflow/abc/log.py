"""The Log contract: one line for each turn of a task."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from dotflow.abc.words import Words, words_of_last
from dotflow.utils.error_handler import class_and_message

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


NOT_STARTED, IN_PROGRESS, COMPLETED, RETRY = "Not started", "In progress", "Completed", "Retry"

MOST_NAMES = 1000
"""Names whose short form is remembered; then the memory begins anew."""

LONGEST_NAME, LONGEST_REASON = 60, 200  # characters


class Log:
    """Writes one line for each new status of a task, as text or as JSON, by a standard logger.

    A subclass sets `_logger`. It may set `_level` (the lowest level that is written) and `_format`
    ("simple" or "json"). The engine passes `task=`, in the process that called `start()`.
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
        """Write at WARNING; for a retry, also the reason and the time of the next attempt."""
        self._write(logging.WARNING, kwargs)

    def error(self, **kwargs: Any) -> None:
        """Write at ERROR, with the message and the traceback of the task's last error."""
        self._write(logging.ERROR, kwargs)

    def _write(self, level: int, values: dict[str, Any]) -> None:
        lowest = self._level
        # A subclass may name its level as its users do.
        if level < (LEVELS.get(lowest, logging.INFO) if isinstance(lowest, str) else lowest):
            return
        make = self._json if self._format == "json" else self._text
        self._emit(level, make(level, values))

    def _emit(self, level: int, message: str) -> None:
        """Write one message."""
        self._logger.log(level, message)

    def _words(self, task: TaskView) -> Words:
        """The message and the traceback of a task's last error, as a line may say them."""
        return words_of_last(task)

    def _text(self, level: int, values: dict[str, Any]) -> str:
        task: TaskView | None = values.get("task")
        if task is None:
            return " ".join(f"{name}={value}" for name, value in values.items())
        # This is on the way of every task: no function is called that need not be.
        known, workflow_id = _last
        if known is not task.workflow_id:
            workflow_id = _id_text(task.workflow_id)
        status, flow, step = task.status, task.workflow_name, task.step.name
        line = (
            f"ID {workflow_id} - {task.task_id} - {status} - "
            f"{_names.get(flow) or _short(flow)}: {_names.get(step) or _short(step)}"
        )
        if status in (IN_PROGRESS, NOT_STARTED) and level < logging.ERROR:
            return line
        started, finished = task.started_ns, task.finished_ns
        if started is not None and finished is not None:
            line = f"{line} - {(finished - started) / 1e9:.3f} s"
        if status == COMPLETED:
            return f"{line} - restored" if task.restored else line
        return self._with_reason(line, level, task)

    def _with_reason(self, line: str, level: int, task: TaskView) -> str:
        if not task.errors or not (level >= logging.ERROR or task.status == RETRY):
            return line
        message, traceback = self._words(task)
        reason = _shown(_reason(task.errors[-1].exception, message))
        if task.status == RETRY:
            delay = _seconds_to_retry(task)
            when = f"in {delay:g} s" if delay else "at once"
            tries = f"attempt {task.retry_count} of {task.step.retry}"
            return f"{line} - {tries} failed: {reason} - the next one {when}"
        return f"{line} - {reason}\n{_shown(traceback)}"

    def _json(self, level: int, values: dict[str, Any]) -> str:
        # Here, for few programs write this format.
        import json
        from datetime import datetime, timezone

        record: dict[str, Any] = dict.fromkeys(_FIELDS, "")
        record["timestamp"] = datetime.now(timezone.utc).isoformat()
        record["level"] = logging.getLevelName(level)
        task: TaskView | None = values.get("task")
        if task is None:
            names = (*_FIELDS, "duration", "retry_count", "error")
            record.update({name: str(values[name]) for name in names if name in values})
        else:
            record.update(self._of_task(level, task))
        return json.dumps(record)

    def _of_task(self, level: int, task: TaskView) -> dict[str, Any]:
        record: dict[str, Any] = {
            "workflow_id": str(task.workflow_id),
            "workflow_name": _safe(task.workflow_name or ""),
            "task_id": str(task.task_id),
            "task_name": _safe(str(task.step.name)),
            "status": str(task.status),
        }
        is_tried_again = task.status == RETRY
        if task.duration is not None:
            record["duration"] = task.duration
        if task.retry_count:
            record["retry_count"] = task.retry_count
        if is_tried_again:
            record["retry_in"] = _seconds_to_retry(task)
        if task.errors and (level >= logging.ERROR or is_tried_again):
            exception, (message, _) = task.errors[-1].exception, self._words(task)
            record["error"] = {"exception": exception, "message": message}
        return record


_FIELDS = (
    "timestamp", "level", "workflow_id", "workflow_name", "task_id", "task_name", "status",
)  # fmt: skip

_last: tuple[Any, str] = (None, "None")

_names: dict[str | None, str] = {}


def _id_text(workflow_id: Any) -> str:
    """The text of an id; that of a UUID is slow to make, and the next line has the same one."""
    global _last  # noqa: PLW0603 - one tuple, which any thread may replace
    from uuid import UUID  # here, once a run, for it is slow to load

    text = str(workflow_id)
    if type(workflow_id) is UUID:
        _last = (workflow_id, text)
    return text if text.isprintable() else _shown(text)


def _reason(exception: str, message: str) -> str:
    """Why a task failed, in one line."""
    said = class_and_message(exception, message)
    return _cut(next(iter(said.splitlines()), ""), LONGEST_REASON)


def _shown(text: str) -> str:
    """A text without commands to the terminal that shows it: an error may quote anybody."""
    from dotflow.utils.printable import printable

    return printable(text)


def _safe(name: str) -> str:
    """A name without a credential; a program may make names of anything."""
    from dotflow.utils.masking import masked_by_default

    return masked_by_default(name)


def _short(name: str | None) -> str:
    """A name as a line shows it: in one line, and not too long."""
    if len(_names) >= MOST_NAMES:
        _names.clear()
    text = "workflow" if name is None else _safe(" ".join(str(name).split()))
    _names[name] = text = _cut(_shown(text), LONGEST_NAME)
    return text


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def _seconds_to_retry(task: TaskView) -> float:
    """The delay before the next try, as the engine has it."""
    step = task.step
    doubled = task.retry_count - 1 if step.backoff else 0
    return float(step.retry_delay * 2.0 ** min(doubled, 1000))


def __getattr__(name: str) -> Any:
    # Models that few programs use; pydantic is slow to load.
    if name in ("LogRecord", "LogRecordError"):
        from dotflow.abc import log_record

        return getattr(log_record, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
