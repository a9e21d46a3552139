"""What a Server has noted of tasks, in a third of the memory that a Context and a key take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dotflow.core.context import Context

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

MARK = "-_note-"
"""Between the id of a workflow and the number of a task, in the key of a task's note."""

NAME = "traceparent"
"""The one field that most notes have: of these only its text is kept."""


class Notes:
    """Keeps the notes of tasks by their keys; whoever calls it holds the storage's lock.

    A run of a hundred thousand tasks has as many notes, and they are read only if it is resumed.
    """

    def __init__(self) -> None:
        self._kept: dict[str, dict[int, Any]] = {}

    def put(self, key: str, value: Any) -> bool:
        """Keep a note; False where the key is none of a task's note, or the value is no note."""
        workflow, mark, number = key.partition(MARK)
        if not mark or type(value) is not dict or not number.isdecimal():
            return False
        task = int(number)
        if str(task) != number:
            return False
        kept = self._kept.get(workflow)
        if kept is None:
            kept = self._kept[workflow] = {}
        kept[task] = value[NAME] if len(value) == 1 and type(value.get(NAME)) is str else value
        return True

    def get(self, key: str) -> Context | None:
        """The note under a key; None where there is none."""
        kept, task = self._place(key)
        note = kept.get(task)
        if note is None:
            return None
        return Context({NAME: note} if type(note) is str else note)

    def pop(self, key: str) -> None:
        """Forget a note."""
        kept, task = self._place(key)
        kept.pop(task, None)

    def keys(self) -> Iterator[str]:
        """The keys of all notes."""
        for workflow, kept in self._kept.items():
            for task in kept:
                yield f"{workflow}{MARK}{task}"

    def forget(self, workflow: str) -> None:
        """Forget all notes of a workflow."""
        self._kept.pop(workflow, None)

    def _place(self, key: str) -> tuple[dict[int, Any], int]:
        workflow, _, number = key.partition(MARK)
        kept = self._kept.get(workflow)
        if kept is None or not number.isdecimal():
            return {}, 0
        task = int(number)
        return (kept, task) if str(task) == number else ({}, 0)
