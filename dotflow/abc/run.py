"""What a provider sees of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dotflow.abc.task import Failure, TaskView


class RunView(Protocol):
    """A run as a provider sees it; a Manager is a RunView. Read it, and do not change it.

    Attributes:
        workflow_id: The id of the workflow; report `str(workflow_id)`.
        mode: "sequential", "sequential_group", "background" or "parallel".
        status: "In progress", "Completed" or "Failed".
        duration: Seconds from the run's beginning to its end; None until the run has ended.
        trace_id: The id of the run's trace (32 hex digits), or None.
        is_rehearsed: Whether the run is only a rehearsal; see `dotflow.testing`.
    """

    workflow_id: Any
    mode: str
    status: str
    duration: float | None
    trace_id: str | None
    is_rehearsed: bool

    @property
    def number(self) -> int:
        """The number of the run, as `TaskView.run` has it."""

    @property
    def workflow_name(self) -> str | None:
        """The name that the workflow was given, or None."""

    @property
    def trace_url(self) -> str | None:
        """The address of the run's trace, or None."""

    @property
    def failed_tasks(self) -> Sequence[TaskView]:
        """The tasks that failed, in order."""

    @property
    def error(self) -> Failure | None:
        """The error of the first failed task, or of the run; None if nothing failed."""
