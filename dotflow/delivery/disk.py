"""Messages in a SQLite file: what was put there outlives the process, however that ends."""

from __future__ import annotations

import contextlib
import itertools
import os
import sqlite3
import threading
import time
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dotflow.delivery.message import Kind, Message
from dotflow.delivery.store import Store
from dotflow.logging import logger

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from dotflow.delivery.state import Spool

FORMAT = 1
BUSY = 1.0
"""Seconds to wait for another process: `dotflow outbox` may be looking."""

WAITING, SETTLED, DEAD, HELD = 0, 1, 2, 3
"""What a row is: to be sent; delivered, and the last known of a record that goes on; refused; to be
sent if the process dies."""

PUT = (
    "insert or replace into message "
    "(number, id, kind, workflow, task, final, running, headers, body, at, state) "
    "values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)

CHUNK = 500
MOST_DEAD = 10_000
"""Dead letters that a process keeps with their bodies."""

# No fsync: what the kernel has taken is safe from everything but a loss of power, and to wait for a
# disk would hold up the work.
SETUP = """
pragma journal_mode = wal;
pragma synchronous = off;
begin;
create table if not exists about (name text primary key, value text) without rowid;
create table if not exists message (
    number integer primary key, id text not null, kind text not null, workflow blob not null,
    task integer, final integer not null, running integer not null, headers text not null,
    body blob not null, at real not null, state integer not null, status integer, reason text,
    server_id text
);
create table if not exists server_id (
    workflow blob, task integer, id text not null, primary key (workflow, task)
) without rowid;
commit;
"""


class _Gate:
    """Lets one thread at a time into SQLite, and none while the process forks.

    A child that found one of SQLite's own locks held by a thread which it does not have would wait
    for it for ever.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._inherited: list[Any] = []
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=lambda: self.lock.acquire(),  # noqa: PLW0108 - a child has another lock
                after_in_parent=lambda: self.lock.release(),  # noqa: PLW0108
                after_in_child=self._renew,
            )

    def keep(self, connection: sqlite3.Connection) -> None:
        """Never close a connection of the parent's: SQLite would take the file for unused."""
        self._inherited.append(connection)

    def _renew(self) -> None:
        self.lock = threading.RLock()


gate = _Gate()


@dataclass(frozen=True, slots=True)
class Row:
    """A message of a file, without its body.

    Attributes:
        number: Its number there.
        message: The message, its body empty.
        size: Bytes of the body.
        at: When it was put (seconds since the epoch).
        state: WAITING, SETTLED, DEAD or HELD.
        status: The HTTP status of a dead letter.
        reason: What the server said to a dead letter.
        server_id: The server's id of a dead letter's record, where it gave one.
    """

    number: int
    message: Message
    size: int
    at: float
    state: int
    status: int | None
    reason: str | None
    server_id: str | None


def connect(path: Path, read_only: bool = False) -> sqlite3.Connection:
    """Open a file of messages.

    Raises:
        sqlite3.Error: It cannot be read.
    """
    uri = f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rw'}"
    return sqlite3.connect(
        uri, uri=True, timeout=BUSY, isolation_level=None, check_same_thread=False
    )


def about(connection: sqlite3.Connection) -> dict[str, str]:
    """What a file says of itself: `name` of the destination, and the `format`."""
    return dict(connection.execute("select name, value from about"))


def rows(connection: sqlite3.Connection) -> Iterator[Row]:
    """The messages of a file, in their order.

    Raises:
        sqlite3.Error: The file cannot be read.
    """
    last = -(2**63)
    while True:
        with gate.lock:  # between two chunks the work may put something
            found = connection.execute(
                "select number, id, kind, workflow, task, final, running, headers, length(body), "
                "at, state, status, reason, server_id "
                "from message where number > ? order by number limit ?",
                (last, CHUNK),
            ).fetchall()
        yield from map(_row, found)
        if len(found) < CHUNK:
            return
        last = found[-1][0]


def _check_format(connection: sqlite3.Connection) -> None:
    found = about(connection).get("format", str(FORMAT))
    if found != str(FORMAT):
        raise sqlite3.DatabaseError(f"it has format {found}, and this dotflow writes {FORMAT}")


def workflows(path: Path) -> set[str]:
    """The workflows of which a file of messages knows something that is not over."""
    try:
        with gate.lock, contextlib.closing(connect(path, read_only=True)) as connection:
            found = connection.execute(
                "select distinct workflow from message where state != ?", (DEAD,)
            ).fetchall()
    except sqlite3.Error:  # its owner has just deleted it
        return set()
    return {text(workflow) for (workflow,) in found}


def _row(values: tuple[Any, ...]) -> Row:
    number, id_, kind, workflow, task, final, running, headers, size, *rest = values
    message = Message(
        Kind(kind), text(workflow), task, b"", bool(final), bool(running), id_, headers
    )
    return Row(number, message, size, *rest)


def blob(text: str) -> bytes:
    """A text as it is written down: SQLite takes no half of a surrogate pair in one."""
    return text.encode("utf-8", "surrogatepass")


def text(blob: bytes) -> str:
    """What `blob` was made of."""
    return blob.decode("utf-8", "surrogatepass")


class DiskStore(Store):
    """Keeps messages in a file of this process; what the disk does not take, in memory.

    Args:
        spool: The file.
        name: The destination, as people call it.

    Raises:
        sqlite3.Error: The file is no database, or of another version.
    """

    def __init__(self, spool: Spool, name: str) -> None:
        self.spool = spool
        self._in_memory: dict[int, bytes] = {}
        self._learned: dict[str, dict[int, str]] = {}
        self._unwritten: dict[int, tuple[str, tuple[Any, ...]]] = {}
        self._has_complained = False
        self._dead = 0
        with gate.lock:
            self._connection = connect(spool.path)
            try:
                self._connection.executescript(SETUP)
                _check_format(self._connection)
                self._connection.executemany(
                    "insert or ignore into about values (?, ?)",
                    [("format", str(FORMAT)), ("name", name)],
                )
                (last,) = self._connection.execute(
                    "select coalesce(max(number), 0) from message"
                ).fetchone()
            except BaseException:
                self._connection.close()
                raise
        self._numbers = itertools.count(last + 1)
        self._forgotten = weakref.finalize(self, _shut, self._connection, spool, os.getpid())
        self._forgotten.atexit = False

    @property
    def place(self) -> str:
        """Where the messages are."""
        return str(self.spool.path)

    def rows(self) -> Iterator[Row]:
        """The messages, in their order."""
        return rows(self._connection)

    def server_ids(self) -> list[tuple[str, int, str]]:
        """The ids that the server gave to tasks: the workflow, the task, the id."""
        with gate.lock:
            found = self._connection.execute("select workflow, task, id from server_id").fetchall()
        return [(text(workflow), task, id_) for workflow, task, id_ in found]

    def dead(self) -> list[tuple[Row, bytes]]:
        """The dead letters, with their bodies."""
        return [(row, self.body(row.number)) for row in self.rows() if row.state == DEAD]

    def is_empty(self) -> bool:
        """Whether nothing is left in the file."""
        try:
            with gate.lock:
                (is_empty,) = self._connection.execute(
                    "select not exists (select 1 from message)"
                ).fetchone()
        except sqlite3.Error:
            return False
        return bool(is_empty)

    def add(self, message: Message) -> int:
        """Keep a message that waits; return its number."""
        number: int = next(self._numbers)
        if not self._write(PUT, _values(number, message, WAITING)):
            self._in_memory[number] = message.body
        return number

    def hold(self, message: Message, number: int | None = None) -> int:
        """Keep a message that is to be sent only if the process dies; return its number."""
        number = next(self._numbers) if number is None else number
        self._write(PUT, _values(number, message, HELD))
        return number

    def change(self, number: int, message: Message) -> None:
        """Keep another message, which waits, in place of one."""
        self._unwritten.pop(number, None)
        if self._write(PUT, _values(number, message, WAITING)):
            self._in_memory.pop(number, None)
        else:
            self._in_memory[number] = message.body

    def body(self, number: int) -> bytes:
        """The body of a message.

        Raises:
            LookupError: It cannot be read.
        """
        if number in self._in_memory:
            return self._in_memory[number]
        try:
            with gate.lock:
                found = self._connection.execute(
                    "select body from message where number = ?", (number,)
                ).fetchone()
        except sqlite3.Error as error:
            raise LookupError(str(error)) from error
        if found is None:
            raise LookupError("it is not there")
        return bytes(found[0])

    def settle(self, number: int) -> None:
        """Keep a message that was delivered as what is last known of its record, which goes on."""
        self._in_memory.pop(number, None)
        self._write_surely(
            number, "update message set state = ? where number = ?", (SETTLED, number)
        )

    def remove(self, numbers: Iterable[int]) -> None:
        """Forget messages."""
        several = list(numbers)
        for begin in range(0, len(several), CHUNK):
            part = several[begin : begin + CHUNK]
            for number in part:
                self._in_memory.pop(number, None)
            marks = ",".join("?" * len(part))
            sql = f"delete from message where number in ({marks})"  # noqa: S608 - marks only
            self._write_surely(part[0], sql, tuple(part))

    def exchange(self, numbers: Iterable[int], message: Message) -> None:
        """Put a message that waits in the place of several others, all at once.

        Raises:
            sqlite3.Error: That cannot be written; then nothing is changed.
        """
        with gate.lock, self._connection:
            self._connection.execute("begin")
            self._connection.execute(PUT, _values(next(self._numbers), message, WAITING))
            self._connection.executemany(
                "delete from message where number = ?", [(number,) for number in numbers]
            )

    def bury(self, number: int, status: int, reason: str, server_id: str | None = None) -> None:
        """Keep a message as a dead letter, with what the server said, and its id of the record."""
        self._dead += 1
        if self._dead > MOST_DEAD:
            if self._dead == MOST_DEAD + 1:
                logger.warning(
                    "More than %d messages were refused: further ones are counted, and not kept.",
                    MOST_DEAD,
                )
            self.remove([number])
            return
        self._in_memory.pop(number, None)
        self._write_surely(
            number,
            "update message set state = ?, status = ?, reason = ?, server_id = ? where number = ?",
            (DEAD, status, reason, server_id, number),
        )

    def learn(self, workflow: str, task: int, server_id: str) -> None:
        """Keep the id that the server gave to a task."""
        known = self._learned.setdefault(workflow, {})
        if known.get(task) != server_id and self._write(
            "insert or replace into server_id values (?, ?, ?)", (blob(workflow), task, server_id)
        ):
            known[task] = server_id

    def forget(self, workflow: str) -> None:
        """Forget the server's ids of a workflow that ended."""
        self._learned.pop(workflow, None)
        self._write("delete from server_id where workflow = ?", (blob(workflow),))

    def beat(self) -> None:
        """Give a sign of life."""
        self.spool.beat()

    def close(self) -> int:
        """Release the file, or delete it where nothing is left in it.

        Returns:
            How many messages are lost, for the disk did not take them.
        """
        for number, write in list(self._unwritten.items()):
            if self._write(*write):
                self._unwritten.pop(number, None)
        is_empty = self.is_empty()
        with gate.lock, contextlib.suppress(sqlite3.Error):
            self._connection.close()
        if is_empty:
            self.spool.delete()
        else:
            self.spool.release()
        lost, self._in_memory = len(self._in_memory), {}
        return lost

    def abandon(self) -> None:
        """Let go in a forked child, without touching what is the parent's."""
        gate.keep(self._connection)
        self.spool.release()

    def _write_surely(self, number: int, sql: str, values: tuple[Any, ...]) -> None:
        """Write what a later write of the same message makes up for, or the next one that works."""
        if not self._write(sql, values):
            self._unwritten[number] = (sql, values)

    def _write(self, sql: str, values: tuple[Any, ...]) -> bool:
        try:
            with gate.lock:
                self._connection.execute(sql, values)
        except (sqlite3.Error, OverflowError) as error:
            if not self._has_complained:
                self._has_complained = True
                logger.warning(
                    "The outbox %s cannot be written (%s): reports that are not delivered when "
                    "the process ends are lost. Make room there, or set DOTFLOW_STATE_DIR.",
                    self.place, error,
                )  # fmt: skip
            return False
        return True


def _values(number: int, message: Message, state: int) -> tuple[Any, ...]:
    return (
        number, message.id, message.kind.value, blob(message.workflow), message.task,
        message.final, message.running, message.headers, message.body, time.time(), state,
    )  # fmt: skip


def _shut(connection: sqlite3.Connection, spool: Spool, process: int) -> None:
    """Close what nobody holds any more; its file is for the next one to look after."""
    if os.getpid() == process:
        with gate.lock, contextlib.suppress(sqlite3.Error):
            connection.close()
        spool.release()
