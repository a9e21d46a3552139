"""The Tracer contract: hear when runs and tasks start and end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dotflow.abc.task import TaskView


class Tracer(ABC):
    """Hears when runs and tasks start and end, in the process that called `start()`.

    Attributes:
        activates: Whether the engine calls `activate`.
    """

    activates: bool = False

    @abstractmethod
    def start_workflow(self, workflow_id: Any, **kwargs: Any) -> None:
        """A run began; `mode` and `tasks_count` are among the keyword arguments."""

    @abstractmethod
    def end_workflow(self, workflow_id: Any, **kwargs: Any) -> None:
        """A run ended; `duration` (seconds) and `failed` are among the keyword arguments."""

    @abstractmethod
    def start_task(self, task: TaskView) -> None:
        """A task is about to begin; its status is still "Not started"."""

    @abstractmethod
    def end_task(self, task: TaskView) -> None:
        """A task ended; its status, dates and duration are set."""

    def activate(self, task: TaskView) -> AbstractContextManager[Any]:  # noqa: ARG002
        """Make the task's span current in this thread; called around each attempt of its step.

        Called only for a step that runs in this process.
        """
        return nullcontext()
