"""Sends what waits for a dotflow-api, in a program that runs no workflow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dotflow.abc.server import FlushResult
from dotflow.delivery.channel import outbox_name
from dotflow.delivery.http.client import NOT_FOUND, Client
from dotflow.delivery.message import Outcome, Refused, TryLater
from dotflow.delivery.outbox import Outbox
from dotflow.delivery.relay.relay import Relay

if TYPE_CHECKING:
    from dotflow.delivery.dialect import Destination
    from dotflow.delivery.message import Message


class Errand:
    """Takes over what dead processes left, and sends it.

    Args:
        destination: Where it is sent.
        left_for: The name of another destination that it was left for; None for this one.
        is_anew: Whether a workflow of which anything is left is sent from its beginning.
    """

    def __init__(
        self, destination: Destination, left_for: str | None = None, is_anew: bool = False
    ) -> None:
        outbox = Outbox(left_for or outbox_name(destination), is_anew=is_anew)
        self._client = Client(destination) if left_for is None else NewClient(destination)
        self._relay = Relay(outbox, self._client)

    @property
    def has_no_records(self) -> bool:
        """Whether the new destination has not all the records of the old one."""
        return isinstance(self._client, NewClient) and self._client.has_no_records

    def adopt(self) -> None:
        """Look for what was left, and begin to send it."""
        self._relay.adopt()

    def close(self, timeout: float) -> FlushResult:
        """Send it within `timeout` seconds, and end; what is left stays where it was."""
        counts = self._relay.close(timeout, is_told=False)
        complete = not counts.pending
        return FlushResult(counts.delivered, counts.pending, counts.dead, complete)


class NewClient(Client):
    """Sends to a server what was for another: what changes a record that it has not is kept.

    Attributes:
        has_no_records: Whether that was so of any.
    """

    has_no_records = False

    def send(
        self, message: Message, server_id: str | None = None, timeout: float | None = None
    ) -> Outcome:
        """Send one message; called by the relay's threads."""
        return self._kept(message, super().send(message, server_id, timeout))

    def send_bulk(self, messages: list[Message], timeout: float | None = None) -> list[Outcome]:
        """Send several messages in one call, in order; called by the relay's threads."""
        outcomes = super().send_bulk(messages, timeout)
        return [self._kept(*both) for both in zip(messages, outcomes, strict=True)]

    def _kept(self, message: Message, outcome: Outcome) -> Outcome:
        if isinstance(outcome, Refused) and outcome.status == NOT_FOUND:
            self.has_no_records = True
            return TryLater(f"{outcome.reason}: no record of workflow {message.workflow}")
        return outcome
