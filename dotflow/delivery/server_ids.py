"""The ids that dotflow-api gave to tasks, and the tasks that it would not have."""

from __future__ import annotations

from collections import OrderedDict

MAX_KEPT = 100_000
"""Ids of ended runs that are kept: a workflow may be started again, and its tasks are there."""


class ServerIds:
    """Remembers ids; those of the runs that ended longest ago are forgotten first.

    Args:
        max_kept: How many ids of ended runs are kept.
    """

    def __init__(self, max_kept: int = MAX_KEPT) -> None:
        self._max_kept = max_kept
        self._ids: dict[str, dict[int, str]] = {}
        self._refused: dict[str, set[int]] = {}
        self._ended: OrderedDict[str, int] = OrderedDict()
        self._kept = 0

    def get(self, workflow: str, task: int | None) -> str | None:
        """The id of a task, where the server gave one."""
        return None if task is None else self._ids.get(workflow, {}).get(task)

    def add(self, workflow: str, task: int, server_id: str) -> None:
        """Remember the id of a task."""
        self._ids.setdefault(workflow, {})[task] = server_id

    def refuse(self, workflow: str, task: int) -> None:
        """Remember that the server refused to make a task, until the run ends."""
        self._refused.setdefault(workflow, set()).add(task)

    def is_refused(self, workflow: str, task: int | None) -> bool:
        """Whether the server refused to make a task."""
        return bool(self._refused) and task in self._refused.get(workflow, ())

    def begin(self, workflow: str) -> None:
        """Keep the ids of a run that goes on after all."""
        self._kept -= self._ended.pop(workflow, 0)

    def end(self, workflow: str) -> bool:
        """Keep the ids of a run only while there is room; return whether it has any."""
        self._refused.pop(workflow, None)
        if workflow not in self._ids:
            return False
        self.begin(workflow)
        self._ended[workflow] = len(self._ids[workflow])
        self._kept += self._ended[workflow]
        while self._kept > self._max_kept:
            oldest, count = self._ended.popitem(last=False)
            self._kept -= count
            del self._ids[oldest]
        return True
