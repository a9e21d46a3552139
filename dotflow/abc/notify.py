"""The Notify contract: who is told of each change of a task's status, and of a run's end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dotflow.abc.run import RunView
    from dotflow.abc.task import TaskView


class Notify(ABC):
    """Is told of each new status of a task, and of each end of a run."""

    @abstractmethod
    def hook_status_task(self, task: TaskView) -> None:
        """Called after `task.status` was set, in the process that called `start()`."""

    def hook_end_workflow(self, run: RunView) -> None:
        """Called once when a run has ended, by the thread that ran it; by default does nothing."""
