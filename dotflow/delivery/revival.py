"""Dead letters that are tried again."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from dotflow.core.types import TypeStatus, WorkflowStatus
from dotflow.delivery import dead_letters
from dotflow.delivery.fold.bodies import replaced
from dotflow.delivery.message import Delivered, Instead, Kind, Message, Outcome, Refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dotflow.delivery.dead_letters import DeadLetter
    from dotflow.delivery.http.client import Client

UNDER_WAY = frozenset({TypeStatus.IN_PROGRESS, TypeStatus.RETRY, WorkflowStatus.IN_PROGRESS})


def revive(letters: Sequence[DeadLetter], client: Client, timeout: float) -> int:
    """Send dead letters of one destination again, in their order; what is not taken stays one.

    What was only an update on the way to an end that has arrived since would set its record back:
    it is not sent again.

    Args:
        letters: The letters.
        client: What sends.
        timeout: Seconds for all of them.

    Returns:
        How many were answered: taken, or refused again.

    Raises:
        sqlite3.Error: The file of dead letters is busy, or cannot be written; nothing is lost.
    """
    deadline = time.monotonic() + timeout
    ended = {_record(one.message) for one in letters if one.message.final}
    ids: dict[tuple[str, int | None], str] = {}
    answered = 0
    for letter in letters:
        left = deadline - time.monotonic()
        if left <= 0:
            break
        message = _again(letter.message, ended)
        if message is None:
            dead_letters.remove([letter])
            answered += 1
            continue
        server_id = ids.get(_record(message), letter.server_id)
        outcome = _sent(client, message, server_id, left)
        if isinstance(outcome, Delivered) and outcome.server_id is not None:
            ids[_record(message)] = outcome.server_id
        if isinstance(outcome, (Delivered, Refused)):
            dead_letters.remove([letter])
            answered += 1
        if isinstance(outcome, Refused):
            dead_letters.bury(letter.destination, letter.message, outcome, server_id)
    return answered


def _sent(client: Client, message: Message, server_id: str | None, seconds: float) -> Outcome:
    outcome = client.send(message, server_id, min(seconds, client.timeout))
    if isinstance(outcome, Instead):
        outcome = client.send(outcome.message, server_id, min(seconds, client.timeout))
    return outcome


def _record(message: Message) -> tuple[str, int | None]:
    return message.workflow, message.task


def _again(message: Message, ended: set[tuple[str, int | None]]) -> Message | None:
    """The message as it may be sent now; None where it would say what is not so any more."""
    fields = json.loads(message.body)
    if fields.get("status") not in UNDER_WAY:
        return message
    if message.kind.is_post or _record(message) in ended:
        return message
    if message.kind is Kind.TASK_PATCH:
        return None
    fields.pop("status", None)
    return replaced(message, fields) if fields else None
