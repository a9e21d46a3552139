"""What is taken and what is answered: the models behind the OpenAPI page.

JSON values that are stored as such (a plan, errors, contexts) leave this border as JSON text:
to write them is the only way to know that they can be written, and once is enough.
"""

import json
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    model_validator,
)
from typing_extensions import Self, TypedDict

from dotflow.api.envelope import Envelope
from dotflow.api.limits import decode_part
from dotflow.api.times import read_header

MAX_INTEGER = 2**63 - 1
MAX_FIELDS = 64
MAX_HEADER = 255
MAX_ITEMS = 500

WorkflowStatus = Literal["New", "In progress", "Completed", "Failed"]
TaskStatus = Literal["Not started", "In progress", "Completed", "Paused", "Retry", "Failed"]


# What a field that was left out holds; Python needs a value, the schema shows none.
_ABSENT: Any = None


def _without_nul(value: str) -> str:
    if "\0" in value:
        raise ValueError("must not hold a NUL character")
    return value


def _addressable(value: str) -> str:
    if value in {".", ".."}:
        raise ValueError("must not be '.' or '..', which no URL can carry")
    return value


def _json_text(value: Any) -> str:
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":"))
    except (ValueError, RecursionError) as error:
        raise ValueError(
            "holds a number that JSON cannot carry, or is nested too deeply"
        ) from error


def _few_fields(value: Any) -> Any:
    # Each unknown field is a line in the 422: without a bound one body would make a million.
    if isinstance(value, dict) and len(value) > MAX_FIELDS:
        raise ValueError(f"has more than {MAX_FIELDS} fields")
    return value


def _text_or_none(value: Any) -> str | None:
    # No report is refused for its times.
    return value if isinstance(value, str) else None


def _partial_schema(schema: dict[str, Any]) -> None:
    schema["minProperties"] = 1
    for field in schema["properties"].values():
        field.pop("default", None)


PlainText = Annotated[str, AfterValidator(_without_nul)]
WorkflowId = Annotated[
    str,
    Field(min_length=1, max_length=255),
    AfterValidator(_without_nul),
    AfterValidator(_addressable),
]
PathWorkflowId = Annotated[WorkflowId, BeforeValidator(decode_part)]
PathTaskId = Annotated[int, Field(ge=0, le=MAX_INTEGER)]
HeaderText = Annotated[
    str, Field(min_length=1, max_length=MAX_HEADER), AfterValidator(_without_nul)
]
Count = Annotated[int, Field(strict=True, ge=0, le=MAX_INTEGER)]
Seconds = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
TraceId = Annotated[str, Field(pattern="^[0-9a-fA-F]{32}$", description="32 hex digits")]
_NO_TASKS: Any = "[]"
Context = Annotated[Any, AfterValidator(_json_text)]


class PlannedTask(TypedDict):
    """A task as the plan names it, before it runs."""

    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]

    id: Count
    name: str
    group_name: str


class TaskError(TypedDict):
    """What one failed attempt raised."""

    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]

    attempt: Count | None
    exception: str
    message: str
    traceback: str


Plan = Annotated[
    list[Annotated[PlannedTask, BeforeValidator(_few_fields)]],
    FailFast(),
    AfterValidator(_json_text),
]
TaskErrors = Annotated[
    list[Annotated[TaskError, BeforeValidator(_few_fields)]],
    FailFast(),
    AfterValidator(_json_text),
]


class PostHeaders(BaseModel):
    """What a POST may say beside its body."""

    key: HeaderText | None = Field(
        default=None,
        alias="Idempotency-Key",
        description="names this message: a repeat with the same key is answered, not applied",
    )
    opens: HeaderText | None = Field(
        default=None,
        alias="Dotflow-Opens",
        description="the run that opens the record with this message",
    )
    times: Annotated[str | None, BeforeValidator(_text_or_none)] = Field(
        default=None,
        alias="Dotflow-Times",
        description=(
            "when the run or the task began and ended by its own clock, as JSON: "
            '{"started_at": ..., "finished_at": ..., "attempts": [[start, end], ...]}, each an '
            "RFC 3339 time with its zone; what cannot be read is passed over"
        ),
    )
    traceparent: Annotated[str | None, BeforeValidator(_text_or_none)] = Field(
        default=None,
        alias="traceparent",
        description="the span that the message is about, as W3C's trace context says it",
    )

    def envelope(self) -> Envelope:
        """Gives it in the store's words."""
        times = read_header(self.times)
        return Envelope(self.key, self.opens, times=times, traceparent=self.traceparent)


