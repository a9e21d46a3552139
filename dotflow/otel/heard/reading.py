"""What a finished span says of a run: one of a ServerOtel's, made by hand, or read from a file."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from opentelemetry.trace import StatusCode

from dotflow.otel import attributes as names
from dotflow.otel.spans.record import COMPLETED, CURRENT, FAILED, INITIAL, PREVIOUS
from dotflow.otel.spans.values import short
from dotflow.utils.masking import clean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import SpanContext

    Common = tuple[SpanContext | None, int, int | None, int | None, "Failed | None"]

SpanKey = tuple[int, int]
"""The ids of a trace and of a span in it."""

LARGEST = 2**63 - 1
"""The largest number that is believed, of a task or of nanoseconds."""

LONGEST_ID = 255
"""Characters of a workflow's id that dotflow-api takes."""

STATUSES = (COMPLETED, FAILED, names.TASK_STATUS_IN_PROGRESS)

MARKERS = frozenset({
    names.SPAN_WORKFLOW_STARTED, names.SPAN_PART_STARTED, names.SPAN_TASK_STARTED,
})  # fmt: skip

CONTEXTS = {"initial": INITIAL, "previous": PREVIOUS, "current": CURRENT}
"""The attributes of each role."""


class UnusableSpanError(ValueError):
    """A span says of a run what cannot be."""


@dataclass(slots=True)
class Failed:
    """What failed an attempt, as its span says: see `dotflow.abc.task.Failure`."""

    attempt: int | None
    exception: str
    message: str
    traceback: str
    error_type: str


@dataclass(slots=True)
class Heard:
    """What a span of any kind says.

    Attributes:
        place: Its ids; None where it has none.
        parent: The id of its parent; 0 where it has none.
        began: When, in nanoseconds since the epoch; None where it does not say.
        ended: The same for its end.
        error: What failed it.
    """

    place: SpanContext | None
    parent: int
    began: int | None
    ended: int | None
    error: Failed | None

    @property
    def key(self) -> SpanKey | None:
        """What stands for the span; None where nothing does."""
        return (self.place.trace_id, self.place.span_id) if self.place is not None else None

    @property
    def span_id(self) -> int:
        """Its id; 0 where it has none."""
        return 0 if self.place is None else self.place.span_id

    @property
    def at(self) -> int:
        """When it ended, as well as is known."""
        return self.ended or self.began or time.time_ns()

    @property
    def seconds(self) -> float:
        """How long it took, by its times."""
        return max(0, self.at - (self.began or self.at)) / 1e9


@dataclass(slots=True)
class HeardAttempt(Heard):
    """The span of an attempt; its parent is the span of the task."""

    number: int


@dataclass(slots=True)
class HeardRun(Heard):
    """The root of a run."""

    workflow: str
    name: str
    mode: str | None
    plan: list[list[Any]] | None
    status: str
    duration: float


@dataclass(slots=True)
class HeardTask(Heard):
    """The span of a task.

    Attributes:
        contexts: The contexts that it says, by their roles.
        attempts: Its attempts, by their numbers.
    """

    workflow: str
    task: int
    name: str
    group: str
    status: str
    duration: float
    retries: int
    is_restored: bool
    contexts: dict[str, Any]
    attempts: dict[int, HeardAttempt] = field(default_factory=dict)


def hear(span: ReadableSpan) -> Heard | None:
    """What a span says of a run; None where it is none of ours, or another reports it.

    Raises:
        UnusableSpanError: It says of a run what cannot be.
    """
    said: Mapping[str, Any] = span.attributes or {}
    if said.get(names.REPORTED):
        return None
    is_attempt = names.ATTEMPT_NUMBER in said
    if not is_attempt and (names.WORKFLOW_ID not in said or _stands_for_another(span, said)):
        return None
    parent = span.parent.span_id if span.parent is not None else 0
    place = span.context if span.context is not None and span.context.is_valid else None
    common: Common = (
        place, parent, _time(span.start_time), _time(span.end_time), _error(span)
    )  # fmt: skip
    if is_attempt:
        return HeardAttempt(*common, _number(said, names.ATTEMPT_NUMBER))
    workflow = said[names.WORKFLOW_ID]
    if not isinstance(workflow, str) or not 0 < len(workflow) <= LONGEST_ID:
        raise UnusableSpanError(f"{names.WORKFLOW_ID} is no text of 1 to {LONGEST_ID} characters")
    workflow = clean(workflow)
    if names.TASK_ID in said:
        return _task(span, workflow, common)
    return _run(span, workflow, common)


