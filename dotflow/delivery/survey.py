"""What waits in the user's outboxes, seen from outside: nothing is taken from its owner."""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dotflow.delivery import state
from dotflow.delivery.disk import HELD, WAITING, about, connect, gate

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Waiting:
    """What waits for one destination in one file.

    Attributes:
        destination: Where it goes.
        pending: How many messages wait; of a dead process also those that it held.
        bytes: How many bytes their bodies have.
        oldest: When the oldest was put (seconds since the epoch); None where none waits.
        is_owned: Whether a living process sees to it.
    """

    destination: str
    pending: int
    bytes: int
    oldest: float | None
    is_owned: bool


def survey() -> list[Waiting]:
    """What waits, file by file, the oldest first; files that cannot be read are left out."""
    return [found for path in state.spools() if (found := _look(path)) is not None]


def _look(path: Path) -> Waiting | None:
    try:
        with gate.lock, contextlib.closing(connect(path, read_only=True)) as connection:
            name = about(connection)["name"]
            is_owned = state.is_owned(path)
            pending, size, oldest = connection.execute(
                "select count(*), coalesce(sum(length(body)), 0), min(at) from message "
                "where state in (?, ?)",
                (WAITING, WAITING if is_owned else HELD),
            ).fetchone()
    except (sqlite3.Error, KeyError):
        return None
    return Waiting(name, pending, size, oldest, is_owned)
