"""One call to a server, and what became of it."""

from __future__ import annotations

from dotflow.delivery.dialect import Destination
from dotflow.delivery.http.client import Client
from dotflow.delivery.message import TryLater
from support.fault_server import TOKEN
from support.messages import workflow_post

UNREACHED = TryLater("the server could not be reached", everywhere=True)
BROKEN = TryLater("the server broke off the connection")


def send(url, *messages, timeout=30):
    """What became of messages (of a workflow's first, without any), sent by a client of its own."""
    client = Client(Destination(url, TOKEN, timeout=timeout))
    outcomes = [client.send(one) for one in messages or [workflow_post()]]
    client.close()
    return outcomes if messages[1:] else outcomes[0]
