"""Spans from the lines of a run log: what the live ones were, in another process or later."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.trace import ReadableSpan, SpanLimits

from dotflow.otel import attributes as names
from dotflow.otel.spans import fields
from dotflow.otel.spans.light import AttemptSaid, LightSpan, Shown, TaskSaid, shown
from dotflow.otel.spans.place import Place
from dotflow.otel.spans.record import (
    COMPLETED,
    StepSaid,
    WorkerSaid,
)
from dotflow.otel.spans.values import short
from dotflow.runlog import lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dotflow.runlog.reader import Fact

Ended = tuple[ReadableSpan, int]
"""A span, and the number of the line that ended it."""

_write = json.JSONEncoder(ensure_ascii=False).encode
_CONTROL = re.compile("[\u007f-\u009f\u2028\u2029]")


class PastSpans:
    """Makes the spans of one log from its lines, given in order; the pure half of a replay.

    A line of the kind "span" has a whole one: of the user's code, of a run, or one of a task that
    says more than follows from the facts. That of any other task follows from these.

    Args:
        reader: The key of the reader whose spans these are.
    """

    def __init__(self, reader: str) -> None:
        self._reader = reader
        self._limits = SpanLimits()
        self._whole: dict[str, ReadableSpan] = {}  # those that have not ended
        self._places: dict[str, Place] = {}
        self._tasks: dict[tuple[Any, Any], LightSpan] = {}  # by run and task
        self._attempts: dict[tuple[Any, Any], LightSpan] = {}
        self._texts: dict[Any, tuple[int, Shown]] = {}  # the last result of each run
        self.damaged = 0
        self.latest_ns = 0

    def take(self, fact: Fact) -> Ended | None:
        """Take the next line; return the span that it ends."""
        take = _TAKES.get(fact["f"])
        if take is None or (fact.get("to") or {}).get(self._reader) != "spans":
            return None
        try:
            self.latest_ns = max(self.latest_ns, fact.get("at") or 0)
            ended: Ended | None = take(self, fact)
        except Exception:  # noqa: BLE001 - one that is damaged costs no other
            self.damaged += 1
            return None
        return ended

    def unended(self, last_seen_ns: int) -> Iterator[Ended]:
        """Those that did not end, ended by the death of their process.

        In place of a number each has its id, negative.

        Args:
            last_seen_ns: When it last gave a sign of life.
        """
        last_seen_ns = max(last_seen_ns, self.latest_ns + 1)
        for span in [*self._attempts.values(), *self._tasks.values(), *self._whole.values()]:
            yield fields.killed(span, last_seen_ns), -span.context.span_id

    def has_unended(self) -> bool:
        """Whether there are spans that have not ended."""
        return bool(self._attempts or self._tasks or self._whole)

    # One method a kind of line.

    def _span(self, fact: Fact) -> Ended | None:
        span = fields.read(fact["said"])
        key = fact["said"]["context"][1]
        if span.end_time is None:
            self.latest_ns = max(self.latest_ns, span.start_time or 0)
            self._whole[key] = span
            return None
        self._whole.pop(key, None)
        self.latest_ns = max(self.latest_ns, span.end_time)
        for held in (self._tasks, self._attempts):
            # What a step put on the span of a task is said before the task's end.
            for place, light in list(held.items()):
                if f"{light.span_id:016x}" == key:
                    del held[place]
        return span, fact["n"]

    def _task_began(self, fact: Fact) -> None:
        if "in" not in fact:
            return
        previous = self._text(fact, "previous")
        if "previousof" in fact:
            number, text = self._texts.get(fact["r"], (0, None))
            previous = text if number == fact["previousof"] else None
        self._tasks[fact["r"], fact["t"]] = self._light(fact, fact["at"], previous)

    def _task_ended(self, fact: Fact) -> Ended | None:
        current = self._text(fact, "current")
        self._texts[fact["r"]] = fact["n"], current
        span = self._tasks.pop((fact["r"], fact["t"]), None)
        self._attempts.pop((fact["r"], fact["t"]), None)
        if span is None:
            return None
        said: Any = span.said
        said.current = current
        said.worker = _worker(fact) or said.worker
        said.duration, said.retry_count = fact["duration"], fact["retries"]
        self._fail(said, fact, is_here=said.step.max_attempts == 1)
        said.status = fact["status"]
        return self._ended(span, fact["at"], fact["n"])

    def _restored(self, fact: Fact) -> Ended | None:
        current = self._text(fact, "current")
        self._texts[fact["r"]] = fact["n"], current
        if "in" not in fact:
            return None
        span = self._light(fact, fact["at"], self._text(fact, "previous"))
        said: Any = span.said
        said.current, said.restored, said.status = current, True, COMPLETED
        return self._ended(span, fact["at"] + 1, fact["n"])

    @staticmethod
    def _ended(span: LightSpan, at_ns: int, n: int) -> Ended:
        said: Any = span.said
        said.n = n
        span.end(at_ns)
        return span, n

    def _attempt_began(self, fact: Fact) -> None:
        task = self._tasks.get((fact["r"], fact["t"]))
        if task is not None and "span" in fact:
            said = AttemptSaid(fact["attempt"], lines.OTEL in fact["to"].values())
            self._attempts[fact["r"], fact["t"]] = LightSpan(
                task.place.below(task.context),
                int(fact["span"], 16),
                names.SPAN_ATTEMPT,
                fact["at"],
                said,
            )

    def _attempt_ended(self, fact: Fact) -> Ended | None:
        span = self._attempts.pop((fact["r"], fact["t"]), None)
        if span is None:
            return None
        self._fail(span.said, fact, is_here=True)
        return self._ended(span, fact["at"], fact["n"])

    # Parts of it.

    def _light(self, fact: Fact, at_ns: int, previous: Shown) -> LightSpan:
        step = StepSaid(short(fact["name"]), *fact["step"])
        said = TaskSaid(
            short(fact["w"]), step, fact["t"], fact["group"], fact["n"],
            self._text(fact, "initial"), previous, lines.OTEL in fact["to"].values(),
        )  # fmt: skip
        said.worker = _worker(fact)
        return LightSpan(self._place(fact["in"]), int(fact["span"], 16), step.name, at_ns, said)

    def _place(self, parent: str) -> Place:
        place = self._places.get(parent)
        if place is None:
            span = self._whole[parent]
            place = self._places[parent] = Place(
                span.context, span.resource, span.instrumentation_scope, self._limits, _NOBODY
            )
        return place

    @staticmethod
    def _text(fact: Fact, role: str) -> Shown:
        found = fact.get(f"cut_{role}")
        if found is not None:
            return found[0], found[1]
        value = fact.get(role)
        if value is None:
            return None
        text = _CONTROL.sub(_escaped, _write(value))
        return shown(text, fact["step"][-1]) if "step" in fact else text

    @staticmethod
    def _fail(said: Any, fact: Fact, is_here: bool) -> None:
        error = fact.get("error")
        if error is not None:
            said.error = _write(error)
            if is_here and fact.get("event", True):
                said.error_at = fact["at"]


def _worker(fact: Fact) -> WorkerSaid | None:
    return WorkerSaid(*fact["worker"]) if "worker" in fact else None


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


class _Nobody:
    """Nobody is handed one that ended: whoever makes it has it."""

    are_light = True
    puts: tuple[Callable[[Any, int, int], None], ...] = ()

    def on_end_of_changed(self, span: LightSpan) -> None:
        """Do nothing."""


_NOBODY = _Nobody()

_TAKES: dict[str, Any] = {
    lines.SPAN: PastSpans._span,
    lines.TASK_BEGAN: PastSpans._task_began,
    lines.TASK_ENDED: PastSpans._task_ended,
    lines.RESTORED: PastSpans._restored,
    lines.ATTEMPT_BEGAN: PastSpans._attempt_began,
    lines.ATTEMPT_ENDED: PastSpans._attempt_ended,
}
