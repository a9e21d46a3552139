"""What waits in an outbox: messages, by the records of dotflow-api that they are about."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dotflow.delivery.message import Message
    from dotflow.delivery.store import Store

Lane = tuple[str, int | None]
"""A record of dotflow-api: a workflow (no task number) or a task. Its messages stay in order."""


@dataclass(slots=True, eq=False)
class Entry:
    """A message that waits; its body is in a store.

    Attributes:
        message: The message, its body empty.
        size: Bytes of the body.
        store: Where the body is.
        number: Which it is there.
        generation: That of the process which left it; None where this one said it.
        waits: Whether it is to be sent still.
    """

    message: Message
    size: int
    store: Store
    number: int
    generation: int | None = None
    waits: bool = True


@dataclass(slots=True)
class Record:
    """What waits of one record, and what was last delivered of one that goes on."""

    entries: list[Entry] = field(default_factory=list)
    settled: Entry | None = None
    claimed: bool = False
    sent: bool = False
    tries: int = 0
    asked_until: float = 0.0  # the server wants to hear no more of it before

    def place_of(self, older: Entry) -> int:
        """Where what a dead process left belongs: behind what is under way, and what is older."""
        at = int(self.claimed)
        for entry in self.entries[at:]:
            if entry.generation is None or (older.generation or 0) < entry.generation:
                break
            at += 1
        return at


@dataclass(slots=True)
class Workflow:
    """What waits of one workflow and its tasks; gone when nothing does, and nothing goes on."""

    records: dict[int | None, Record] = field(default_factory=dict)
    opening: int = 0  # messages after which the workflow's record is there
    of_tasks: int = 0  # messages of tasks
