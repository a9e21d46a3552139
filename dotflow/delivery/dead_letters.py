"""What destinations refused for good, kept for a person to look at."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dotflow.delivery.message import Kind, Message
from dotflow.logging import logger
from dotflow.runlog import files

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from dotflow.delivery.message import Refused

FILE = "dead-letters.sqlite3"

PATIENCE = 5.0
"""Seconds to wait for another process that writes the file."""

TABLE = """
pragma synchronous = off;
create table if not exists letter (
    number integer primary key, id text not null unique, destination text not null,
    kind text not null, workflow text not null, task integer, n integer not null,
    final integer not null, body blob not null, headers text not null, times text not null,
    run text not null, owed integer not null, at real not null, status integer not null,
    reason text not null, server_id text
);
"""

_INSERT = (
    "insert or ignore into letter values (null, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


@dataclass(frozen=True)
class DeadLetter:
    """A message that was refused for good.

    Attributes:
        destination: Who refused it.
        message: The message.
        at: When it was refused (seconds since the epoch).
        status: The HTTP status; 0 where there was none.
        reason: What the server said.
        server_id: The server's id of the task, where it gave one.
    """

    destination: str
    message: Message
    at: float
    status: int
    reason: str
    server_id: str | None


def bury(destination: str, message: Message, why: Refused, server_id: str | None) -> None:
    """Keep a message that was refused for good; a fault of the disk costs the letter, and a line.

    Args:
        destination: Who refused it.
        message: The message.
        why: What the server said.
        server_id: The server's id of the task, where it gave one.
    """
    if os.environ.get("DOTFLOW_OUTBOX", "").strip().lower() == "memory":
        return
    letter = DeadLetter(destination, message, time.time(), why.status, why.reason, server_id)
    try:
        keep([letter])
    except (OSError, sqlite3.Error) as error:
        logger.warning("A dead letter cannot be kept in %s (%s).", files.state_dir() / FILE, error)


def keep(letters: Sequence[DeadLetter]) -> None:
    """Keep dead letters, each once.

    Raises:
        sqlite3.Error: The file cannot be written.
        OSError: It cannot be made.
    """
    with _opened() as connection:
        connection.executemany(_INSERT, [_values(letter) for letter in letters])


def all_letters() -> list[DeadLetter]:
    """All dead letters, the oldest first."""
    if not _file().exists():
        return []
    with _opened() as connection:
        return [_letter(row) for row in connection.execute("select * from letter order by number")]


def remove(letters: Sequence[DeadLetter]) -> None:
    """Forget dead letters.

    Raises:
        sqlite3.Error: The file is busy, or cannot be written.
    """
    if letters and _file().exists():
        with _opened() as connection:
            ids = [(letter.message.id,) for letter in letters]
            connection.executemany("delete from letter where id = ?", ids)


def readdress(old: str, new: str) -> int:
    """Have dead letters of a destination be another one's; return how many.

    Raises:
        sqlite3.Error: The file is busy, or cannot be written.
    """
    if not _file().exists():
        return 0
    with _opened() as connection:
        done = connection.execute(
            "update letter set destination = ? where destination = ?", (new, old)
        )
        return done.rowcount


def discard() -> None:
    """Delete the file itself, for it cannot be read."""
    for end in ("", "-journal", "-wal", "-shm"):
        path = _file()
        path.with_name(path.name + end).unlink(missing_ok=True)


def _file() -> Path:
    return files.folder() / FILE


@contextlib.contextmanager
def _opened() -> Iterator[sqlite3.Connection]:
    path = files.make_folder() / FILE
    files.OwnFile(path).close()  # private whatever the umask, and nobody else's
    connection = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)
    with contextlib.closing(connection):
        connection.executescript(TABLE)
        connection.execute("begin immediate")
        yield connection
        connection.execute("commit")


def _values(letter: DeadLetter) -> tuple[Any, ...]:
    message = letter.message
    return (
        message.id, letter.destination, message.kind.value, _text(message.workflow), message.task,
        message.n, message.final, message.body, message.headers, message.times, message.run,
        message.is_posthumous, letter.at, letter.status, _text(letter.reason), letter.server_id,
    )  # fmt: skip


def _text(text: str) -> str:
    """A text as SQLite can hold it: half a surrogate pair cannot be encoded."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _letter(row: tuple[Any, ...]) -> DeadLetter:
    (_, id_, destination, kind, workflow, task, n, final, body, headers, times, run, owed, at,
     status, reason, server_id) = row  # fmt: skip
    message = Message(
        Kind(kind), workflow, task, body, n, id_, bool(final), headers, times, run, bool(owed)
    )
    return DeadLetter(destination, message, at, status, reason, server_id)