class PatchHeaders(PostHeaders):
    """What a PATCH may say beside its body."""

    run: HeaderText | None = Field(
        default=None,
        alias="Dotflow-Run",
        description=(
            "the run whose end this is, told by another process: applied only while the record "
            "was last opened by that run (or is open, and nobody said by whom, or this message "
            "opens it too), else answered with 200 and not applied"
        ),
    )

    def envelope(self) -> Envelope:
        """Gives it in the store's words."""
        times = read_header(self.times)
        return Envelope(self.key, self.opens, self.run, times, self.traceparent)


class Body(BaseModel):
    """A request's body: known fields only."""

    model_config = ConfigDict(extra="forbid")

    _bounded = model_validator(mode="before")(_few_fields)

    def columns(self) -> dict[str, Any]:
        """Gives the fields that were sent."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class PartialBody(Body):
    """The body of a PATCH: at least one field; those left out stay as they are."""

    model_config = ConfigDict(json_schema_extra=_partial_schema)

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("at least one field is needed")
        return self


class WorkflowPost(Body):
    """A new workflow run."""

    id: WorkflowId
    status: WorkflowStatus = "New"
    name: PlainText | None = None
    mode: PlainText | None = None
    trace_id: TraceId | None = None
    tasks: Plan = Field(default=_NO_TASKS, json_schema_extra={"default": []})

    def columns(self) -> dict[str, Any]:
        """Gives the fields that were sent, and the status in any case."""
        return {**super().columns(), "status": self.status}


class WorkflowPatch(PartialBody):
    """What is new about a workflow run."""

    status: WorkflowStatus = _ABSENT
    name: PlainText | None = None
    mode: PlainText | None = None
    trace_id: TraceId | None = None
    tasks: Plan = _ABSENT
    duration: Seconds | None = None


class TaskPost(Body):
    """A new task of a workflow run."""

    id: Count
    name: PlainText
    group_name: PlainText = "default"
    status: TaskStatus = "Not started"
    initial_context: Context = Field(default=None, validate_default=True)

    def columns(self) -> dict[str, Any]:
        """Gives every field; the caller's id is the task_id, as id is the server's own."""
        values = dict(self)
        return {"task_id": values.pop("id"), **values}


class TaskPatch(PartialBody):
    """What is new about a task."""

    status: TaskStatus = _ABSENT
    duration: Seconds | None = None
    retry_count: Count = _ABSENT
    errors: TaskErrors = _ABSENT
    initial_context: Context = _ABSENT
    current_context: Context = _ABSENT
    previous_context: Context = _ABSENT


class WorkflowCreated(BaseModel):
    """The answer to a workflow's POST."""

    id: str


class TaskCreated(BaseModel):
    """The answer to a task's POST."""

    id: int = Field(description="unique on this server: PATCH /tasks/{id}")
    task_id: int = Field(description="the caller's own id")
    workflow_id: str


class NextId(BaseModel):
    """The first task id that is free."""

    next_id: int


class Health(BaseModel):
    """The server and its database answer."""

    status: Literal["ok"]


class Refusal(BaseModel):
    """Why a request was refused."""

    detail: str


class WorkflowConflict(Refusal):
    """The id is taken."""

    id: str


class TaskConflict(Refusal):
    """The id is taken; here is what holds it."""

    id: int
    task_id: int
    workflow_id: str


class Fault(BaseModel):
    """One thing that is wrong in a request."""

    loc: list[str | int] = Field(description="where: body, path, query or header, then the field")
    msg: str
    type: str


class Invalid(BaseModel):
    """What is wrong in a request."""

    detail: list[Fault]


class BulkItem(BaseModel):
    """One call to a writing route; fields that are not named here are let through unread."""

    method: str = Field(description="POST or PATCH")
    path: str = Field(
        description="as in the single call, percent-encoded; a task is "
        "/workflows/{workflow_id}/tasks/{task_id}"
    )
    idempotency_key: Any = Field(default=None, description="the header Idempotency-Key")
    headers: dict[str, Any] | None = Field(default=None, description="the call's other headers")
    times: Any = Field(default=None, description="what the header Dotflow-Times says, as JSON")
    body: Any = Field(default=None, description="the single call's body")


class Bulk(BaseModel):
    """Calls to make in this order."""

    items: Annotated[list[BulkItem], FailFast()] = Field(json_schema_extra={"maxItems": MAX_ITEMS})


class BulkAnswer(BaseModel):
    """What came of one item."""

    status: int = Field(
        description="as in the single call; 424: not tried, for an item before it was not taken"
    )
    body: Any = Field(description="ids where it was taken, else the reason as in the single call")
    retry_after: int | None = Field(default=None, description="seconds; with 503")


class BulkAnswers(BaseModel):
    """What came of the items, in their order; those without an answer were not tried."""

    items: list[BulkAnswer]
