"""How a message reaches dotflow-api: message, outbox, relay, client.

    a Server method -> Channel.put(Message) -> Outbox -> Relay (threads) -> Client (HTTP) -> Dialect

A Server method only puts; all that touches a socket happens in the relay's threads. An outbox keeps
its messages in a file (`disk`, in the folder of `state`) and their order in memory (`queue`).
"""

from dotflow.delivery.channel import Channel
from dotflow.delivery.client import Client
from dotflow.delivery.dialect import Dialect
from dotflow.delivery.message import Delivered, Kind, Message, Outcome, Refused, TryLater
from dotflow.delivery.outbox import Counts, Outbox, open_outbox
from dotflow.delivery.relay import Relay

__all__ = [
    "Channel",
    "Client",
    "Counts",
    "Delivered",
    "Dialect",
    "Kind",
    "Message",
    "Outbox",
    "Outcome",
    "Refused",
    "Relay",
    "TryLater",
    "open_outbox",
]
