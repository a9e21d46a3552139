"""Traces of runs: the spans of a run of this machine, and the bars of spans from anywhere."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.resources import SERVICE_NAME

from dotflow.core.types import TypeStatus, WorkflowStatus
from dotflow.history.drawing import errors_by_attempt
from dotflow.otel import attributes as names
from dotflow.otel.ids import trace_id_of
from dotflow.otel.spans.values import CONTEXT_LIMIT, MESSAGE_LIMIT, STACKTRACE_LIMIT, cut, cut_start
from dotflow.utils.error_handler import class_and_message
from dotflow.waterfall import bars as kinds
from dotflow.waterfall.bars import Bar
from dotflow.waterfall.spans import ERROR, SERVER, UNSET, Event, Link, Span, children_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from dotflow.delivery.fold.records import TaskRecord
    from dotflow.history.drawing import Said
    from dotflow.history.runs import LocalRun

MARKERS = frozenset({
    names.SPAN_WORKFLOW_STARTED, names.SPAN_PART_STARTED, names.SPAN_TASK_STARTED,
})  # fmt: skip
"""Tiny spans that say that another one has begun."""

DEEPEST = 100


# The spans of a run of this machine.


def spans_of(run: LocalRun, said: Mapping[str, Said], now: int) -> list[Span]:
    """The spans of a run, in one trace: as they were reported, where they were.

    Args:
        run: The run.
        said: What only spans say, by their ids: theirs, and those of the user's code.
        now: When what goes on is taken to end, in nanoseconds since 1970.
    """
    return _Spans(run, said, now).all()


class _Spans:
    def __init__(self, run: LocalRun, said: Mapping[str, Said], now: int) -> None:
        self._run = run
        self._said = said
        self._now = now
        self._trace = run.trace_id or f"{trace_id_of(run.workflow):032x}"
        self._root = run.span or self._id(0, 0)
        root = said.get(self._root, {})
        self._resource = dict((root.get("resource") or [{}])[0]) or {SERVICE_NAME: "dotflow"}

    def all(self) -> list[Span]:
        found = {self._root: self._of_run()}
        for task in self._run.all_tasks():
            if task.began_at is not None:
                found |= {span.span_id: span for span in self._of_task(task)}
        for span in self._below(found):
            found.setdefault(span.span_id, span)
        return list(found.values())

    def _id(self, task: int, attempt: int) -> str:
        """An id where none was reported: the same whenever it is asked for."""
        run = self._run
        text = f"{run.log}/{run.number}/{task}/{attempt}"
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    def _of_run(self) -> Span:
        run = self._run
        is_failed = run.status == WorkflowStatus.FAILED
        known = {
            names.WORKFLOW_ID: run.workflow, names.WORKFLOW_NAME: run.name,
            names.WORKFLOW_MODE: run.mode, names.WORKFLOW_STATUS: run.status,
            names.WORKFLOW_DURATION: run.duration,
            names.WORKFLOW_TASK_COUNT: len(run.all_tasks()),
        }  # fmt: skip
        span = self._span(
            self._root, "", run.name or names.SPAN_WORKFLOW, run.began_at or run.last_at,
            run.ended_at, known,
        )  # fmt: skip
        span.kind, span.outcome = SERVER, ERROR if is_failed else UNSET
        if isinstance(run.error, dict):
            self._fail(span, run.error, run.ended_at, names.EVENT_EXCEPTION)
        return self._as_reported(span)

    def _of_task(self, task: TaskRecord) -> Iterator[Span]:
        span_id = task.span or self._id(task.task, 0)
        known: dict[str, Any] = {
            names.WORKFLOW_ID: self._run.workflow, names.TASK_ID: task.task,
            names.TASK_NAME: task.name, names.TASK_GROUP: task.group,
            names.TASK_STATUS: task.status, names.TASK_RETRY_COUNT: task.retries,
            names.TASK_DURATION: task.duration,
            names.TASK_CONTEXT_INITIAL: _text(task.initial),
            names.TASK_CONTEXT_PREVIOUS: _text(task.previous),
            names.TASK_CONTEXT_CURRENT: _text(task.current),
        }  # fmt: skip
        span = self._span(span_id, self._root, task.name, task.began_at or 0, task.ended_at, known)
        errors = [one for one in task.errors.values() if isinstance(one, dict)]
        if task.status == TypeStatus.FAILED and errors:
            event = "" if task.attempts else names.EVENT_EXCEPTION
            self._fail(span, errors[-1], task.ended_at, event)
        yield self._as_reported(span)
        of = errors_by_attempt(task)
        for number, (start, end) in sorted(task.attempts.items()):
            attempt = self._span(
                self._run.attempt_spans.get((task.task, number)) or self._id(task.task, number),
                span_id, names.SPAN_ATTEMPT, start or task.began_at or 0, end or task.ended_at,
                {names.ATTEMPT_NUMBER: number},
            )  # fmt: skip
            if number in of:
                self._fail(attempt, of[number], end, names.EVENT_EXCEPTION)
            yield self._as_reported(attempt)

    def _span(
        self, span: str, parent: str, name: str, start: int, end: int | None, known: dict[str, Any]
    ) -> Span:
        return Span(
            self._trace, span, parent, name, start, max(start, self._now if end is None else end),
            attributes={key: one for key, one in known.items() if one is not None},
            resource=self._resource, scope=(names.SCOPE, ""),
        )  # fmt: skip

    @staticmethod
    def _fail(span: Span, error: dict[str, Any], at: int | None, event: str) -> None:
        kind, message = str(error.get("exception") or ""), str(error.get("message") or "")
        span.outcome = ERROR
        span.message = cut(class_and_message(kind, message), MESSAGE_LIMIT)
        span.attributes = {**span.attributes, names.ERROR_TYPE: error.get("error_type") or kind}
        if event:
            said = {
                names.EXCEPTION_TYPE: kind, names.EXCEPTION_MESSAGE: cut(message, MESSAGE_LIMIT),
                names.EXCEPTION_STACKTRACE:
                    cut_start(str(error.get("traceback") or ""), STACKTRACE_LIMIT),
            }  # fmt: skip
            span.events.append(Event(event, at or span.end, said))

    def _as_reported(self, span: Span) -> Span:
        """The span as it was reported, where it was written down whole; else as facts tell."""
        said = self._said.get(span.span_id)
        if said is None or said.get("end") is None:
            return span
        whole = self._read(said)
        whole.parent_id = span.parent_id or whole.parent_id
        return whole

    def _read(self, said: Said) -> Span:
        code, message = said.get("status") or ("UNSET", None)
        parent, scope = said.get("parent"), said.get("scope")
        return Span(
            self._trace, str(said["context"][1]), str(parent[1]) if parent else "",
            str(said["name"]), int(said["start"]), int(said["end"]), _KINDS.get(said["kind"], 1),
            said["attributes"], [Event(*one[:3]) for one in said.get("events", ())],
            [Link(one[0][0], one[0][1], one[1]) for one in said.get("links", ())],
            _OUTCOMES.get(code, UNSET), message or "", self._resource,
            (scope[0], scope[1] or "") if scope else ("", ""),
        )  # fmt: skip

    def _below(self, known: Iterable[str]) -> Iterator[Span]:
        """The spans of the user's code that are within spans of the run."""
        children: dict[str, list[Said]] = {}
        for said in self._said.values():
            if said.get("parent") and said.get("end") is not None:
                children.setdefault(str(said["parent"][1]), []).append(said)
        waiting = list(known)
        while waiting:
            for said in children.pop(waiting.pop(), ()):
                yield self._read(said)
                waiting.append(str(said["context"][1]))


