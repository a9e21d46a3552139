"""The ids that dotflow-api gave to tasks, and the tasks that it would not have."""

from __future__ import annotations

import json
import zlib
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_KEPT = 20_000
"""Ids of ended runs that are kept: a workflow may be started again, and its tasks are there."""

MOST_REFUSED = 10_000
"""Workflows with refused tasks that are remembered, where their runs have not ended."""


class ServerIds:
    """Remembers ids; those of the runs that ended longest ago are forgotten first.

    Args:
        max_kept: How many ids of ended runs are kept.
    """

    def __init__(self, max_kept: int = MAX_KEPT) -> None:
        self._max_kept = max_kept
        self._ids: dict[str, dict[int, str]] = {}
        # Those of workflows of which nothing is to be said for now, in little memory.
        self._packed: dict[str, bytes] = {}
        self._refused: dict[str, set[int]] = {}
        self._over: set[str] = set()
        self._ended: OrderedDict[str, int] = OrderedDict()
        self._kept = 0

    def get(self, workflow: str, task: int | None) -> str | None:
        """The id of a task, where the server gave one."""
        if task is None:
            return None
        return self._known(workflow).get(task)

    def add(self, workflow: str, task: int, server_id: str) -> None:
        """Remember the id of a task; one that is known stays where a later answer says none."""
        known = self._ids.get(workflow)
        if known is None:
            known = self._ids[workflow] = self._known(workflow)
            self._packed.pop(workflow, None)
        if server_id or task not in known:
            known[task] = server_id

    def refuse(self, workflow: str, task: int) -> None:
        """Remember that the server refused to make a task, until the run ends."""
        self._refused.setdefault(workflow, set()).add(task)
        while len(self._refused) > MOST_REFUSED:
            del self._refused[next(iter(self._refused))]

    def is_made(self, workflow: str, task: int) -> None:
        """Learn that the server has a task after all."""
        refused = self._refused.get(workflow)
        if refused is not None:
            refused.discard(task)
            if not refused:
                del self._refused[workflow]

    def is_refused(self, workflow: str, task: int) -> bool:
        """Whether the server refused to make a task."""
        return task in self._refused.get(workflow, ())

    def known(self) -> Iterator[tuple[str, int, str | None]]:
        """All ids of workflows whose runs have not ended; None for a task that was refused."""
        for workflow in [*self._ids, *self._packed]:
            if workflow not in self._over:
                for task, given in self._known(workflow).items():
                    yield workflow, task, given
        for workflow, refused in self._refused.items():
            for task in refused:
                yield workflow, task, None

    def has_refused(self, workflow: str) -> bool:
        """Whether the server refused to make any task of a workflow."""
        return workflow in self._refused

    def begin(self, workflow: str) -> None:
        """Keep the ids of a run that goes on after all."""
        self._kept -= self._ended.pop(workflow, 0)
        self._over.discard(workflow)
        if workflow in self._packed:
            self._ids[workflow] = self._known(workflow)
            del self._packed[workflow]

    def end(self, workflow: str) -> bool:
        """Keep the ids of a run only while there is room; return whether it has any."""
        self._refused.pop(workflow, None)
        if workflow in self._ids or workflow in self._packed:
            self._over.add(workflow)
        return self.rest(workflow)

    def rest(self, workflow: str) -> bool:
        """Keep the ids of a workflow of which nothing is to be said for now; while there is room.

        Returns:
            Whether it has any.
        """
        known = self._ids.get(workflow)
        if known is None and workflow not in self._packed:
            return False
        count = self._ended.pop(workflow, 0)
        self._kept -= count
        if known is not None:
            # A thread that sends may look for one: it is always in one of the two.
            self._packed[workflow] = _packed(known)
            del self._ids[workflow]
            count = len(known)
        self._ended[workflow] = count
        self._kept += count
        while self._kept > self._max_kept:
            oldest, count = self._ended.popitem(last=False)
            self._kept -= count
            self._packed.pop(oldest, None)
            self._ids.pop(oldest, None)
            self._over.discard(oldest)
        return True

    def _known(self, workflow: str) -> dict[int, str]:
        known = self._ids.get(workflow)
        if known is None and (packed := self._packed.get(workflow)) is not None:
            return dict(zip(*json.loads(zlib.decompress(packed)), strict=True))
        # It may have been unpacked meanwhile.
        return self._ids.get(workflow, {}) if known is None else known


def _packed(known: dict[int, str]) -> bytes:
    # Of ids that are random all but their bits is saved, of others nearly everything.
    text = json.dumps([[*known], [*known.values()]], separators=(",", ":"))
    return zlib.compress(text.encode(), 1)
