"""Light spans: begun and ended in a microsecond, whole when somebody looks at them.

A light span holds what happened to a task, or in an attempt. Its attributes, events and status are
made when they are read (see `readable`). What a step puts on it goes to a span of the SDK's own
that is made for it then, so that limits, dropped counts and the cleaning of values are the SDK's.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.trace import Status, StatusCode

from dotflow.otel import attributes as names
from dotflow.otel.spans.readable import Readable, begun, finish
from dotflow.otel.spans.record import (
    CURRENT,
    INITIAL,
    NULL,
    PREVIOUS,
    Attributes,
    ErrorSaid,
    StepSaid,
    WorkerSaid,
)
from dotflow.otel.spans.values import STACKTRACE_LIMIT, short
from dotflow.runlog.texts import cut as cut_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from opentelemetry.sdk import trace as sdk
    from opentelemetry.trace import SpanContext

    from dotflow.otel.spans.place import Place

Shown = tuple[str, bool] | str | None
"""A context's text: whole, or cut and whether it was, or None where there is no context."""

_logger = logging.getLogger("opentelemetry.sdk.trace")


class LightSpan(Readable, trace.Span):
    """A span of a task or an attempt; an internal one, with a parent in this process.

    Args:
        place: What it shares with its siblings.
        span_id: Its id.
        name: Its name.
        start_time: When it began, in nanoseconds since the epoch.
        said: What it says.
        links: The spans that it is linked to.

    Attributes:
        body: The SDK's span that it has become, because it says more, or other things, than follow
            from what happened; None until then.
    """

    __slots__ = ()

    def __init__(
        self,
        place: Place,
        span_id: int,
        name: str,
        start_time: int,
        said: Any,
        links: Sequence[trace.Link] = (),
    ) -> None:
        self.place = place
        self.span_id = span_id
        self._name = name
        self._start_time = start_time
        self._end_time = None
        self.said = said
        self._links = links
        self._context = None
        self.body = None

    def get_span_context(self) -> SpanContext:
        """Its ids."""
        return self.context

    # What a step, or whoever has it, does to it.

    def is_recording(self) -> bool:
        """Whether it has not ended."""
        return self._end_time is None

    def set_attribute(self, key: str, value: Any) -> None:
        """Set an attribute."""
        if self._may_change("set_attribute"):
            self.whole().set_attribute(key, value)

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Set attributes."""
        if self._may_change("set_attributes"):
            self.whole().set_attributes(attributes)

    def add_event(self, name: str, attributes: Any = None, timestamp: int | None = None) -> None:
        """Add an event."""
        if self._may_change("add_event"):
            self.whole().add_event(name, attributes, timestamp)

    def add_link(self, context: SpanContext, attributes: Any = None) -> None:
        """Add a link."""
        if self._may_change("add_link"):
            self.whole().add_link(context, attributes)

    def update_name(self, name: str) -> None:
        """Change the name."""
        if self._may_change("update_name"):
            self.whole().update_name(name)

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Set the status; that of the task goes before, unless this is OK."""
        if self._may_change("set_status"):
            self.whole().set_status(status, description)

    def record_exception(
        self,
        exception: BaseException,
        attributes: Any = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        """Add the event of an exception."""
        if self._may_change("record_exception"):
            self.whole().record_exception(exception, attributes, timestamp, escaped)

    def end(self, end_time: int | None = None) -> None:
        """End it, once; it leaves for the exporters."""
        if self._end_time is not None:
            _logger.warning("Calling end() on an ended span.")
            return
        self._end_time = time.time_ns() if end_time is None else end_time
        place = self.place
        if self.body is not None:
            finish(self, self.body)
            place.way.on_end_of_changed(self)
            return
        # The fact that ended it has written it down.
        for put in place.way.puts:
            put(self, self.said.n, place.run)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End it, with the exception that leaves the block."""
        if error is not None and self.is_recording():
            self.record_exception(error, escaped=True)
            self.set_status(Status(StatusCode.ERROR, f"{type(error).__name__}: {error}"))
        self.end()

    def _may_change(self, what: str) -> bool:
        if self._end_time is None:
            return True
        _logger.warning("Tried calling %s on an ended span.", what)
        return False

    # Its body.

    def whole(self) -> sdk.Span:
        """Make it a span of the SDK's own, where it is none yet, and return that."""
        if self.body is None:
            self.body = begun(self)
        return self.body


class TaskSaid:
    """What the span of a task says.

    Attributes:
        n: The number of the fact that ended it; 0 until then.
        began: The number of the fact that it began with.
        error: The text of the error that failed it (JSON), or None.
        error_at: When that was, where its exception is an event of this span.
        reason: Why it has no outcome of its own, where that is so.
        is_reported: Whether the run's server tells a dotflow-api of it.
        worker: Where it ran, if that was on an executor.
    """

    __slots__ = ("began", "current", "duration", "error", "error_at", "group", "initial",
                 "is_reported", "n", "previous", "reason", "restored", "retry_count", "status",
                 "step", "task_id", "worker", "workflow")  # fmt: skip

    def __init__(
        self, workflow: str, step: StepSaid, task_id: int, group: str, began: int,
        initial: Shown, previous: Shown, is_reported: bool = False,
    ) -> None:  # fmt: skip
        self.workflow = workflow
        self.step = step
        self.task_id = task_id
        self.group = group
        self.began = began
        self.initial = initial
        self.previous = previous
        self.n = 0
        self.status: str | None = None
        self.duration: float | None = None
        self.retry_count = 0
        self.restored = False
        self.current: Shown = None
        self.error: str | None = None
        self.error_at: int | None = None
        self.reason: str | None = None
        self.is_reported = is_reported
        self.worker: WorkerSaid | None = None

    def at_start(self) -> Attributes:
        """What is known of a task when it begins."""
        step = self.step
        found: Attributes = {
            names.WORKFLOW_ID: self.workflow,
            names.TASK_ID: self.task_id,
            names.TASK_NAME: step.name,
            names.TASK_GROUP: short(self.group),
            names.TASK_MAX_ATTEMPTS: step.max_attempts,
            names.CODE_FUNCTION_NAME: step.function,
        }
        if step.file is not None:
            found[names.CODE_FILE_PATH] = step.file
            found[names.CODE_LINE_NUMBER] = step.line
        if step.timeout:
            found[names.TASK_TIMEOUT] = step.timeout
        if self.worker is not None:
            found.update(self.worker.attributes())
        if self.is_reported:
            found[names.REPORTED] = True
        return found

    def at_end(self) -> Attributes:
        """The outcome of a task."""
        if self.reason is not None:
            return {names.TASK_STATUS: self.status or "", names.ERROR_TYPE: names.ERROR_TYPE_OTHER}
        found: Attributes = {
            names.TASK_STATUS: self.status or "",
            names.TASK_RETRY_COUNT: self.retry_count,
            names.TASK_RESTORED: self.restored,
        }
        if self.duration is not None:
            found[names.TASK_DURATION] = self.duration
        limit = self.step.context_limit
        _add_context(found, INITIAL, self.initial, limit)
        _add_context(found, PREVIOUS, self.previous, limit)
        _add_context(found, CURRENT, self.current, limit)
        if self.error is not None:
            found[names.ERROR_TYPE] = short(ErrorSaid.of(self.error).error_type)
        if self.worker is not None:
            found.update(self.worker.attributes())
        return found

    def event(self) -> tuple[dict[str, str], int | None] | None:
        """The exception that failed it; with attempts it is on the attempt's span."""
        if self.error is None or self.error_at is None:
            return None
        return ErrorSaid.of(self.error).attributes(), self.error_at

    def failed(self) -> str | None:
        """What failed it."""
        if self.reason is not None:
            return self.reason
        return None if self.error is None else ErrorSaid.of(self.error).summary()

    def length(self) -> int:
        """About how many characters it says in words of its own."""
        length = 0 if self.error is None else min(STACKTRACE_LIMIT, len(self.error))
        for one in (self.initial, self.previous, self.current):
            if one is not None:
                length += len(one) if type(one) is str else len(one[0])
        return length


class AttemptSaid:
    """What the span of an attempt says.

    Attributes:
        n: The number of the fact that ended it; 0 until then.
        error: The text of the error that it failed with (JSON), or None.
        error_at: When that was, where its exception is an event of this span.
        is_reported: Whether the run's server tells a dotflow-api of it.
    """

    __slots__ = ("error", "error_at", "is_reported", "n", "number")

    def __init__(self, number: int, is_reported: bool = False) -> None:
        self.number = number
        self.is_reported = is_reported
        self.n = 0
        self.error: str | None = None
        self.error_at: int | None = None

    def at_start(self) -> Attributes:
        """Which attempt it is."""
        found: Attributes = {names.ATTEMPT_NUMBER: self.number}
        if self.is_reported:
            found[names.REPORTED] = True
        return found

    def at_end(self) -> Attributes:
        """What failed it."""
        if self.error is None:
            return {}
        return {names.ERROR_TYPE: short(ErrorSaid.of(self.error).error_type)}

    def event(self) -> tuple[dict[str, str], int | None] | None:
        """The exception that failed it."""
        if self.error is None or self.error_at is None:
            return None
        return ErrorSaid.of(self.error).attributes(), self.error_at

    def failed(self) -> str | None:
        """What failed it."""
        return None if self.error is None else ErrorSaid.of(self.error).summary()

    def length(self) -> int:
        """About how many characters it says in words of its own."""
        return min(STACKTRACE_LIMIT, len(self.error or ""))


def _add_context(found: Attributes, role: tuple[str, str], shown: Shown, limit: int) -> None:
    if shown is None:
        return
    text, is_cut = shown if isinstance(shown, tuple) else cut_json(shown, limit)
    found[role[0]] = text
    if is_cut:
        found[role[1]] = True


def shown(text: str, limit: int) -> Shown:
    """A context's text as it is held until its span leaves: a long one is cut at once."""
    if text == NULL:
        return None
    return text if len(text) <= limit else cut_json(text, limit)
