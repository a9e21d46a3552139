"""The ids that dotflow-api gave to tasks."""

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
        self._ended: OrderedDict[str, int] = OrderedDict()
        self._kept = 0

    def get(self, workflow: str, task: int) -> str | None:
        """The id of a task, where the server gave one."""
        return self._ids.get(workflow, {}).get(task)

    def add(self, workflow: str, task: int, server_id: str) -> None:
        """Remember the id of a task."""
        self._ids.setdefault(workflow, {})[task] = server_id

    def begin(self, workflow: str) -> None:
        """Keep the ids of a run that goes on after all."""
        self._kept -= self._ended.pop(workflow, 0)

    def end(self, workflow: str) -> None:
        """Keep the ids of a run only while there is room."""
        if workflow not in self._ids:
            return
        self.begin(workflow)
        self._ended[workflow] = len(self._ids[workflow])
        self._kept += self._ended[workflow]
        while self._kept > self._max_kept:
            oldest, count = self._ended.popitem(last=False)
            self._kept -= count
            del self._ids[oldest]
