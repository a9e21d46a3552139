"""What a Task holds, before it has any value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from dotflow.constants import INITIAL_TASK_ID
from dotflow.core.dates import local_date, nanoseconds_of
from dotflow.utils.basic_functions import basic_callback

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

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

    @property
    def created_at(self) -> datetime | None:
        """When the task was made (datetime, local, without a zone)."""
        return local_date(self.created_ns)

    @created_at.setter
    def created_at(self, value: datetime | None) -> None:
        self.created_ns = nanoseconds_of(value)

    @property
    def started_at(self) -> datetime | None:
        """When the task began (datetime, local, without a zone); None until then."""
        return local_date(self.started_ns)

    @started_at.setter
    def started_at(self, value: datetime | None) -> None:
        self.started_ns = nanoseconds_of(value)

    @property
    def finished_at(self) -> datetime | None:
        """When the task ended (datetime, local, without a zone); None until then."""
        return local_date(self.finished_ns)

    @finished_at.setter
    def finished_at(self, value: datetime | None) -> None:
        self.finished_ns = nanoseconds_of(value)

    def _repr_html_(self: Any) -> str:
        """The task as a small picture, for notebooks; what looks like a credential is masked."""
        from dotflow.core.picture import of_task  # here, for only notebooks ask for it

        return of_task(self)


def know_names(cls: Any, names: Iterable[str]) -> None:
    """Have Python know what objects of a class hold before the first are made.

    It keeps the names of attributes once for a class, but learns them only from the first objects,
    30 or so. If a hundred tasks are added before one runs and gets a context, each has a dict.
    """
    one = cls.__new__(cls)
    for name in names:
        object.__setattr__(one, name, None)
