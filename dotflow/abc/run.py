"""What a provider may see of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dotflow.abc.task import Failure, TaskView


class RunView(Protocol):
    """A run as a provider sees it; a Manager is one.

    Attributes:
        workflow_id: The id of the workflow; `str(workflow_id)` is what is reported.
        mode: "sequential", "sequential_group", "background" or "parallel".
        status: "In progress", "Completed" or "Failed".
        duration: Seconds from the run's beginning to its end; None until then.
        trace_id: The id of its trace (32 hex digits); None where it has none.
        is_rehearsed: Whether it is only rehearsed; see `dotflow.testing`.
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
        """Where its trace can be seen; None where nobody says."""

    @property
    def failed_tasks(self) -> Sequence[TaskView]:
        """The tasks that failed, in order."""

    @property
    def error(self) -> Failure | None:
        """What failed its first failed task, or the run; None where nothing did."""
