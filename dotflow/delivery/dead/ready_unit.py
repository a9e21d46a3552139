"""A unit whose messages were made by the version before, and leave as they are."""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, Protocol

from dotflow.delivery.dead.earlier_words import worded
from dotflow.delivery.message import Key, Kind, slot_of
from dotflow.delivery.order.left_behind import LeftBehind
from dotflow.delivery.order.unit import Unit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dotflow.delivery.dead.earlier_ends import Row
    from dotflow.delivery.fold import bodies
    from dotflow.delivery.message import Message
    from dotflow.delivery.order.numbers import Numbers

_OPENS = frozenset({Kind.WORKFLOW_POST, Kind.WORKFLOW_OPEN})


class ReadyMessages(LeftBehind, Protocol):
    """What messages were left in."""

    def body(self, number: int) -> bytes:
        """The body of a message; empty if it cannot be read any more."""

    def owe_removal(self, numbers: Iterable[int]) -> None:
        """Have messages be removed by `settled`."""

    def settled(self) -> None:
        """Remove them."""


class ReadyUnit(Unit):
    """What one file says of a workflow, in the order of the version before.

    The messages of a record go one by one. Those of tasks wait for those that open the workflow;
    its end waits for those of tasks.

    Args:
        source: Which file, and which workflow.
        file: The file.
        rows: The messages; those of a record in order.
    """

    def __init__(self, source: bodies.Source, file: ReadyMessages, rows: list[Row]) -> None:
        super().__init__(source, Counter(), file)
        self._file = file
        self.head.ended = True
        self._rows: dict[Key, deque[Row]] = {}
        for row in rows:
            self._rows.setdefault(row.task, deque()).append(row)
        self.owing = {task: len(rows) for task, rows in self._rows.items() if task is not None}

    @property
    def owes_first(self) -> bool:
        """Whether a message that opens the workflow was not answered."""
        return any(row.kind in _OPENS for row in self._rows.get(None, ()))

    @property
    def owes_end(self) -> bool:
        """Whether something is to be said of the workflow itself."""
        return None in self._rows

    @property
    def is_complete(self) -> bool:
        """Whether all was said."""
        return not self._rows and not self.flying

    @property
    def owes(self) -> bool:
        """Whether there is something to be said."""
        return bool(self._rows)

    @property
    def pending(self) -> int:
        """How many messages are to be sent still."""
        return sum(map(len, self._rows.values()))

    def sendable(self) -> Iterator[Key]:
        """The records of which a message may be sent now, each by itself."""
        yield from filter(self.is_free, self._turn())

    def _turn(self) -> list[Key]:
        """The records that have their turn."""
        head = self._rows.get(None)
        if self.owes_first:
            return [None]
        if head is not None and (not self.owing or not head[0].final):
            return [*self.owing, None]
        return [*self.owing]

    def message(self, key: Key) -> Message:
        """The next message about a record; an unanswered one is repeated as it was."""
        return self._message(self._rows[key][0])

    def _message(self, row: Row) -> Message:
        known = self.unanswered.get(slot_of(row.task, row.kind, row.final))
        if known is not None and known.n == row.number:
            return known
        return worded(row.message(self._file.body(row.number) or b"{}"))

    def makes(self, task: int) -> bool:
        """Whether it says of a task that it is there."""
        return any(row.kind is Kind.TASK_POST for row in self._rows.get(task, ()))

    def in_bulk(self, limit: int) -> Iterator[tuple[Key, Message]]:
        """All messages that may go in one bulk, in order: the server stops a record at a fault."""
        if self.flying or self.delayed:
            return
        for row in self._in_order()[:limit]:
            yield row.task, self._message(row)

    def _in_order(self) -> list[Row]:
        head = list(self._rows.get(None, ()))
        opening = [at for at, row in enumerate(head, 1) if row.kind in _OPENS]
        first = opening[-1] if opening else 0
        of_tasks = [row for task in self.owing for row in self._rows[task]]
        # A server that does not take a task's message goes on with those of the workflow.
        return [*head[:first], *of_tasks, *([] if of_tasks else head[first:])]

    # What became of it.

    def note(self, key: Key, kind: Kind, n: int) -> None:  # noqa: ARG002 - n says it all
        """Take note that a message was answered for good.

        Args:
            key: The record.
            kind: What the message asked.
            n: Its number in the file.
        """
        self.tries.pop(key, None)
        self._keep(key, [row for row in self._rows.get(key, ()) if row.number != n])

    def refuse(self, key: int) -> list[Message]:
        """Take note that the server refused to make a task; what was to change it, unsent."""
        of_task = list(self._rows.get(key, ()))
        unsent = [self._message(row) for row in of_task if row.kind is not Kind.TASK_POST]
        self._keep(key, [])
        self._file.owe_removal(row.number for row in of_task)
        return unsent

    def leave_out(self, spoken: Numbers, is_over: bool, is_there: bool = False) -> None:
        """Leave out what a later run has made void: states and ends, never the making of a record.

        Args:
            spoken: The tasks of which the later run has spoken.
            is_over: Whether it has spoken of the workflow.
            is_there: Whether the server has heard that. Else tasks wait for the first call.
        """
        makes_tasks = any(map(self.makes, self.owing))
        void = [key for key in self._rows if (is_over if key is None else key in spoken)]
        for key in void:
            before = self._rows[key]
            # What opens the workflow makes its record, if the server has none under that id.
            makes = _OPENS if makes_tasks and not is_there else frozenset[Kind]()
            kept = [row for row in before if row.kind.is_post or row.kind in makes]
            self._file.owe_removal(row.number for row in before if row not in kept)
            self._keep(key, kept)
        self._file.settled()

    def release(self) -> None:
        """Nothing: a file is read until it is empty."""

    def _keep(self, key: Key, rows: list[Row]) -> None:
        if rows:
            self._rows[key] = deque(rows)
        else:
            self._rows.pop(key, None)
            if key is not None:
                self.owing.pop(key, None)
        numbers = {row.number for row in rows}
        for slot in ((key, True), (key, False)):
            known = self.unanswered.get(slot)
            if known is not None and known.n not in numbers:
                del self.unanswered[slot]
