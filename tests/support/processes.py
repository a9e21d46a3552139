"""Processes that end without a word."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dotflow.delivery.disk import DiskStore
from dotflow.delivery.message import Delivered, Message, Refused
from dotflow.delivery.outbox import Outbox

if TYPE_CHECKING:
    import sqlite3


def kill(outbox: Outbox) -> list[sqlite3.Connection]:
    """Have an outbox end as `kill -9` ends it: its locks go, and SQLite closes nothing.

    Returns:
        The connections, which are to be closed when nobody needs the files any more.
    """
    connections = []
    for store in (outbox._store, *outbox._adopted):
        if isinstance(store, DiskStore):
            store.spool.release()
            connections.append(store._connection)
    outbox._closed = True
    return connections


def running(message: Message) -> Message:
    """The same message, saying that its record is under way."""
    return replace(message, running=True)


def left_by(name: str, *messages: Message, delivered: int = 0, refused: int = 0) -> list[Path]:
    """Have a process put messages and die; the first ones were delivered, or refused, by then.

    Returns:
        The files that it left.
    """
    outbox = Outbox(name)
    for message in messages:
        outbox.put(message)
    for index in range(delivered + refused):
        [claimed] = outbox.claim()
        taken = index < delivered
        outbox.settle(claimed, Delivered("srv") if taken else Refused(422, "no, thank you"))
    place = outbox.place
    for connection in kill(outbox):
        connection.close()
    return [Path(place)] if place else []
