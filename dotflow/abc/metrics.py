"""The Metrics contract: count and measure runs and tasks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dotflow.abc.task import TaskView


class Metrics(ABC):
    """Counts and measures runs and tasks, in the process that called `start()`.

    Durations are seconds. If a method raises, dotflow logs that once and counts it, and the run
    goes on.
    """

    @abstractmethod
    def workflow_started(self, workflow_id: Any, **kwargs: Any) -> None:
        """A run began; `mode` is among the keyword arguments."""

    @abstractmethod
    def workflow_completed(self, workflow_id: Any, duration: float) -> None:
        """A run ended and no task failed."""

    @abstractmethod
    def workflow_failed(self, workflow_id: Any, duration: float) -> None:
        """A run ended and a task failed."""

    @abstractmethod
    def task_completed(self, task: TaskView) -> None:
        """A task completed; its duration is set."""

    @abstractmethod
    def task_failed(self, task: TaskView) -> None:
        """A task failed for good; its duration is set."""

    @abstractmethod
    def task_retried(self, task: TaskView) -> None:
        """A task failed an attempt, and another attempt follows."""
