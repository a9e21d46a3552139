"""What a provider sees of a task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime


class Failure(Protocol):
    """One failed attempt of a task, as text.

    Attributes:
        attempt: The number of the attempt; None for the attempt that failed the task.
        exception: The name of the exception's class.
        message: The exception's message; with the class's name if the message alone says too
        little. traceback: The text of the traceback, from the user's code on. error_type: The value
        of OpenTelemetry's `error.type`.
    """

    attempt: int | None
    exception: str
    message: str
    traceback: str
    error_type: str


class Step(Protocol):
    """A step as a provider sees it: the function under `@action`, with its options.

    Attributes:
        retry: How many attempts the step has in all.
        timeout: How many seconds one attempt may take; 0 for no limit.
        retry_delay: How many seconds pass between two attempts.
        backoff: Whether the delay doubles after each failed attempt.
    """

    retry: int
    timeout: float
    retry_delay: float
    backoff: bool

    @property
    def name(self) -> str:
        """The name of the function, method or class."""

    @property
    def source(self) -> tuple[str, str | None, int | None]:
        """Where the step is defined: qualified function name, file path, first line."""


class ContextView(Protocol):
    """A value on its way from task to task."""

    @property
    def storage(self) -> Any:
        """The value."""

    @property
    def time(self) -> datetime:
        """When the value was made (datetime, local, without a zone)."""


class TaskView(Protocol):
    """A task as a provider sees it. Read it, and do not change it.

    Attributes:
        task_id: The number of the task in its workflow.
        workflow_id: The id of the workflow; report `str(workflow_id)`.
        workflow_name: The name that the workflow was given, or None.
        group_name: The group of the task.
        run: The number of the task's run (`RunBegan.n`); 0 before the first run.
        retry_count: How many further attempts there were so far.
        restored: Whether the result came from a checkpoint.
        started_ns: When the task began, in nanoseconds since the epoch; None until then.
        finished_ns: When the task ended, in nanoseconds since the epoch; None until then.
    """

    task_id: int
    workflow_id: Any
    workflow_name: str | None
    group_name: str
    run: int
    retry_count: int
    restored: bool
    started_ns: int | None
    finished_ns: int | None

    @property
    def step(self) -> Any:
        """The `Step` that the task runs."""

    @property
    def status(self) -> str:
        """One of "Not started", "In progress", "Retry", "Completed" and "Failed"."""

    @property
    def duration(self) -> float | None:
        """Seconds from the task's beginning to its end; None until it has ended."""

    @property
    def errors(self) -> Sequence[Failure]:
        """One error for each failed attempt, in order."""

    @property
    def initial_context(self) -> ContextView:
        """The value that the task was added with."""

    @property
    def previous_context(self) -> ContextView:
        """The result of the task before this one."""

    @property
    def current_context(self) -> ContextView:
        """The result of the task."""
