"""Dead letters that are to be tried again."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING

from dotflow.delivery import dead_letters
from dotflow.delivery.message import Kind, Message, new_id
from dotflow.delivery.outbox import Outbox

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dotflow.delivery.dead_letters import DeadLetter


def revive(letters: Sequence[DeadLetter]) -> int:
    """Put dead letters back into the outboxes of their destinations, in their order.

    What was only an update on the way to an end that has arrived since would set its record back:
    it is not sent again.

    Returns:
        How many wait again.

    Raises:
        sqlite3.Error: A file is busy, or cannot be written; then nothing is lost.
    """
    revived = 0
    by_destination = sorted(letters, key=lambda letter: letter.destination)  # stable
    for destination, group in groupby(by_destination, lambda letter: letter.destination):
        of_one = list(group)
        ended = {_record(one.message) for one in of_one if one.message.final}
        outbox = Outbox(destination)
        try:
            for letter in of_one:
                message = _again(letter.message, ended)
                if message is None:
                    continue
                if letter.server_id is not None and message.task is not None:
                    outbox.learn(message.workflow, message.task, letter.server_id)
                outbox.put(message)
            revived += outbox.counts().pending
            dead_letters.remove(of_one)
        finally:
            outbox.close()
    return revived


def _record(message: Message) -> tuple[str, int | None]:
    return message.workflow, message.task


def _again(message: Message, ended: set[tuple[str, int | None]]) -> Message | None:
    """The message as it may be sent now; None where it would say what is not so any more."""
    if not message.running:
        return message
    # This process does not run what the message speaks of, and owes no end of it.
    message = replace(message, running=False)
    if message.kind.is_post or _record(message) in ended:
        return message
    if message.kind is Kind.TASK_PATCH:
        return None
    fields = json.loads(message.body)
    fields.pop("status", None)
    body = json.dumps(fields, ensure_ascii=False).encode()
    return replace(message, body=body, id=new_id()) if fields else None
