"""The json format of a log line, as pydantic models."""

from __future__ import annotations

from pydantic import BaseModel


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
