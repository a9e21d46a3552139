"""Tasks of a run whose id came from outside: they wait for the run, which says their numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterable

    from dotflow.delivery.fold.bodies import Source
    from dotflow.runlog.reader import Fact

MOST_WAITING = 1000
"""Workflows that were constructed under an id from outside, and have not begun."""


class HeldTasks:
    """Keeps the facts of added tasks until their runs begin.

    Args:
        used: Counts what needs a file of the log, by the file's number.
    """

    def __init__(self, used: Counter[int]) -> None:
        self._used = used
        self._facts: dict[str, list[tuple[Fact, int]]] = {}
        self._sources: dict[str, Source] = {}

    def begin(self, workflow: str, source: Source | None = None) -> None:
        """Have the tasks of a workflow wait from now on.

        Args:
            workflow: The workflow's id.
            source: What they are said as if no run begins.
        """
        self._facts.setdefault(workflow, [])
        if source is not None:
            self._sources[workflow] = source

    def sources(self) -> list[Source]:
        """What waits."""
        return list(self._sources.values())

    def too_many(self) -> list[Source]:
        """What has waited longest, if more waits than may."""
        return self.sources()[: max(0, len(self._sources) - MOST_WAITING)]

    def __contains__(self, workflow: str) -> bool:
        return workflow in self._facts

    def add(self, workflow: str, fact: Fact, segment: int) -> None:
        """Keep the fact that a task was added."""
        self._facts[workflow].append((fact, segment))
        self._used[segment] += 1

    def release(self, workflow: str, plan: Iterable[Any], run: int) -> list[tuple[Fact, int]]:
        """The facts of a workflow whose run begins, as facts of that run.

        Args:
            workflow: The workflow's id.
            plan: The run's tasks: each begins with its number.
            run: The run's number.
        """
        waiting = self._facts.pop(workflow, [])
        self._sources.pop(workflow, None)
        for _, segment in waiting:
            self._used[segment] -= 1
        numbers = [int(task[0]) for task in plan]
        added = sorted({int(fact["t"]) for fact, _ in waiting})
        if len(added) != len(numbers):
            numbers = added
        given = dict(zip(added, numbers, strict=True))
        return [({**fact, "t": given[fact["t"]], "r": run}, segment) for fact, segment in waiting]
