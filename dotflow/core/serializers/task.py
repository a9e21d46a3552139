"""A task as a pydantic model."""

from __future__ import annotations

import json
from datetime import datetime  # noqa: TC003 - pydantic reads the annotations
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
)

from dotflow.core.context import Context

if TYPE_CHECKING:
    from typing import Protocol

    from dotflow.abc.task import TaskView

    class DatedTask(TaskView, Protocol):
        """A task with its dates, which are naive and local."""

        created_at: datetime | None
        started_at: datetime | None
        finished_at: datetime | None


CONTEXTS = ("initial_context", "current_context", "previous_context")
EXCEEDED = {"message": "Context size exceeded"}
DEEPEST = 50
"""How many lists of contexts are shown one within another."""


def printable(text: str) -> str:
    """The text as UTF-8 can write it: half a surrogate pair becomes a question mark."""
    return text.encode("utf-8", "replace").decode("utf-8")


Text = Annotated[str, AfterValidator(printable)]
WorkflowId = UUID | Annotated[str, BeforeValidator(str), AfterValidator(printable)]


class SerializerTaskError(BaseModel):
    """One failed attempt."""

    model_config = ConfigDict(from_attributes=True)

    attempt: int | None = None
    exception: Text = ""
    traceback: Text = ""
    message: Text = ""


class SerializerTask(BaseModel):
    """A task; its fields may be given under the names of Task's attributes too.

    `max` is the most characters that the JSON text of `result()` may have; None for no limit.
    """

    model_config = ConfigDict(populate_by_name=True)

    task_id: int | None = None
    workflow_id: WorkflowId | None = None
    id: int | None = None
    status: Text | None = Field(default=None, alias="_status")
    duration: float | None = Field(default=None, alias="_duration")
    initial_context: Any = Field(default=None, alias="_initial_context")
    current_context: Any = Field(default=None, alias="_current_context")
    previous_context: Any = Field(default=None, alias="_previous_context")
    group_name: Text | None = None
    retry_count: int = 0
    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    errors: list[SerializerTaskError] = Field(default_factory=list, alias="_errors")
    error: SerializerTaskError | None = None
    max: int | None = Field(default=None, exclude=True)

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        if self.id is None:
            self.id = self.task_id
        if self.error is None and self.errors:
            self.error = self.errors[-1]

    @classmethod
    def of(cls, task: DatedTask, max: int | None = None) -> SerializerTask:  # noqa: A002
        """The model of a task."""
        return cls(
            task_id=task.task_id,
            workflow_id=task.workflow_id,
            _status=task.status,
            _duration=task.duration,
            _initial_context=task.initial_context,
            _current_context=task.current_context,
            _previous_context=task.previous_context,
            _errors=task.errors,
            group_name=task.group_name,
            retry_count=task.retry_count,
            created_at=task.created_at,
            started_at=task.started_at,
            finished_at=task.finished_at,
            max=max,
        )

    @field_validator(*CONTEXTS, mode="before")
    @classmethod
    def _context(cls, value: Any) -> Any:
        return context_value(value) if isinstance(value, Context) else value

    @field_validator("errors", mode="before")
    @classmethod
    def _task_errors(cls, value: Any) -> Any:
        return [
            one
            if isinstance(one, (dict, SerializerTaskError))
            else SerializerTaskError.model_validate(one)
            for one in value or []
        ]

    def model_dump_json(self, **kwargs: Any) -> str:
        """The JSON text, of at most `max` characters where that can be had."""
        if self.max is None:
            return super().model_dump_json(**kwargs)
        return json.dumps(self._fitted(super().model_dump_json(**kwargs), self.max))

    def result(self) -> dict[str, Any]:
        """A dict of JSON values."""
        return json.loads(self.model_dump_json())  # type: ignore[no-any-return]

    @staticmethod
    def _fitted(text: str, limit: int) -> dict[str, Any]:
        """The values, with the largest contexts, then the errors, then all contexts let go."""
        values: dict[str, Any] = json.loads(text)
        if _size(values) <= limit:
            return values
        for name in sorted(CONTEXTS, key=lambda one: _size(values[one]), reverse=True):
            values[name] = EXCEEDED
            if _size(values) <= limit:
                return values
        values["errors"], values["error"] = [], None
        if _size(values) > limit and limit:
            values.update(dict.fromkeys(CONTEXTS))
        return values


def context_value(context: Context, within: tuple[int, ...] = ()) -> Any:
    """What `result()` shows of a context: None, an object for a list, else a text.

    `within` are the lists that this one is shown in, by their `id()`: one that contains itself,
    and what is nested too deep, is shown as a text.
    """
    value = context.storage
    if value is None:
        return None
    if not isinstance(value, (list, tuple)) or id(value) in within or len(within) == DEEPEST:
        return _text(value)
    within = (*within, id(value))
    shown: dict[str, Any] = {}
    for index, item in enumerate(value):
        if not isinstance(item, Context):
            shown[f"raw:{index}"] = _text(item)
        elif item.task_id is None:
            shown[f"ctx:{index}"] = context_value(item, within)
        else:
            shown[str(item.task_id)] = context_value(item, within)
    return shown


def _text(value: Any) -> str:
    try:
        text = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        text = _str(value)
    return printable(text)


def _str(value: Any) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - any value may be a context, and it is only shown here
        return f"<{type(value).__name__}>"


def _size(value: Any) -> int:
    return len(json.dumps(value))
