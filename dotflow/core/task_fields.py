"""What a Task holds, before it has any value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from dotflow.constants import INITIAL_TASK_ID
from dotflow.utils.basic_functions import basic_callback

if TYPE_CHECKING:
    from collections.abc import Callable

    from dotflow.abc.executor import Place
    from dotflow.core.context import Context
    from dotflow.core.task_error import TaskError


class StepView(NamedTuple):
    """What is known of a step where it cannot be itself (see `dotflow.abc.task.Step`)."""

    name: str
    retry: int
    timeout: float
    source: tuple[Any, ...]


class Turn(Protocol):
    """What reports a task while it is under way."""

    def conclude(self, error: BaseException) -> None:
        """End the task if its end is not reported yet."""


class TaskInstance:
    """What a Task is before it has any value: the type of its fields."""

    # Of the class, for most tasks never have another value of most of them.
    task_id: int = INITIAL_TASK_ID
    workflow_id: Any = None
    workflow_name: str | None = None
    group_name: str = "default"
    retry_count: int = 0
    created_ns: int | None = None
    started_ns: int | None = None
    finished_ns: int | None = None
    turn: Turn | None = None
    place: Place | None = None
    _step: Any = None
    _callback: Callable[..., Any] = staticmethod(basic_callback)
    _initial_context: Context | None = None
    _previous_context: Context | None = None
    _current_context: Context | None = None
    _status: str | None = None
    _duration: float | None = None
    _errors: list[TaskError] | None = None

    def _repr_html_(self: Any) -> str:
        """The task as a small picture, for notebooks; what looks like a credential is masked."""
        from dotflow.core.picture import of_task  # here, for only notebooks ask for it

        return of_task(self)
