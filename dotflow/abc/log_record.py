"""The json format of a log line, as pydantic models."""

from __future__ import annotations

from pydantic import BaseModel


class LogRecordError(BaseModel):
    """The error of a log record."""

    exception: str = ""
    message: str = ""


class LogRecord(BaseModel):
    """One line of the json format.

    Attributes:
        timestamp: When, in UTC and ISO 8601.
        level: "DEBUG", "INFO", "WARNING" or "ERROR".
        workflow_id: The id of the workflow.
        workflow_name: The name that it was given; empty where it has none.
        task_id: The task's number.
        task_name: The name of its step.
        status: Where the task stands.
        duration: Seconds from its start to its end; None until then.
        retry_count: How many further tries there were; None for none.
        retry_in: Seconds until the next try; None where there is none to come.
        error: Why it failed, or why it is tried again.
    """

    timestamp: str = ""
    level: str = ""
    workflow_id: str = ""
    workflow_name: str = ""
    task_id: str = ""
    task_name: str = ""
    status: str = ""
    duration: float | None = None
    retry_count: int | None = None
    retry_in: float | None = None
    error: LogRecordError | None = None
