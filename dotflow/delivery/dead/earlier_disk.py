"""The files of messages of the version before: SQLite, each with a lock beside it."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import threading
from typing import TYPE_CHECKING, Any

from dotflow.delivery.dead.earlier_ends import Plan, Row, plan
from dotflow.delivery.message import Kind
from dotflow.delivery.waiting import BEFORE
from dotflow.runlog import files

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

try:
    import fcntl
except ModuleNotFoundError:  # Windows, where outboxes stayed in memory
    fcntl = None  # type: ignore[assignment]

SUFFIX, LOCK = ".sqlite3", ".lock"
FORMAT = "1"

BUSY = 5.0
"""Seconds to wait for another process at a file."""

_NAME = re.compile(r"(?P<key>[0-9a-f]{16})-(?P<generation>\d{8,})-[0-9a-f]{8}")
BESIDE = ("", "-wal", "-shm", "-journal")
_COLUMNS = (
    "number, id, kind, workflow, task, final, running, headers, length(body), at, state, status, "
    "reason, server_id"
)
PUT = (
    "insert or replace into message "
    "(number, id, kind, workflow, task, final, running, headers, body, at, state) "
    "values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


class _Gate:
    """Lets one thread at a time into SQLite, and none while the process forks.

    A child that found one of SQLite's own locks held by a thread which it does not have would wait
    for it for ever.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=lambda: self.lock.acquire(),  # noqa: PLW0108 - a child has another lock
                after_in_parent=lambda: self.lock.release(),  # noqa: PLW0108
                after_in_child=self._renew,
            )

    def _renew(self) -> None:
        self.lock = threading.RLock()


gate = _Gate()


def folder() -> Path:
    """Where the version before kept its files."""
    return files.state_dir() / BEFORE


def paths(key: str | None = None) -> list[Path]:
    """The files that are there, of one destination or all, those of the oldest processes first."""
    try:
        names = [one for one in os.listdir(folder()) if one.endswith(SUFFIX)]  # noqa: PTH208 - names are enough
    except OSError:
        return []
    found = ((one, _NAME.fullmatch(one.removesuffix(SUFFIX))) for one in names)
    ours = [folder() / one for one, match in found if match and key in (None, match["key"])]
    return sorted(ours, key=lambda path: (generation(path), path.name))


def generation(path: Path) -> int:
    """How old the process is that made a file: a later one has a higher number."""
    match = _NAME.fullmatch(path.stem)
    return int(match["generation"]) if match else 0


def is_owned(path: Path, by_before: bool = False) -> bool:
    """Whether a living process has a file.

    Args:
        path: The file.
        by_before: Whether only processes of the version before count: they share it with nobody.
    """
    try:
        fd = os.open(path.with_suffix(LOCK), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return not lock(fd, is_shared=by_before)
    finally:
        os.close(fd)


def lock(fd: int, is_shared: bool = False) -> bool:
    """Lock a file; False where another process has it, or this system has no such locks."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(fd, (fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def opened(path: Path, mode: str = "rw") -> Iterator[sqlite3.Connection]:
    """A connection to a file, for a moment: what is written is written as a whole, or not at all.

    Raises:
        sqlite3.Error: It cannot be read, or is of another format.
    """
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    with (
        gate.lock,
        contextlib.closing(
            sqlite3.connect(uri, uri=True, timeout=BUSY, isolation_level=None)
        ) as connection,
    ):
        connection.execute("pragma synchronous = off")
        connection.execute("begin" if mode == "ro" else "begin immediate")
        yield connection
        connection.execute("commit")


def make_plain(path: Path) -> None:
    """Have a file need no others beside it, which would be made anew for each connection.

    Where another process reads it at the time, that is left to the next one.
    """
    uri = f"{path.absolute().as_uri()}?mode=rw"
    with gate.lock, contextlib.suppress(sqlite3.OperationalError):
        connection = sqlite3.connect(uri, uri=True, timeout=0, isolation_level=None)
        with contextlib.closing(connection):
            connection.execute("pragma journal_mode = delete")


def about(connection: sqlite3.Connection) -> dict[str, str]:
    """What a file says of itself: the `name` of the destination, and the `format`.

    Raises:
        sqlite3.DatabaseError: The file is of another format.
    """
    found = dict(connection.execute("select name, value from about"))
    if found.get("format") != FORMAT:
        raise sqlite3.DatabaseError(f"it has format {found.get('format')}")
    return found


def rows(connection: sqlite3.Connection, workflow: str | None = None) -> list[Row]:
    """The messages of a file, of one workflow or all, by number; damaged ones are passed over."""
    where, of = ("where workflow = ? ", (blob(workflow),)) if workflow is not None else ("", ())
    found = connection.execute(f"select {_COLUMNS} from message {where}order by number", of)  # noqa: S608 - texts of ours
    return [row for values in found if (row := _row(values)) is not None]


def _row(values: tuple[Any, ...]) -> Row | None:
    number, id_, kind, workflow, task, final, running, headers, size, *rest = values
    try:
        return Row(
            number, id_, Kind(kind), text(workflow), task, bool(final), bool(running), headers,
            size, *rest,
        )  # fmt: skip
    except (ValueError, AttributeError):
        return None


def body(connection: sqlite3.Connection, number: int) -> bytes:
    """The body of a message; empty where there is none."""
    found = connection.execute("select body from message where number = ?", (number,)).fetchone()
    return bytes(found[0]) if found is not None else b""


def last_seen(path: Path) -> float:
    """When the owner of a file last wrote it or gave a sign of life: seconds since the epoch."""
    times = [0.0]
    for one in (path.with_suffix(LOCK), path, path.with_name(f"{path.name}-wal")):
        with contextlib.suppress(OSError):
            times.append(one.stat().st_mtime)
    return max(times)


def blob(workflow: str) -> bytes:
    """A workflow's id as it is written: SQLite takes no half of a surrogate pair in a text."""
    return workflow.encode("utf-8", "surrogatepass")


def text(workflow: bytes) -> str:
    """What `blob` was made of."""
    return workflow.decode("utf-8", "surrogatepass")


def planned(connection: sqlite3.Connection, workflow: str, seen: float) -> Plan:
    """What is to become of the messages about a workflow."""
    (last,) = connection.execute("select coalesce(max(number), 0) from message").fetchone()
    return plan(rows(connection, workflow), lambda one: body(connection, one), seen, last)


DELETE = "delete from message where number = ?"


def delete(connection: sqlite3.Connection, numbers: Iterable[int]) -> None:
    """Delete messages."""
    connection.executemany(DELETE, [(number,) for number in numbers])


def values(row: Row, said: bytes) -> tuple[Any, ...]:
    """The values that `PUT` takes."""
    return (
        row.number, row.id, row.kind.value, blob(row.workflow), row.task, row.final, row.running,
        row.headers, said, row.at, row.state,
    )  # fmt: skip
