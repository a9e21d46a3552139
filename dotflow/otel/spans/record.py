"""What spans say of workflows, steps, errors and workers: attributes, and the status."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from opentelemetry.trace import Span, Status, StatusCode

from dotflow.otel import attributes as names
from dotflow.otel.spans.values import (
    MESSAGE_LIMIT,
    PATH_LIMIT,
    PLAN_LIMIT,
    STACKTRACE_LIMIT,
    cut,
    cut_start,
    short,
)
from dotflow.utils.error_handler import class_and_message
from dotflow.utils.masking import clean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dotflow.abc.facts import PlannedTask
    from dotflow.otel.spans.readable import Said

Attributes = dict[str, Any]

NULL = "null"
COMPLETED, FAILED = names.TASK_STATUS_COMPLETED, names.TASK_STATUS_FAILED

INITIAL = names.TASK_CONTEXT_INITIAL, names.TASK_CONTEXT_INITIAL_TRUNCATED
PREVIOUS = names.TASK_CONTEXT_PREVIOUS, names.TASK_CONTEXT_PREVIOUS_TRUNCATED
CURRENT = names.TASK_CONTEXT_CURRENT, names.TASK_CONTEXT_CURRENT_TRUNCATED
"""The attributes of a context: its text, and whether that is cut."""

SHORTEST = len('[1,"a","b"],')
"""Characters of the shortest task of a plan."""


class StepSaid(NamedTuple):
    """What spans say of a step, the same in each task that it does."""

    name: str
    max_attempts: int
    timeout: float
    function: str
    file: str | None
    line: int | None
    context_limit: int

    @classmethod
    def of(cls, step: Any, name: str, context_limit: int) -> StepSaid:
        """What is to be said of a step (see `dotflow.abc.task.Step`), under a name."""
        function, file, line = step.source
        return cls(
            short(name), max(1, step.retry), float(step.timeout or 0), short(function),
            None if file is None else cut(file, PATH_LIMIT), line, context_limit,
        )  # fmt: skip


class ErrorSaid(NamedTuple):
    """A failed attempt, as it may be shown: see `dotflow.abc.task.Failure`."""

    attempt: int | None
    exception: str
    message: str
    traceback: str
    error_type: str

    @classmethod
    def of(cls, text: str) -> ErrorSaid:
        """What `Texts.of_error` made of a failure."""
        found = json.loads(text)
        return cls(
            found.get("attempt"), *(clean(str(found.get(one) or "")) for one in cls._fields[1:])
        )

    def summary(self) -> str:
        """Class and message, as the status of a span has them."""
        return cut(class_and_message(self.exception, self.message), MESSAGE_LIMIT)

    def attributes(self) -> dict[str, str]:
        """The attributes of an `exception` event."""
        # For a failure that the engine names itself (a timeout) `error_type` is no class.
        is_class = self.error_type.endswith(self.exception)
        return {
            names.EXCEPTION_TYPE: short(self.error_type if is_class else self.exception),
            names.EXCEPTION_MESSAGE: cut(self.message, MESSAGE_LIMIT),
            names.EXCEPTION_STACKTRACE: cut_start(self.traceback, STACKTRACE_LIMIT),
        }


def type_of(error: str) -> str:
    """The type of an error, by the text that `Texts.of_error` made of it."""
    return ErrorSaid.of(error).error_type


class WorkerSaid(NamedTuple):
    """What the span of a task says of the worker that ran it.

    Attributes:
        host: The name of its machine; empty as long as it is not known.
        process: The number of its process there.
        waited: Seconds that the task waited for it.
    """

    host: str
    process: int
    waited: float

    @classmethod
    def of(cls, place: Any, began_ns: int) -> WorkerSaid:
        """What is to be said of a place (see `dotflow.abc.executor.Place`)."""
        waited = max(0, began_ns - place.submitted_ns) / 1e9
        return cls(short(str(place.host)), int(place.process), waited)

    def attributes(self) -> Attributes:
        """The same as attributes."""
        found: Attributes = {names.TASK_QUEUE_DURATION: self.waited}
        if self.host:
            found[names.HOST_NAME], found[names.PROCESS_PID] = self.host, self.process
        return found


def tell_end(span: Span, said: Said) -> None:
    """Say on a span of any provider how it ended."""
    told = said.event()
    if told is not None:
        span.add_event(names.EVENT_EXCEPTION, told[0], timestamp=told[1])
    if not span.is_recording():
        return
    span.set_attributes(said.at_end())
    failed = said.failed()
    if failed is not None:
        span.set_status(Status(StatusCode.ERROR, failed))


def workflow_attributes(
    workflow: str, mode: str | None, name: str | None, plan: Sequence[PlannedTask],
    is_reported: bool,
) -> Attributes:  # fmt: skip
    """What is known of a workflow when it begins.

    Args:
        workflow: Its id.
        mode: How it runs.
        name: The name that it was given.
        plan: Its tasks; said where nobody else tells a dotflow-api of them, and there is room.
        is_reported: Whether its server tells a dotflow-api of it.
    """
    found: Attributes = {
        names.WORKFLOW_ID: short(workflow),
        names.WORKFLOW_TASK_COUNT: len(plan),
    }
    if mode:
        found[names.WORKFLOW_MODE] = mode
    if name:
        found[names.WORKFLOW_NAME] = short(name)
    if is_reported:
        found[names.REPORTED] = True
    elif 0 < len(plan) < PLAN_LIMIT // SHORTEST:
        text = json.dumps(plan, separators=(",", ":"))
        if len(text) <= PLAN_LIMIT:
            found[names.WORKFLOW_PLAN] = text
    return found


class FailedTask(NamedTuple):
    """The first task of a run, or of a part of it, that failed."""

    task_id: int
    name: str
    error: str


def tell_end_of_workflow(
    span: Span, status: str, duration: float | None, task: FailedTask | None, error: str | None
) -> None:
    """The outcome of a workflow.

    Args:
        span: Its span.
        status: How it ended.
        duration: Seconds; None where nobody knows.
        task: The first task that failed.
        error: What ended the run where it was no task (JSON).
    """
    if not span.is_recording():
        return
    span.set_attribute(names.WORKFLOW_STATUS, status)
    if duration is not None:
        span.set_attribute(names.WORKFLOW_DURATION, duration)
    if status != FAILED:
        return
    if task is not None:
        fail_by(span, task)
    elif error is not None:
        said = ErrorSaid.of(error)
        _fail(span, said.summary(), said.error_type)
    else:
        _fail(span, "the run ended before its tasks did", names.ERROR_TYPE_OTHER)


def fail_by(span: Span, task: FailedTask) -> None:
    """Have the span of a run, or of a part of it, fail by a task that failed."""
    error = ErrorSaid.of(task.error)
    message = f"task {task.task_id} ({task.name}) failed: {error.summary()}"
    _fail(span, message, error.error_type)


def _fail(span: Span, message: str, error_type: str) -> None:
    span.set_status(Status(StatusCode.ERROR, cut(message, MESSAGE_LIMIT)))
    span.set_attribute(names.ERROR_TYPE, short(error_type))
