"""A run of this machine as the bars of a waterfall."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dotflow.core.types import TypeStatus
from dotflow.waterfall.bars import ATTEMPT, TASK, WORKFLOW, Bar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dotflow.delivery.records import TaskRecord
    from dotflow.history.runs import LocalRun

UNNAMED = "workflow"
"""What a run without a name is called."""

DEFAULT_GROUP = "default"


def bars_of(run: LocalRun) -> list[Bar]:
    """The bars of a run: its own, then its tasks, those of a group together.

    Groups are in the order of the plan, tasks in that in which they began; those that have not
    begun are last. A task with several attempts is followed by a bar for each.
    """
    name = run.name or UNNAMED
    note = _class_of(run.error)
    bars = [Bar(name, WORKFLOW, 0, run.began_at or 0, run.ended_at, run.status, note=note)]
    groups: dict[str, list[TaskRecord]] = {}
    for task in run.all_tasks():
        groups.setdefault(task.group, []).append(task)
    for tasks in groups.values():
        for task in sorted(tasks, key=lambda one: (one.began_at is None, one.began_at or 0)):
            bars += _of_task(task, run)
    return bars


def _of_task(task: TaskRecord, run: LocalRun) -> Iterator[Bar]:
    is_restored = task.ended and task.began_at == task.ended_at and task.duration is None
    note = "restored" if is_restored else _class_of(last_error(task))
    yield Bar(
        task.name, TASK, 1, task.began_at or 0, task.ended_at, task.status,
        "" if task.group == DEFAULT_GROUP else task.group, note, task.task,
    )  # fmt: skip
    if len(task.attempts) > 1:
        yield from _attempts(task, run)


def _attempts(task: TaskRecord, run: LocalRun) -> Iterator[Bar]:
    last = max(task.attempts)
    errors = {one.get("attempt"): one for one in task.errors.values() if isinstance(one, dict)}
    for number, (start, end) in sorted(task.attempts.items()):
        is_last = number == last
        ended = end if end is not None or not is_last else task.ended_at
        status = TypeStatus.FAILED
        if is_last:
            status = task.status if task.ended else TypeStatus.IN_PROGRESS
        note = _class_of(errors.get(number))
        yield Bar(
            f"attempt {number}", ATTEMPT, 2, start or task.began_at or run.began_at or 0, ended,
            status, note=note, task=task.task,
        )  # fmt: skip


def last_error(task: TaskRecord) -> Any:
    """What failed a task's last attempt; None where nothing did."""
    return task.errors[max(task.errors)] if task.errors else None


def _class_of(error: Any) -> str:
    return str(error.get("exception") or "") if isinstance(error, dict) else ""
