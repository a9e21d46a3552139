"""The json format of a log line, as pydantic models."""

from __future__ import annotations

from pydantic import BaseModel


class LogRecordError(BaseModel):
    """The error of a LogRecord.

    Attributes:
        exception: The name of the exception's class.
        message: The exception's message.
    """

    exception: str = ""
    message: str = ""


class LogRecord(BaseModel):
    """One line of a log in the format "json".

    Attributes:
        timestamp: When, in UTC and ISO 8601.
        level: "DEBUG", "INFO", "WARNING" or "ERROR".
        workflow_id: The id of the workflow.
        workflow_name: The name that the workflow was given; empty without a name.
        task_id: The task's number.
        task_name: The name of the step.
        status: The status of the task.
        duration: Seconds from the task's beginning to its end; None until then.
        retry_count: How many further attempts there were; None if there were none.
        retry_in: Seconds until the next attempt; None if none follows.
        error: Why the task failed, or why another attempt follows.
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