def _run(span: ReadableSpan, workflow: str, common: Common) -> HeardRun:
    said: Mapping[str, Any] = span.attributes or {}
    heard = HeardRun(
        *common,
        workflow,
        _text(said, names.WORKFLOW_NAME) or short(str(span.name)),
        _text(said, names.WORKFLOW_MODE),
        _plan(said.get(names.WORKFLOW_PLAN)),
        _status(span, names.WORKFLOW_STATUS),
        0.0,
    )
    heard.duration = _seconds(said.get(names.WORKFLOW_DURATION), heard)
    return heard


def _task(span: ReadableSpan, workflow: str, common: Common) -> HeardTask:
    said: Mapping[str, Any] = span.attributes or {}
    heard = HeardTask(
        *common,
        workflow,
        _number(said, names.TASK_ID),
        _text(said, names.TASK_NAME) or short(str(span.name)),
        _text(said, names.TASK_GROUP) or "default",
        _status(span, names.TASK_STATUS),
        0.0,
        _number(said, names.TASK_RETRY_COUNT) if names.TASK_RETRY_COUNT in said else -1,
        said.get(names.TASK_RESTORED) is True,
        {role: _value(said, *of_it) for role, of_it in CONTEXTS.items() if of_it[0] in said},
    )
    heard.duration = _seconds(said.get(names.TASK_DURATION), heard)
    return heard


def _stands_for_another(span: ReadableSpan, said: Mapping[str, Any]) -> bool:
    """Whether it is the root of a part, or a marker: that says what another span says too."""
    if names.WORKFLOW_PART in said:
        return True
    began, ended = span.start_time, span.end_time
    return span.name in MARKERS and bool(began) and ended == (began or 0) + 1


# What attributes say, whoever has set them.


def _text(said: Mapping[str, Any], name: str) -> str | None:
    value = said.get(name)
    return short(value) if isinstance(value, str) and value else None


def _number(said: Mapping[str, Any], name: str) -> int:
    value = said[name]
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 20:  # noqa: PLR2004 - the digits of LARGEST
        value = int(value)
    if type(value) is not int or not 0 <= value <= LARGEST:
        raise UnusableSpanError(f"{name} is no whole number from 0 to {LARGEST}")
    return value


def _time(value: Any) -> int | None:
    return value if type(value) is int and 0 < value <= LARGEST else None


def _seconds(value: Any, heard: Heard) -> float:
    is_number = type(value) in (int, float) and math.isfinite(value) and value >= 0
    return float(value) if is_number else heard.seconds


def _status(span: ReadableSpan, name: str) -> str:
    value = (span.attributes or {}).get(name)
    if isinstance(value, str) and value in STATUSES:
        return value
    return FAILED if _is_error(span) else COMPLETED


def _is_error(span: ReadableSpan) -> bool:
    return getattr(span.status, "status_code", None) is StatusCode.ERROR


def _value(said: Mapping[str, Any], name: str, is_cut: str) -> Any:
    """A context: the JSON that the attribute has; what was cut, or is no JSON, as it is."""
    value = said[name]
    if not isinstance(value, str):
        return list(value) if isinstance(value, tuple) else value
    if said.get(is_cut) is True:
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _plan(value: Any) -> list[list[Any]] | None:
    """A plan of [number, name, group]; None where it is none."""
    try:
        found = json.loads(value)
        return [[_number({"": one}, ""), str(name), str(group)] for one, name, group in found]
    except (TypeError, ValueError, RecursionError):
        return None


def _error(span: ReadableSpan) -> Failed | None:
    """What failed a span: its last exception, else what its status says."""
    if not _is_error(span):
        return None
    kind = _text(span.attributes or {}, names.ERROR_TYPE) or ""
    told = next(
        (one for one in reversed(span.events or ()) if one.name == names.EVENT_EXCEPTION), None
    )
    if told is not None:
        said: Mapping[str, Any] = told.attributes or {}
        full = str(said.get(names.EXCEPTION_TYPE, ""))
        return Failed(
            None, _class_in(full), str(said.get(names.EXCEPTION_MESSAGE, "")),
            str(said.get(names.EXCEPTION_STACKTRACE, "")), kind or full,
        )  # fmt: skip
    description = str(getattr(span.status, "description", None) or "")
    exception, _, message = description.partition(": ")
    if not kind.endswith(exception) or not exception:
        exception, message = _class_in(kind) or "Error", description
    return Failed(None, exception, message, "", kind or exception)


def _class_in(error_type: str) -> str:
    return error_type.rpartition(".")[2]
