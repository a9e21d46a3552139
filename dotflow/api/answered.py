"""The records that are answered, as the OpenAPI page describes them; `answers` writes them."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from dotflow.api.schemas import PlannedTask, TaskError, TaskStatus, WorkflowStatus

# What a field that is left out holds; Python needs a value, the answer has none.
ABSENT: Any = None


class OpeningRecord(BaseModel):
    """One time that a workflow's record was opened."""

    run: str | None = Field(description="what `Dotflow-Opens` said")
    started_at: datetime | None
    finished_at: datetime | None
    status: WorkflowStatus
    created_at: datetime = Field(description="when this server heard of it")


class WorkflowRecord(BaseModel):
    """A workflow run."""

    id: str
    name: str | None
    mode: str | None
    status: WorkflowStatus
    trace_id: str | None
    duration: float | None = Field(description="seconds")
    started_at: datetime | None = Field(
        description="when it was first opened, by its own clock; null where nobody said"
    )
    finished_at: datetime | None = Field(description="when it last ended, by its own clock")
    created_at: datetime = Field(description="when this server heard of it")
    updated_at: datetime
    planned: int = Field(description="how many tasks the plan has")
    counts: dict[TaskStatus, int] = Field(
        description="how many tasks have each status; those that are only planned do not count"
    )
    opened: int = Field(description="how many runs have opened it")
    openings: list[OpeningRecord] = Field(
        default=ABSENT, description="those runs; only in the answer to GET /workflows/{id}"
    )
    tasks: list[PlannedTask] = Field(
        default=ABSENT,
        description="the plan; in GET /workflows/{id}, and in a list with include=plan",
    )


class TaskRecord(BaseModel):
    """A task of a workflow run."""

    id: int = Field(description="unique on this server")
    task_id: int = Field(description="the caller's own id")
    workflow_id: str
    name: str
    group_name: str
    status: TaskStatus
    duration: float | None = Field(description="seconds")
    retry_count: int
    started_at: datetime | None = Field(
        description="when it began, by its own clock; null where nobody said, or it has not"
    )
    finished_at: datetime | None
    attempts: list[tuple[datetime, datetime | None]] = Field(
        description="when its attempts began and ended, the last 20; empty where there was one, "
        "the task itself"
    )
    created_at: datetime = Field(description="when this server heard of it")
    updated_at: datetime
    errors: list[TaskError]
    initial_context: Any = Field(
        default=ABSENT, description="where one task is read, and in a list with include=contexts"
    )
    current_context: Any = Field(default=ABSENT, description="as initial_context")
    previous_context: Any = Field(default=ABSENT, description="as initial_context")


class WorkflowPage(BaseModel):
    """A page of workflow runs, those that began last first."""

    workflows: list[WorkflowRecord]
    next: str | None = Field(description="`after` for the page that follows; null on the last one")
    total: int = Field(
        default=ABSENT,
        description="how many there are, on all pages; absent with `after` and with `text`",
    )


class TaskPage(BaseModel):
    """A page of a workflow run's tasks, in the order of their ids."""

    tasks: list[TaskRecord]
    next: int | None = Field(description="`after` for the page that follows; null on the last one")
