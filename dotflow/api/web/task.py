"""The page of a task: when it ran, what went wrong, what went in and what came out."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from fastapi import Request, Response

from dotflow.api.errors import NotFoundError
from dotflow.api.reading import Row, Run, TaskRow
from dotflow.api.web.links import Links
from dotflow.api.web.page import TaskId, WorkflowId, pages, reading, show
from dotflow.api.web.words import shown
from dotflow.utils.trace_link import trace_link
from dotflow.waterfall.texts import whole

FIELDS: Mapping[str, str] = {
    "current_context": "what the task returned",
    "previous_context": "what the task before returned",
    "initial_context": "what the task was added with",
}
ERRORS = 20
"""Errors that are shown, the last ones."""

SHOWN = 20_000
"""Characters of a text that are shown; all of it has an address of its own."""

FOLDED = 12
"""Lines from which on a context is folded."""

PARSED = 1_000_000
"""Characters up to which a context is set out for people."""

router = pages()


class Text(NamedTuple):
    """A text from outside, as far as it is shown."""

    text: str
    lines: int
    is_cut: bool


class Attempt(NamedTuple):
    """An attempt, and where it lies in the time that the task took, in hundredths."""

    number: int
    began: datetime
    ended: datetime | None
    error: Mapping[str, Any] | None
    left: float
    width: float


@router.get("/runs/{workflow_id}/tasks/{task_id}")
def show_task(workflow_id: WorkflowId, task_id: TaskId, request: Request) -> Response:
    """Show a task."""
    read = reading(request)
    run = read.run(workflow_id)
    task, row = _find(request, run, task_id)
    before, after = read.neighbours(run.id, task_id)
    errors = (task.errors or []) if task else []
    trace_id = (task and task.trace_id) or run.trace_id
    return show(
        request,
        "task.html",
        title=f"{shown(row.name)} · {row.status} · {shown(run.name)}",
        live=Links.of(request).events(run.id),
        run=run,
        row=row,
        task=task,
        goes_on=_goes_on(run, row),
        seconds=_seconds(task, row),
        before=before,
        after=after,
        errors=[(error, _errors_texts(error)) for error in reversed(errors[-ERRORS:])],
        earlier=max(0, len(errors) - ERRORS),
        attempts=_attempts(row, errors),
        contexts=_contexts(task),
        trace_id=trace_id,
        trace=trace_link(trace_id),
    )


@router.get("/runs/{workflow_id}/tasks/{task_id}/{field}")
def show_field(workflow_id: WorkflowId, task_id: TaskId, field: str, request: Request) -> Response:
    """Answer with all of a context or of the errors, as text."""
    task = reading(request).task(workflow_id, task_id)
    if field == "errors":
        text = json.dumps(task.errors, indent=2, ensure_ascii=False)
    elif field in FIELDS:
        text = _set_out((task.contexts or {}).get(field, "null"))
    else:
        raise NotFoundError("page", task_id)
    headers = {"Cache-Control": "no-store"}
    content = text.encode("utf-8", "replace")
    return Response(content, headers=headers, media_type="text/plain; charset=utf-8")


def _find(request: Request, run: Run, task_id: int) -> tuple[TaskRow | None, Row]:
    """Gives a task as it was reported, if it was, and as the waterfall has it."""
    rows = reading(request).rows(run.id, task_id - 1, 1).items
    if not rows or rows[0].task_id != task_id:
        raise NotFoundError("task", task_id)
    try:
        return reading(request).task(run.id, task_id), rows[0]
    except NotFoundError:
        return None, rows[0]  # it is only planned


def _goes_on(run: Run, row: Row) -> bool:
    is_open = row.finished_at is None and row.status in ("In progress", "Retry", "Paused")
    return is_open and run.status == "In progress"


def _seconds(task: TaskRow | None, row: Row) -> float | None:
    if row.started_at and row.finished_at:
        return (row.finished_at - row.started_at).total_seconds()
    return task.duration if task else None


def _attempts(row: Row, errors: list[dict[str, Any]]) -> list[Attempt]:
    if not row.attempts:
        return []
    # The last twenty are known, whatever their number.
    first = max(row.retry_count + 1, len(row.attempts)) - len(row.attempts) + 1
    by_number = {error.get("attempt"): error for error in errors}
    if row.status == "Failed" and None in by_number:  # what failed the task: the last attempt's
        by_number.setdefault(first + len(row.attempts) - 1, by_number[None])
    start = min(began for began, _ in row.attempts)
    moments = [moment for attempt in row.attempts for moment in attempt if moment]
    end = max([*moments, row.finished_at or start])
    span = (end - start).total_seconds() or 1.0
    found = []
    for number, (began, ended) in enumerate(row.attempts, first):
        left = 100 * (began - start).total_seconds() / span
        width = max(0.5, 100 * ((ended or end) - began).total_seconds() / span)
        left, width = round(min(left, 99.5), 2), round(width, 2)
        found.append(Attempt(number, began, ended, by_number.get(number), left, width))
    return found


def _errors_texts(error: Mapping[str, Any]) -> dict[str, Text]:
    return {name: _text(str(error.get(name) or "")) for name in ("message", "traceback")}


def _contexts(task: TaskRow | None) -> list[tuple[str, str, Text | None]]:
    """Gives each context with its name, what it is, and its text; None for one that is null."""
    given = (task.contexts if task else None) or {}
    return [
        (
            name,
            words,
            None if (text := given.get(name, "null")) == "null" else _text(_set_out(text)),
        )
        for name, words in FIELDS.items()
        if task
    ]


def _set_out(text: str) -> str:
    """Gives JSON text as people like to read it; one that is too large as it is."""
    if len(text) > PARSED:
        return text
    try:
        value = json.loads(text)
        return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text


def _text(text: str) -> Text:
    seen = whole(text[:SHOWN])
    return Text(seen, seen.count("\n") + 1, len(text) > SHOWN)
