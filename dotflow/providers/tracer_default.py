"""The Tracer of who traces nothing, or through a Server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dotflow.abc.tracer import Tracer

if TYPE_CHECKING:
    from dotflow.abc.task import TaskView


class TracerDefault(Tracer):
    """Traces nothing: the default of the slot `tracer`."""

    def start_workflow(self, workflow_id: Any, **kwargs: Any) -> None:
        """Do nothing."""

    def end_workflow(self, workflow_id: Any, **kwargs: Any) -> None:
        """Do nothing."""

    def start_task(self, task: TaskView) -> None:
        """Do nothing."""

    def end_task(self, task: TaskView) -> None:
        """Do nothing."""