_KINDS = {"INTERNAL": 1, "SERVER": 2, "CLIENT": 3, "PRODUCER": 4, "CONSUMER": 5}
_OUTCOMES = {"UNSET": 0, "OK": 1, "ERROR": 2}


def _text(context: Any) -> str | None:
    if context is None:
        return None
    return json.dumps(context, ensure_ascii=False)[:CONTEXT_LIMIT]


# The bars of spans.


def bars_of_spans(spans: list[Span]) -> list[Bar]:
    """The bars of one trace; workflows, tasks and attempts are known by what they say."""
    children = children_of([span for span in spans if not _is_marker(span)])
    found: list[Bar] = []
    waiting = [(span, 0, None) for span in reversed(children.get("", []))]
    stack: list[tuple[Span, int, int | None]] = list(waiting)
    while stack:
        span, depth, task = stack.pop()
        bar = _bar(span, depth, task)
        found.append(bar)
        below = children.pop(span.span_id, [])
        deeper = min(depth + 1, DEEPEST)
        stack += [(child, deeper, bar.task) for child in reversed(below)]
    return found


def _is_marker(span: Span) -> bool:
    return span.name in MARKERS and span.scope[0] == names.SCOPE


def _bar(span: Span, depth: int, task: int | None) -> Bar:
    said = span.attributes
    kind, name = kinds.SPAN, span.name
    if names.ATTEMPT_NUMBER in said:
        kind, name = kinds.ATTEMPT, f"{span.name} {said[names.ATTEMPT_NUMBER]}"
    elif names.TASK_ID in said:
        kind, task = kinds.TASK, _whole(said[names.TASK_ID])
    elif names.WORKFLOW_TASK_COUNT in said or names.WORKFLOW_PART in said:
        kind = kinds.WORKFLOW
    is_failed = span.outcome == ERROR
    status = str(said.get(names.TASK_STATUS) or said.get(names.WORKFLOW_STATUS) or "")
    if not status and (is_failed or kind == kinds.ATTEMPT):
        status = TypeStatus.FAILED if is_failed else TypeStatus.COMPLETED
    group = str(said.get(names.TASK_GROUP) or "") if kind == kinds.TASK else ""
    return Bar(
        name, kind, depth, span.start, span.end, status, "" if group == "default" else group,
        _note(span) if is_failed else "", task,
    )  # fmt: skip


def _whole(number: Any) -> int | None:
    try:
        return int(number)
    except (TypeError, ValueError):
        return None


def _note(span: Span) -> str:
    """What failed it: the class is enough here."""
    kind = str(span.attributes.get(names.ERROR_TYPE) or "").rpartition(".")[2]
    return kind or span.message.partition("\n")[0]
