"""The body of each call to dotflow-api."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dotflow.core.types import TypeStatus, WorkflowStatus
from dotflow.delivery.message import Kind, Message, new_id
from dotflow.delivery.strict_json import EXCEEDED, MAX_SIZE, to_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dotflow.abc.facts import PlannedTask
    from dotflow.abc.task import Failure, TaskView

MAX_BODY = MAX_SIZE
"""Bytes that a body may have: below what dotflow-api takes, with room for headers."""

MAX_ERROR_TEXT = 2**16
"""Characters of an error's message, and of its traceback, that are sent."""

MAX_ERRORS = MAX_BODY // 4
"""Bytes that a task's errors may have together; the last ones are kept."""

RUNNING = frozenset({TypeStatus.IN_PROGRESS, TypeStatus.RETRY, WorkflowStatus.IN_PROGRESS})
ENDED = frozenset({TypeStatus.COMPLETED, TypeStatus.FAILED})
"""Statuses of tasks and of workflows; what they share they call the same."""

CONTEXTS = ("initial_context", "previous_context", "current_context")
PLAN = "tasks"


def workflow_post(workflow: str, **fields: Any) -> Message:
    """A workflow that was created, or that begins; fields that are None are left out."""
    return _of_workflow(Kind.WORKFLOW_POST, workflow, {"id": workflow, **fields})


def workflow_open(workflow: str, **fields: Any) -> Message:
    """The start of a run whose id came from outside; fields that are None are left out."""
    return _of_workflow(Kind.WORKFLOW_OPEN, workflow, fields)


def as_post(message: Message) -> Message:
    """The POST that makes the record which a WORKFLOW_OPEN would have changed."""
    post = workflow_post(message.workflow, **json.loads(message.body))
    return post.with_headers(message.headers)


def workflow_patch(workflow: str, **fields: Any) -> Message:
    """A change of a workflow; fields that are None are left out."""
    return _of_workflow(Kind.WORKFLOW_PATCH, workflow, fields)


def task_post(workflow: str, task: TaskView) -> Message:
    """A task that was added, or that begins."""
    fields = {
        "id": to_json(task.task_id),
        "name": to_json(task.step.name),
        "group_name": to_json(task.group_name),
        "status": to_json(task.status),
        "initial_context": to_json(task.initial_context),
    }
    return _of_task(Kind.TASK_POST, workflow, task, fields)


def task_patch(workflow: str, task: TaskView) -> Message:
    """A task as it is now: the seven fields, and no others."""
    fields = {
        "status": to_json(task.status),
        "duration": to_json(task.duration),
        "retry_count": to_json(task.retry_count),
        "errors": _errors(task.errors),
        "initial_context": to_json(task.initial_context),
        "current_context": to_json(task.current_context),
        "previous_context": to_json(task.previous_context),
    }
    return _of_task(Kind.TASK_PATCH, workflow, task, fields)


def plan(tasks: Sequence[PlannedTask]) -> list[dict[str, Any]]:
    """What a run is to do: its tasks, in order."""
    return [
        {"id": task.task_id, "name": task.name, "group_name": task.group_name} for task in tasks
    ]


def without_contexts(message: Message) -> Message:
    """The same report for a server that finds it too large: another message, with its own id.

    A workflow's plan goes as contexts do: without the workflow its tasks could not be reported.
    """
    fields = {name: to_json(value) for name, value in json.loads(message.body).items()}
    fields.update((name, EXCEEDED) for name in CONTEXTS if name in fields)
    fields.pop(PLAN, None)
    return replace(message, body=_object(fields), id=new_id())


def _of_workflow(kind: Kind, workflow: str, fields: dict[str, Any]) -> Message:
    status = fields.get("status")
    return Message(kind, workflow, None, _workflow_body(fields), status in ENDED, status in RUNNING)


def _of_task(kind: Kind, workflow: str, task: TaskView, fields: dict[str, bytes]) -> Message:
    return Message(
        kind, workflow, task.task_id, _task_body(fields),
        task.status in ENDED, task.status in RUNNING,
    )  # fmt: skip


def _workflow_body(values: dict[str, Any]) -> bytes:
    fields = {name: to_json(value) for name, value in values.items() if value is not None}
    body = _object(fields)
    if len(body) > MAX_BODY or fields.get(PLAN) == EXCEEDED:
        fields.pop(PLAN, None)
        body = _object(fields)
    return body


def _task_body(fields: dict[str, bytes]) -> bytes:
    """The object of the fields, its largest contexts replaced, one by one, until it fits."""
    body = _object(fields)
    for name in sorted(CONTEXTS, key=lambda one: len(fields.get(one, b"")), reverse=True):
        if len(body) <= MAX_BODY:
            break
        if name in fields:
            fields[name] = EXCEEDED
            body = _object(fields)
    return body


def _object(fields: dict[str, bytes]) -> bytes:
    return (
        b"{" + b",".join(b'"%b":%b' % (name.encode(), one) for name, one in fields.items()) + b"}"
    )


def _errors(errors: Sequence[Failure]) -> bytes:
    """The list of the errors, the last ones where all are too many."""
    kept: list[bytes] = []
    room = MAX_ERRORS
    for error in reversed(errors):
        item = to_json(_error(error))
        room -= len(item) + 1
        if room < 0 and kept:
            break
        kept.append(item)
    return b"[" + b",".join(reversed(kept)) + b"]"


def _error(error: Failure) -> dict[str, Any]:
    return {
        "attempt": error.attempt,
        "exception": error.exception,
        "message": _cut(error.message),
        "traceback": _cut(error.traceback),
    }


def _cut(text: str) -> str:
    return text if len(text) <= MAX_ERROR_TEXT else f"{text[:MAX_ERROR_TEXT]} [cut]"
