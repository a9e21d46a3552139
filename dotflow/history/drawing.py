"""A run of this machine as the bars of a waterfall."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dotflow.core.types import TypeStatus
from dotflow.waterfall.bars import ATTEMPT, SPAN, TASK, WORKFLOW, Bar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dotflow.delivery.fold.records import TaskRecord
    from dotflow.history.runs import LocalRun

UNNAMED = "workflow"
"""What a run without a name is called."""

DEFAULT_GROUP = "default"

DEEPEST = 100
"""How deep spans are drawn that are within each other."""

Said = Mapping[str, Any]
"""A span as the run log has it (see `dotflow.otel.spans.fields`)."""


def bars_of(run: LocalRun, spans: Mapping[str, Said] | None = None) -> list[Bar]:
    """The bars of a run: its own, then its tasks, those of a group together.

    Groups are in the order of the plan, tasks in that in which they began; those that have not
    begun are last. A task with several attempts is followed by a bar for each.

    Args:
        run: The run.
        spans: What only spans say, by their ids: those that the user's code began within a task
            are below it.
    """
    name = run.name or UNNAMED
    note = _class_of(run.error)
    bars = [Bar(name, WORKFLOW, 0, run.began_at or 0, run.ended_at, run.status, note=note)]
    within = _Within(spans or {})
    within.forget([*run.attempt_spans.values(), *(task.span for task in run.tasks.values())])
    groups: dict[str, list[TaskRecord]] = {}
    for task in run.all_tasks():
        groups.setdefault(task.group, []).append(task)
    for tasks in groups.values():
        for task in sorted(tasks, key=lambda one: (one.began_at is None, one.began_at or 0)):
            bars += _of_task(task, run, within)
    return bars


class _Within:
    """The spans of the user's code, by what they are within."""

    def __init__(self, spans: Mapping[str, Said]) -> None:
        self._children: dict[str, list[Said]] = {}
        for said in spans.values():
            if said.get("parent") is not None and said.get("end") is not None:
                self._children.setdefault(str(said["parent"][1]), []).append(said)

    def bars(self, parent: str, depth: int, task: int) -> Iterator[Bar]:
        """The bars of what is within a span.

        Args:
            parent: The span's id.
            depth: How deep they lie.
            task: The task's number.
        """
        # Each is taken out: who is within itself, by a mistake, is drawn once.
        found = self._children.pop(parent, ()) if depth < DEEPEST else ()
        for said in sorted(found, key=lambda one: int(one["start"])):
            span = str(said["context"][1])
            is_failed = said["status"][0] == "ERROR"
            status, note = ("Failed", str(said["status"][1] or "")) if is_failed else ("", "")
            yield Bar(
                str(said["name"]), SPAN, depth, said["start"], said["end"], status, note=note,
                task=task,
            )  # fmt: skip
            yield from self.bars(span, depth + 1, task)

    def forget(self, spans: Iterable[str]) -> None:
        """Leave out what facts tell of."""
        known = set(spans)
        for parent, children in self._children.items():
            self._children[parent] = [one for one in children if one["context"][1] not in known]


def _of_task(task: TaskRecord, run: LocalRun, within: _Within) -> Iterator[Bar]:
    note = _class_of(last_error(task))
    if task.ended and task.began_at == task.ended_at and task.duration is None:
        note = "restored"
    elif task.status == TypeStatus.COMPLETED:
        note = f"{task.retries + 1} attempts" if task.retries else ""
    yield Bar(
        task.name, TASK, 1, task.began_at or 0, task.ended_at, task.status,
        "" if task.group == DEFAULT_GROUP else task.group, note, task.task,
    )  # fmt: skip
    if len(task.attempts) > 1:
        yield from _attempts(task, run, within)
    elif task.attempts:
        yield from within.bars(run.attempt_spans.get((task.task, 1), ""), 2, task.task)
    yield from within.bars(task.span, 2, task.task)


def _attempts(task: TaskRecord, run: LocalRun, within: _Within) -> Iterator[Bar]:
    last = max(task.attempts)
    errors = errors_by_attempt(task)
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
        yield from within.bars(run.attempt_spans.get((task.task, number), ""), 3, task.task)


def errors_by_attempt(task: TaskRecord) -> dict[int, dict[str, Any]]:
    """What failed each attempt of a task. The error that failed the task is the last attempt's."""
    last = max(task.attempts, default=1)
    errors = [one for one in task.errors.values() if isinstance(one, dict)]
    return {one.get("attempt") or last: one for one in errors}


def last_error(task: TaskRecord) -> Any:
    """What failed a task's last attempt; None where nothing did."""
    return task.errors[max(task.errors)] if task.errors else None


def _class_of(error: Any) -> str:
    return str(error.get("exception") or "") if isinstance(error, dict) else ""
