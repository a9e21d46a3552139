"""What a provider may see of a task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime


class Failure(Protocol):
    """One failed attempt of a task, as text.

    Attributes:
        attempt: The number of the attempt; None for the one that failed the task.
        exception: The name of the exception's class.
        message: What the exception says; with its class, where it would say nothing without.
        traceback: Its traceback text, from the user's code on.
        error_type: The value of OpenTelemetry's `error.type`.
    """

    attempt: int | None
    exception: str
    message: str
    traceback: str
    error_type: str


class Step(Protocol):
    """What does a task's work: an `@action`.

    Attributes:
        retry: How many attempts there are in all.
        timeout: Seconds for one attempt; 0 for no limit.
        retry_delay: Seconds between attempts.
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
        """Qualified function name, file path, first line."""


class ContextView(Protocol):
    """A value on its way from task to task."""

    @property
    def storage(self) -> Any:
        """The value."""

    @property
    def time(self) -> datetime:
        """When the value came to be; local, without a zone."""


class TaskView(Protocol):
    """A task as a provider sees it; only the engine writes it.

    Attributes:
        task_id: Its number in the workflow.
        workflow_id: The id of the workflow; `str(workflow_id)` is what is reported.
        workflow_name: The name that the workflow was given, or None.
        group_name: The group it runs in.
        run: The number of the run it is in (`RunBegan.n`); 0 before the first.
        retry_count: How many further tries there were so far.
        restored: Whether its result came from a checkpoint.
        started_ns: Nanoseconds since the epoch when it began; None until then.
        finished_ns: The same for its end.
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
        """The `Step` that does the work."""

    @property
    def status(self) -> str:
        """Where the task stands."""

    @property
    def duration(self) -> float | None:
        """Seconds from the start to the end."""

    @property
    def errors(self) -> Sequence[Failure]:
        """One for each failed attempt, in order."""

    @property
    def initial_context(self) -> ContextView:
        """The value that the task was added with."""

    @property
    def previous_context(self) -> ContextView:
        """The result of the task before."""

    @property
    def current_context(self) -> ContextView:
        """The task's own result."""
