"""The Flow contract: one way to run a list of tasks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID


class Flow(ABC):
    """Runs tasks when it is constructed: `setup_queue()`, then `run()`.

    Args:
        tasks: The tasks, in order.
        workflow_id: The id of the run.
        ignore: Go on after a failed task (`keep_going`).
        groups: The tasks by group, in order of appearance.
        resume: Restore tasks that have a checkpoint instead of running them.
    """

    def __init__(
        self,
        tasks: list[Any],
        workflow_id: str | UUID | None,
        ignore: bool,
        groups: Mapping[str, list[Any]],
        resume: bool = False,
    ) -> None:
        self.tasks = tasks
        self.workflow_id = workflow_id
        self.ignore = ignore
        self.groups = groups
        self.resume = resume
        self.queue: Any = None
        self.setup_queue()
        self.run()

    @abstractmethod
    def setup_queue(self) -> None:
        """Prepare `queue`, which collects the tasks that have run."""

    @abstractmethod
    def get_tasks(self) -> list[Any]:
        """The tasks that belong to the run's outcome."""

    @abstractmethod
    def run(self) -> None:
        """Run the tasks."""
