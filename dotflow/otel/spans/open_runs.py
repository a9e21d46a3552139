"""The runs that are under way, by their ids and numbers, and the roots of those that were."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from opentelemetry.trace import SpanContext

    from dotflow.abc.task import TaskView
    from dotflow.otel.metrics.instruments import Run
    from dotflow.otel.metrics.tally import Tally
    from dotflow.otel.spans.runs import WorkflowRun

KNOWN_ROOTS = 1000
"""Workflow ids whose last root is remembered, to be linked to by a second run."""

OPEN_RUNS = 10_000
"""Workflow ids with runs under way; of more the oldest is taken for one whose end never came."""

MOST_NESTED = 100
"""Runs under way under one id, each within a step of the one before."""


class OpenRuns:
    """The runs that are under way, and the roots of those that were.

    Attributes:
        by_number: Those that are under way, by their numbers.
    """

    def __init__(self) -> None:
        self.by_number: dict[int, WorkflowRun] = {}
        # Several under one id where a step starts a run under it (WORKFLOW_ID): the last is inner.
        self._by_workflow: dict[str, list[WorkflowRun]] = {}
        self._roots: OrderedDict[str, SpanContext] = OrderedDict()

    def __len__(self) -> int:
        return sum(map(len, self._by_workflow.values()))

    def add(self, run: WorkflowRun) -> list[WorkflowRun]:
        """Add one that began; return those that are taken for ones whose ends never came."""
        runs = self._by_workflow.setdefault(run.workflow, [])
        runs.append(run)
        self.by_number[run.number] = run
        _remember(self._roots, run.workflow, run.span.get_span_context(), KNOWN_ROOTS)
        lost = []
        if len(runs) > MOST_NESTED:
            lost.append(runs.pop(0))
        while len(self._by_workflow) > OPEN_RUNS:
            lost += self._by_workflow.pop(next(iter(self._by_workflow)))
        for one in lost:
            self.by_number.pop(one.number, None)
        return lost

    def forget(self) -> None:
        """Forget what is under way: it is another process's."""
        self.by_number, self._by_workflow = {}, {}

    def take(self, workflow: str, number: int | None = None) -> WorkflowRun | None:
        """Take out one that ended: the innermost under an id, or the one of a number."""
        runs = self._by_workflow.get(workflow)
        if not runs:
            return None
        run = self.by_number.get(number) if number else None
        if run is None or run not in runs:
            run = runs[-1]
        runs.remove(run)
        if not runs:
            del self._by_workflow[workflow]
        self.by_number.pop(run.number, None)
        return run

    def of_workflow(self, workflow: str) -> WorkflowRun | None:
        """The innermost run under an id."""
        runs = self._by_workflow.get(workflow)
        return runs[-1] if runs else None

    def of_task(self, task: TaskView) -> WorkflowRun | None:
        """The run that a task is in."""
        run = self.by_number.get(task.run)
        return run if run is not None else self.of_workflow(str(task.workflow_id))

    def under_way(self, tally: Tally) -> list[Run]:
        """The runs that a tally counts; any thread may ask."""
        runs = [run for run in list(self.by_number.values()) if run.tally is tally]
        return [
            (
                run.given_name,
                [(one.said.step.name, one.said.group) for one in list(run.tasks.values())],
            )
            for run in runs
        ]

    def counts(self, tally: Tally, workflow: str) -> bool:
        """Whether a tally is told of the run under an id."""
        run = self.of_workflow(workflow)
        return run is not None and run.tally is tally

    def last_root(self, workflow: str) -> SpanContext | None:
        """The root of the last run under an id."""
        return self._roots.get(workflow)


Known = TypeVar("Known")


def _remember(known: OrderedDict[str, Known], key: str, value: Known, most: int) -> None:
    """Keep a value under a key, of the last `most` keys."""
    known[key] = value
    known.move_to_end(key)
    if len(known) > most:
        known.popitem(last=False)
