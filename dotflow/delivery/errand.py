"""Sends what waits for a dotflow-api, in a program that runs no workflow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dotflow.abc.server import FlushResult
from dotflow.delivery.channel import outbox_name
from dotflow.delivery.client import Client
from dotflow.delivery.outbox import Outbox
from dotflow.delivery.relay import Relay

if TYPE_CHECKING:
    from dotflow.delivery.dialect import Destination


class Errand:
    """Takes over what dead processes left, and sends it.

    Args:
        destination: Where it is sent.
        left_for: The name of the destination that it was left for; the same one without it.
    """

    def __init__(self, destination: Destination, left_for: str | None = None) -> None:
        name = left_for or outbox_name(destination)
        self._relay = Relay(Outbox(name), Client(destination))

    def adopt(self) -> None:
        """Look for what was left, and begin to send it."""
        self._relay.adopt()

    def close(self, timeout: float) -> FlushResult:
        """Send it within `timeout` seconds, and end; what is left stays where it was."""
        counts = self._relay.close(timeout, is_told=False)
        complete = not counts.pending
        return FlushResult(counts.delivered, counts.pending, counts.dead, complete)
