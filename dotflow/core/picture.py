"""How a notebook shows a task, a workflow and a run: small waterfalls."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from dotflow.core.dates import nanoseconds_of
from dotflow.core.types import TypeStatus, WorkflowStatus
from dotflow.utils.masking import masked_by_default
from dotflow.waterfall.bars import TASK, WORKFLOW, Bar
from dotflow.waterfall.html import to_html
from dotflow.waterfall.rows import by_group

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from dotflow.abc.run import RunView
    from dotflow.abc.task import TaskView

ENDED = (TypeStatus.COMPLETED, TypeStatus.FAILED)

_masked = lru_cache(maxsize=1024)(masked_by_default)


def of_task(task: TaskView) -> str:
    """One task, as it is now."""
    return to_html([_bar(task, 0)], title=_masked(f"task {task.task_id}: {task.step.name}"))


def of_workflow(name: str, workflow_id: object, tasks: Sequence[TaskView]) -> str:
    """The tasks of a workflow, as they are now, by group."""
    begins = [task.started_ns for task in tasks if task.started_ns is not None]
    status = _status_of(tasks)
    ends = [task.finished_ns for task in tasks if task.finished_ns is not None]
    is_over = status in ENDED and bool(ends)
    bar = Bar(_masked(name), WORKFLOW, 0, min(begins, default=0),
              max(ends) if is_over else None, status)  # fmt: skip
    return _picture(bar, tasks, f"workflow {name} ({workflow_id})")


def of_run(run: RunView, started: datetime, tasks: Sequence[TaskView]) -> str:
    """A run and its tasks, as they are now, by group."""
    began = nanoseconds_of(started) or 0
    ended = None if run.duration is None else began + int(run.duration * 1e9)
    note = run.error.exception if run.error is not None else ""
    name = run.workflow_name or "workflow"
    bar = Bar(_masked(name), WORKFLOW, 0, began, ended, run.status, note=_masked(note))
    return _picture(bar, tasks, f"{name} ({run.workflow_id}): {run.status}")


def _picture(above: Bar, tasks: Sequence[TaskView], title: str) -> str:
    below = [_bar(task, 1) for task in tasks]
    return to_html(by_group([above, *below]), title=_masked(title))


def _bar(task: TaskView, depth: int) -> Bar:
    is_over = task.status in ENDED
    ended = task.finished_ns if is_over else None
    return Bar(_masked(str(task.step.name)), TASK, depth, task.started_ns or 0, ended, task.status,
               _masked(str(task.group_name)), _masked(_note(task)), task.task_id)  # fmt: skip


def _note(task: TaskView) -> str:
    said = [task.errors[-1].exception] if task.errors else []
    if task.retry_count:
        said.append(f"{task.retry_count + 1} attempts")
    return ", ".join([*said, "restored"] if task.restored else said)


def _status_of(tasks: Sequence[TaskView]) -> str:
    """What has become of a workflow, as far as its tasks say."""
    found = {task.status for task in tasks}
    if found <= {TypeStatus.NOT_STARTED}:
        return WorkflowStatus.NEW
    if TypeStatus.FAILED in found:
        return WorkflowStatus.FAILED
    return (
        WorkflowStatus.COMPLETED if found == {TypeStatus.COMPLETED} else WorkflowStatus.IN_PROGRESS
    )
