"""What destinations refused for good, kept for a person to look at."""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dotflow.delivery import disk, state
from dotflow.delivery.disk import DEAD, connect, gate
from dotflow.delivery.message import Kind, Message

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from dotflow.delivery.disk import DiskStore, Row

FILE = "dead-letters.sqlite3"

TABLE = """
pragma journal_mode = wal;
pragma synchronous = off;
create table if not exists dead_letter (
    id text primary key, destination text not null, kind text not null, workflow blob not null,
    task integer, final integer not null, running integer not null, body blob not null,
    headers text not null, at real not null, status integer not null, reason text not null,
    server_id text, number integer not null
);
"""


@dataclass(frozen=True)
class DeadLetter:
    """A message that was refused for good.

    Attributes:
        destination: Who refused it.
        message: The message.
        at: When it was put (seconds since the epoch).
        status: The HTTP status; 0 where there was none.
        reason: What the server said.
        server_id: The server's id of the task, where it gave one.
        order: Its place among those of its process.
    """

    destination: str
    message: Message
    at: float
    status: int
    reason: str
    server_id: str | None
    order: int


def collect(store: DiskStore, destination: str) -> None:
    """Move the dead letters of a process that ends to the file of all of them.

    Raises:
        sqlite3.Error: That file cannot be written.
        OSError: It cannot be made.
    """
    found = store.dead()
    if not found:
        return
    letters = [_of_row(destination, row, body) for row, body in found]
    with _opened() as connection:
        connection.executemany(
            "insert or ignore into dead_letter values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [_values(letter) for letter in letters],
        )
    store.remove(row.number for row, _ in found)


def all_letters() -> list[DeadLetter]:
    """All dead letters, the oldest first, also those of processes that live."""
    found: dict[str, DeadLetter] = {}
    for path in state.spools():
        with contextlib.suppress(sqlite3.Error):
            found.update((one.message.id, one) for one in _of_process(path))
    if _file().exists():
        with _opened() as connection:
            for values in connection.execute("select * from dead_letter"):
                letter = _letter(values)
                found[letter.message.id] = letter
    return sorted(found.values(), key=lambda one: (one.at, one.order))


def remove(letters: Sequence[DeadLetter]) -> None:
    """Forget dead letters, wherever they are.

    Raises:
        sqlite3.Error: A file is busy, or cannot be written.
    """
    ids = [(letter.message.id,) for letter in letters]
    if _file().exists():
        with _opened() as connection:
            connection.executemany("delete from dead_letter where id = ?", ids)
    for path in _holding({letter.message.id for letter in letters}):
        with gate.lock, contextlib.closing(connect(path)) as connection:
            connection.executemany(
                "delete from message where state = ? and id = ?",
                [(DEAD, letter.message.id) for letter in letters],
            )


def _holding(ids: set[str]) -> Iterator[Path]:
    """The files of processes that have some of these letters, as far as they can be read."""
    for path in state.spools():
        with contextlib.suppress(sqlite3.Error):
            if not ids.isdisjoint(one.message.id for one in _of_process(path)):
                yield path


def _file() -> Path:
    return state.outbox_dir() / FILE


@contextlib.contextmanager
def _opened() -> Iterator[sqlite3.Connection]:
    path = _file()
    state.make_outbox_dir()
    with contextlib.suppress(FileExistsError):
        state.make_private(path)
    with gate.lock, contextlib.closing(connect(path)) as connection:
        connection.executescript(TABLE)
        connection.execute("begin immediate")
        yield connection
        connection.execute("commit")


def _of_process(path: Path) -> list[DeadLetter]:
    with gate.lock, contextlib.closing(connect(path, read_only=True)) as connection:
        name = disk.about(connection).get("name", "")
        return [
            _of_row(name, row, body)
            for row in disk.rows(connection)
            if row.state == DEAD
            for (body,) in connection.execute(
                "select body from message where number = ?", (row.number,)
            )
        ]


def _of_row(destination: str, row: Row, body: bytes) -> DeadLetter:
    return DeadLetter(
        destination, row.message.with_body(body), row.at, row.status or 0, row.reason or "",
        row.server_id, row.number,
    )  # fmt: skip


def _values(letter: DeadLetter) -> tuple[Any, ...]:
    message = letter.message
    return (
        message.id, letter.destination, message.kind.value, disk.blob(message.workflow),
        message.task, message.final, message.running, message.body, message.headers,
        letter.at, letter.status, letter.reason, letter.server_id, letter.order,
    )  # fmt: skip


def _letter(values: tuple[Any, ...]) -> DeadLetter:
    id_, name, kind, workflow, task, final, running, body, headers, *rest = values
    message = Message(
        Kind(kind), disk.text(workflow), task, body, bool(final), bool(running), id_, headers
    )
    return DeadLetter(name, message, *rest)
