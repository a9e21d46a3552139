"""Context: a value on its way from task to task."""

from __future__ import annotations

import time
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uuid import UUID


class ContextInstance:
    """What a Context is before it has any value: the type of its fields."""

    def __init__(
        self, task_id: int | None = None, storage: Any = None, workflow_id: Any = None
    ) -> None:
        # Most contexts are never asked for their time: the datetime is made when they are.
        self._time: int | datetime = time.time_ns()
        self._task_id = task_id
        self._storage = storage
        self._workflow_id = workflow_id


class Context(ContextInstance):
    """Holds a value on its way from task to task: read the value as `.storage`.

    Args:
        storage: Any value. If it is a Context, the new Context takes over its value, time and ids.
        task_id: The number of the task that made the value (int), or None.
        workflow_id: The id of the workflow: a UUID, the text of a UUID, or None.

    Raises:
        TypeError: `task_id` or `workflow_id` has another type.
        ValueError: `workflow_id` is a text, and not that of a UUID.
    """

    def __init__(
        self,
        storage: Any = None,
        task_id: int | None = 0,
        workflow_id: str | UUID | None = None,
    ) -> None:
        self._task_id = task_id if type(task_id) is int else _checked_number(task_id)
        self._workflow_id = None if workflow_id is None else _checked_id(workflow_id)
        self._time = time.time_ns()
        self._storage = storage
        if issubclass(type(storage), Context):
            self.storage = storage

    @classmethod
    def of(cls, value: Any) -> Context:
        """The same as `Context(value)`."""
        if type(value) is not Context:
            return cls(value)
        context = cls.__new__(cls)
        context._time = value._time
        context._task_id = value._task_id
        context._workflow_id = value._workflow_id
        context._storage = value._storage
        return context

    @classmethod
    def of_task(cls, storage: Any, task_id: int | None, workflow_id: Any) -> Context:
        """A Context as the engine makes it: any text may be a workflow's id."""
        context = cls.__new__(cls)
        context._time = time.time_ns()
        context._task_id = task_id
        context._workflow_id = (
            _as_uuid(workflow_id) if isinstance(workflow_id, str) else workflow_id
        )
        context._storage = storage
        if issubclass(type(storage), Context):
            context.storage = storage
        return context

    @property
    def time(self) -> datetime:
        """When the value came to be; local, without a zone."""
        if isinstance(self._time, int):
            self._time = datetime.fromtimestamp(self._time / 1e9)  # noqa: DTZ006 - naive by contract
        return self._time

    @time.setter
    def time(self, value: datetime) -> None:
        self._time = value

    @property
    def task_id(self) -> int | None:
        """The task that made the value."""
        return self._task_id

    @task_id.setter
    def task_id(self, value: int | None) -> None:
        self._task_id = _checked_number(value)

    @property
    def workflow_id(self) -> Any:
        """The workflow that the value belongs to."""
        return self._workflow_id

    @workflow_id.setter
    def workflow_id(self, value: str | UUID | None) -> None:
        self._workflow_id = _checked_id(value)

    @property
    def storage(self) -> Any:
        """The value."""
        return self._storage

    @storage.setter
    def storage(self, value: Any) -> None:
        if issubclass(type(value), Context):
            self._time = value._time
            self._task_id = value._task_id
            self._workflow_id = value._workflow_id
            value = value._storage
        self._storage = value

    def __repr__(self) -> str:
        return (
            f"Context(storage={self._storage!r}, task_id={self._task_id!r}, "
            f"workflow_id={self._workflow_id!r})"
        )


def _checked_number(value: Any) -> int | None:
    if value is not None and not isinstance(value, int):
        raise TypeError(f"task_id must be an int or None, not {type(value).__name__}")
    return value


def _checked_id(value: Any) -> UUID | None:
    from uuid import UUID  # here, for it is slow to load

    if isinstance(value, str):
        try:
            return UUID(value)
        except ValueError:
            raise ValueError(f"workflow_id {value!r} is not a valid UUID") from None
    if value is not None and not isinstance(value, UUID):
        raise TypeError(f"workflow_id must be a UUID, its text or None, not {type(value).__name__}")
    return value


@lru_cache(maxsize=64)
def _as_uuid(text: str) -> Any:
    # The text of a UUID is its UUID in every Context; another text stays what it is.
    if len(text) not in (32, 36):
        return text
    from uuid import UUID

    try:
        return UUID(text)
    except ValueError:
        return text
