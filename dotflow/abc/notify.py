"""The Notify contract: who is told of each change of a task's status."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dotflow.abc.task import TaskView


class Notify(ABC):
    """Is told of each new status of a task."""

    @abstractmethod
    def hook_status_task(self, task: TaskView) -> None:
        """Called after `task.status` was set, in the process that called `start()`."""
