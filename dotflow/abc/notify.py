"""The Notify contract: hear of each new status of a task, and of each run's end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dotflow.abc.run import RunView
    from dotflow.abc.task import TaskView


class Notify(ABC):
    """Hears of each new status of a task, and of the end of each run.

    If a method raises, dotflow logs that once and counts it, and the run goes on. A method must not
    block, because the run waits for it.
    """

    @abstractmethod
    def hook_status_task(self, task: TaskView) -> None:
        """Take a task whose status is new; called in the process that called `start()`."""

    def hook_end_workflow(self, run: RunView) -> None:
        """Take a run that has ended; called once, by the thread that ran it.

        By default it does nothing.
        """
