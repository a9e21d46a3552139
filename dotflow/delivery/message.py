"""Messages: what the outbox holds, and what became of one that was sent."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field, replace
from enum import Enum


class Kind(Enum):
    """What a message asks of dotflow-api; spans go to an OTLP endpoint."""

    WORKFLOW_POST = "workflow post"
    WORKFLOW_OPEN = "workflow patch (first)"
    WORKFLOW_PATCH = "workflow patch"
    TASK_POST = "task post"
    TASK_PATCH = "task patch"
    SPANS = "spans"

    @property
    def is_post(self) -> bool:
        """Whether the message makes a record, rather than changes one."""
        return self in (Kind.WORKFLOW_POST, Kind.TASK_POST)

    @property
    def opens_from_outside(self) -> bool:
        """Whether a workflow whose first message is such a one was made by others."""
        return self not in (Kind.WORKFLOW_POST, Kind.SPANS)

    @property
    def merges(self) -> bool:
        """Whether a later message of the same record may take in this one, or be taken in."""
        return self in (Kind.WORKFLOW_PATCH, Kind.TASK_PATCH)

    @property
    def opens(self) -> bool:
        """Whether a workflow's record is there once the message is delivered.

        WORKFLOW_OPEN is the first PATCH of a run whose id came from outside: it changes the record,
        and makes it where nobody has.
        """
        return self in (Kind.WORKFLOW_POST, Kind.WORKFLOW_OPEN)


def new_id() -> str:
    """An id that no other message has."""
    return os.urandom(16).hex()


@dataclass(frozen=True, slots=True)
class Message:
    """One call to dotflow-api, in no dialect yet, or one batch of spans for an OTLP endpoint.

    Attributes:
        kind: What it asks.
        workflow: The id of the workflow; of spans any id that no other batch has.
        task: The number of the task; None for a workflow's message.
        body: The JSON body, UTF-8; of spans an encoded `ExportTraceServiceRequest` of OTLP.
        final: Whether it says how its record ended. A workflow's waits for the tasks' messages.
        running: Whether it says that its record is under way: the end is owed still.
        id: Sent as `Idempotency-Key`: the same message keeps it, another body has another.
        headers: What leads the server to the span that the message is about (`traceparent` and its
            kin), as a JSON object; empty where there is none. See dotflow.delivery.headers.
    """

    kind: Kind
    workflow: str
    task: int | None
    body: bytes
    final: bool = False
    running: bool = False
    id: str = field(default_factory=new_id)
    headers: str = ""

    def with_body(self, body: bytes) -> Message:
        """The same message, with its body here; or with none, which is somewhere else."""
        return Message(
            self.kind, self.workflow, self.task, body, self.final, self.running, self.id,
            self.headers,
        )  # fmt: skip

    def with_headers(self, headers: str) -> Message:
        """The same message, with what leads to a span."""
        return Message(
            self.kind, self.workflow, self.task, self.body, self.final, self.running, self.id,
            headers,
        )  # fmt: skip

    def merged_into(self, earlier: bytes) -> Message:
        """The one message that says what an earlier PATCH of the same record and this one say.

        Args:
            earlier: The body of the earlier PATCH.
        """
        if self.kind is Kind.TASK_PATCH:  # each says all there is to say
            return self
        fields = {**json.loads(earlier), **json.loads(self.body)}
        body = json.dumps(fields, ensure_ascii=False).encode()
        return replace(self, body=body, id=new_id())


@dataclass(frozen=True, slots=True)
class Delivered:
    """The message has arrived.

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
    """The message will never be taken.

    Attributes:
        status: The HTTP status.
        reason: What the server said.
    """

    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class Instead:
    """The message was not taken; another one may be, and says as much.

    Attributes:
        message: What is to be sent in its place, at once.
    """

    message: Message


Outcome = Delivered | TryLater | Refused | Instead
