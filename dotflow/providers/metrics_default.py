"""The Metrics of who measures nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dotflow.abc.metrics import Metrics

if TYPE_CHECKING:
    from dotflow.abc.task import TaskView


class MetricsDefault(Metrics):
    """Measures nothing: the default of the slot `metrics`."""

    def workflow_started(self, workflow_id: Any, **kwargs: Any) -> None:
        """Do nothing."""

    def workflow_completed(self, workflow_id: Any, duration: float) -> None:
        """Do nothing."""

    def workflow_failed(self, workflow_id: Any, duration: float) -> None:
        """Do nothing."""

    def task_completed(self, task: TaskView) -> None:
        """Do nothing."""

    def task_failed(self, task: TaskView) -> None:
        """Do nothing."""

    def task_retried(self, task: TaskView) -> None:
        """Do nothing."""
