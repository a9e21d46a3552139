"""Messages: one call to dotflow-api each, and what became of one that was sent."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

FRAME = 300
"""Bytes of an item of a bulk without anything in it, and rather more."""

Key = int | None
"""A record of a unit: a task's number, or None for the workflow."""

Slot = tuple[Key, bool]
"""A record, and whether the call is the one that all others about it wait for."""


class Kind(Enum):
    """What a message asks of dotflow-api; spans are only found in files of the version before."""

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


def slot_of(key: Key, kind: Kind, is_final: bool) -> Slot:
    """Which of a record's two calls one is."""
    return key, kind is Kind.TASK_POST or (key is None and not is_final)


class Message(NamedTuple):
    """One call to dotflow-api, in no dialect yet.

    Attributes:
        kind: What it asks.
        workflow: The id of the workflow.
        task: The number of the task; None for a workflow's message.
        body: The JSON body, UTF-8.
        n: The number of the last fact that it says.
        id: Sent as `Idempotency-Key`: the same body after the same fact has the same one.
        final: Whether it says how its record ended.
        headers: What leads the server to the span that the message is about (`traceparent` and
            its kin), as a JSON object; empty where there is none. See dotflow.delivery.headers.
        times: What the header `Dotflow-Times` says, as JSON; empty where nothing is known.
        run: Which run it speaks of: the header `Dotflow-Opens` says so, or `Dotflow-Run` of an
            end that a dead process owed; empty where no run has begun.
        is_posthumous: Whether its process did not live to report it.
        is_opening: Whether a posthumous one says a beginning too, of which nobody has heard.
    """

    kind: Kind
    workflow: str
    task: int | None
    body: bytes
    n: int
    id: str
    final: bool = False
    headers: str = ""
    times: str = ""
    run: str = ""
    is_posthumous: bool = False
    is_opening: bool = False

    @property
    def size(self) -> int:
        """About how many bytes it takes in a bulk, and rather more."""
        around = len(self.headers) + len(self.times) + len(self.workflow) * 12 + len(self.run)
        return len(self.body) + around + FRAME

    def with_body(self, body: bytes, key: str, kind: Kind | None = None) -> Message:
        """Another message that says as much, perhaps by another call."""
        return self._replace(body=body, id=key, kind=kind or self.kind)

    def without_headers(self, key: str) -> Message:
        """Another message, without what leads to a span."""
        return self._replace(headers="", id=key)


class Delivered(NamedTuple):
    """The message has arrived.

    Attributes:
        server_id: The id that the server gave to the record, from the answer to a POST.
    """

    server_id: str | None = None


class TryLater(NamedTuple):
    """The message was not taken, and may be another time.

    Attributes:
        reason: What happened.
        after: Seconds that the server asked to wait; None where it asked for none.
        everywhere: Whether the next message would fare no better: the destination waits.
        mend: What a person has to mend before it can work; None where time may mend it.
        is_too_much: Whether a smaller call might have got its answer.
    """

    reason: str
    after: float | None = None
    everywhere: bool = False
    mend: str | None = None
    is_too_much: bool = False


class Refused(NamedTuple):
    """The message will never be taken.

    Attributes:
        status: The HTTP status.
        reason: What the server said.
    """

    status: int
    reason: str


class Instead(NamedTuple):
    """The message was not taken; another one may be, and says as much.

    Attributes:
        message: What is to be sent in its place, at once.
    """

    message: Message


class NotSent(NamedTuple):
    """The message was in a bulk in which an earlier one of its record was not taken."""


Outcome = Delivered | TryLater | Refused | Instead | NotSent
