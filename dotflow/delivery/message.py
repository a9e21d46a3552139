"""Messages: what the outbox holds, and what became of one that was sent."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from enum import Enum


class Kind(Enum):
    """What a message asks of dotflow-api."""

    WORKFLOW_POST = "workflow post"
    WORKFLOW_OPEN = "workflow patch (first)"
    WORKFLOW_PATCH = "workflow patch"
    TASK_POST = "task post"
    TASK_PATCH = "task patch"

    @property
    def is_post(self) -> bool:
        """Whether the message makes a record, rather than changes one."""
        return self in (Kind.WORKFLOW_POST, Kind.TASK_POST)

    @property
    def opens(self) -> bool:
        """Whether a workflow's record is there once the message is delivered.

        WORKFLOW_OPEN is the first PATCH of a run whose id came from outside: it changes the record,
        and makes it where nobody has.
        """
        return self in (Kind.WORKFLOW_POST, Kind.WORKFLOW_OPEN)


@dataclass(frozen=True, slots=True)
class Message:
    """One call to dotflow-api, in no dialect yet.

    Attributes:
        kind: What it asks.
        workflow: The id of the workflow.
        task: The number of the task; None for a workflow's message.
        body: The JSON body, UTF-8.
        final: Whether it ends the run, and so has to wait for the tasks' messages.
        id: Sent as `Idempotency-Key`: the same message keeps it, another body has another.
    """

    kind: Kind
    workflow: str
    task: int | None
    body: bytes
    final: bool = False
    id: str = field(default_factory=lambda: os.urandom(16).hex())

    def merged(self, later: Message) -> Message:
        """The one message that says what this one and a later PATCH of the same record say."""
        if self.kind is Kind.TASK_PATCH:  # each says all there is to say
            return later
        fields = {**json.loads(self.body), **json.loads(later.body)}
        body = json.dumps(fields, ensure_ascii=False).encode()
        return Message(later.kind, later.workflow, later.task, body, later.final)


@dataclass(frozen=True, slots=True)
class Delivered:
    """dotflow-api has the message.

    Attributes:
        server_id: The id that it gave to the record, from the answer to a POST.
    """

    server_id: str | None = None


@dataclass(frozen=True, slots=True)
class TryLater:
    """The message was not taken, and may be another time.

    Attributes:
        reason: What happened.
        after: Seconds that the server asked to wait; None where it asked for none.
        everywhere: Whether the next message would fare no better: the destination waits.
        mend: What a person has to mend before it can work; None where time may mend it.
    """

    reason: str
    after: float | None = None
    everywhere: bool = False
    mend: str | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """dotflow-api will never take the message.

    Attributes:
        status: The HTTP status.
        reason: What the server said.
    """

    status: int
    reason: str


Outcome = Delivered | TryLater | Refused
