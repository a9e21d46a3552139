"""Writes records as programs get them. What is kept as JSON text goes out as it is, unread."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import Response
from pydantic_core import to_json

from dotflow.api.records import Opening, Page, Run, TaskRow


def answer(content: bytes, status: int = 200) -> Response:
    """Gives the answer with this content, which is JSON.

    FastAPI would do the same, in one more hop to another thread.

    Args:
        content: The body.
        status: The HTTP status.
    """
    return Response(content, status, media_type="application/json")


def write_run(run: Run, openings: Sequence[Opening] | None = None) -> bytes:
    """Gives a workflow's record as JSON; without its plan, if that was not read.

    Args:
        run: It.
        openings: The runs that opened it, if they are wanted.
    """
    said: dict[str, Any] = {
        "id": run.id, "name": run.name, "mode": run.mode, "status": run.status,
        "trace_id": run.trace_id, "duration": run.duration, "started_at": run.started_at,
        "finished_at": run.finished_at, "created_at": run.created_at,
        "updated_at": run.updated_at, "planned": run.planned, "counts": run.counts,
        "opened": run.opened,
    }  # fmt: skip
    if openings is not None:
        said["openings"] = openings
    return _write_object(said, {} if run.plan is None else {"tasks": run.plan})


def write_task(task: TaskRow) -> bytes:
    """Gives a task's record as JSON; without its errors and contexts, if they were not read.

    Args:
        task: It.
    """
    said = {
        "id": task.server_id, "task_id": task.task_id, "workflow_id": task.workflow_id,
        "name": task.name, "group_name": task.group, "status": task.status,
        "duration": task.duration, "retry_count": task.retry_count,
        "started_at": task.started_at, "finished_at": task.finished_at,
        "attempts": task.attempts, "created_at": task.created_at, "updated_at": task.updated_at,
    }  # fmt: skip
    if task.errors is not None:
        said["errors"] = task.errors
    return _write_object(said, task.contexts or {})


def write_page(name: str, records: Sequence[bytes], page: Page[Any, Any], **more: Any) -> bytes:
    """Gives a page of records as JSON.

    Args:
        name: What the records are called.
        records: They, as JSON.
        page: What they were read as.
        more: What is said beside them.
    """
    return b'{"%b":[%b],%b' % (
        name.encode(), b",".join(records), to_json({"next": page.next, **more})[1:],
    )  # fmt: skip


def _write_object(said: Mapping[str, Any], kept: Mapping[str, str]) -> bytes:
    fields = b"".join(b',"%b":%b' % (name.encode(), text.encode()) for name, text in kept.items())
    return to_json(said)[:-1] + fields + b"}"
