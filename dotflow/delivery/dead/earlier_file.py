"""A file of messages that a process of the version before left, taken over once that is dead.

Its owner held the lock alone. Processes of this version share it: what each of them sees to is said
by claims, as with the logs of dead processes.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from typing import TYPE_CHECKING, Any

from dotflow.delivery import dead_letters
from dotflow.delivery.dead import earlier_disk as disk
from dotflow.delivery.dead.earlier_ends import DEAD, Row
from dotflow.delivery.dead.earlier_words import worded
from dotflow.delivery.dead.ready_unit import ReadyUnit
from dotflow.delivery.dead_letters import DeadLetter
from dotflow.delivery.fold.bodies import Source
from dotflow.delivery.message import Kind
from dotflow.logging import logger
from dotflow.runlog import files

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from dotflow.delivery.order.server_ids import ServerIds
    from dotflow.delivery.order.unit import Unit
    from dotflow.runlog.receipts import Receipt

LAST_SEEN = "last_seen"
"""What a file says of itself once it was taken: when its owner gave the last sign of life."""

NEWER_THAN_ALL = 2**62
"""A number above those of all files: less this, they order units, as negative times, before all
that this version has written."""


class EarlierFile:
    """A file whose owner is dead, seen by one destination; locked until `close`.

    Args:
        path: The file.
        lock: The locked file beside it.
        seen: When the files were last changed (seconds since the epoch).

    Attributes:
        id: What claims call it.
        last_seen: When its owner gave the last sign of life: seconds since the epoch.

    Raises:
        sqlite3.Error: The file cannot be read.
    """

    def __init__(self, path: Path, lock: files.OwnFile, seen: float) -> None:
        self.id = path.stem
        self.path = path
        self._lock = lock
        self._open: set[str] = set()
        self.nested: dict[str, set[str]] = {}
        self._owed: list[tuple[str, tuple[Any, ...]]] = []
        self._has_complained = False
        self._is_damaged = False
        disk.make_plain(path)
        with disk.opened(path) as connection:
            disk.about(connection)
            connection.execute("insert or ignore into about values (?, ?)", (LAST_SEEN, repr(seen)))
            self.last_seen = float(disk.about(connection)[LAST_SEEN])
        self._move_dead_letters()

    @classmethod
    def take(cls, path: Path, is_shared: bool = True) -> EarlierFile | None:
        """Take a file; None where its owner lives, somebody has it alone, or it is gone.

        Args:
            path: The file.
            is_shared: Whether other processes of this version may have it too.

        Raises:
            OSError: The lock cannot be opened.
            sqlite3.Error: The file cannot be read.
        """
        seen = disk.last_seen(path)  # before anything is opened here
        lock = files.OwnFile(path.with_suffix(disk.LOCK))
        _held.add(lock)
        try:
            if disk.lock(lock.fd, is_shared) and lock.is_open():
                if path.exists():
                    return cls(path, lock, seen)
                lock.path.unlink(missing_ok=True)
        except BaseException:
            _let_go(lock)
            raise
        _let_go(lock)
        return None

    # What it says. The names are those of AdoptedLog.

    @property
    def workflows(self) -> set[str]:
        """The ids of the workflows of which something is left."""
        if self._is_damaged:
            return set()
        try:
            with disk.opened(self.path, "ro") as connection:
                found = connection.execute(
                    "select distinct workflow from message where state != ?", (DEAD,)
                ).fetchall()
        except sqlite3.Error:  # somebody has just deleted it
            return set()
        return {disk.text(workflow) for (workflow,) in found}

    def knows(self, workflow: str) -> bool:
        """Whether something is left of a workflow."""
        return workflow in self.workflows

    def is_open(self, workflow: str) -> bool:
        """Whether this process has taken over a workflow, and not said everything."""
        return workflow in self._open

    def forget_done(self, workflows: Iterable[str]) -> None:  # noqa: ARG002 - as AdoptedLog's
        """Write what is owed: what was delivered is not in the file then."""
        self.settled()

    def take_over(self, workflow: str, ids: ServerIds) -> list[Unit]:
        """What is left to say of a workflow; the ends that its process owes are written first.

        Args:
            workflow: The workflow's id.
            ids: Where to put the ids that dotflow-api gave to tasks.
        """
        try:
            waiting = self._with_ends(workflow, ids)
        except sqlite3.Error as error:
            self._is_damaged = True
            logger.warning("%s cannot be read (%s): it is left as it is.", self.path, error)
            return []
        if not waiting:
            return []
        self._open.add(workflow)
        unit = ReadyUnit(Source(self.id, 0, workflow, ""), self, waiting)
        unit.up = disk.generation(self.path) - NEWER_THAN_ALL
        return [unit]

    def _with_ends(self, workflow: str, ids: ServerIds) -> list[Row]:
        """What waits of a workflow, the ends that its process owes now written."""
        with disk.opened(self.path) as connection:
            made = disk.planned(connection, workflow, self.last_seen)
            for end, said in made.ends:
                connection.execute(disk.PUT, disk.values(end, said))
            disk.delete(connection, made.gone)
            given = connection.execute(
                "select task, id from server_id where workflow = ?", (disk.blob(workflow),)
            ).fetchall()
        for task, server_id in given:
            ids.add(workflow, task, server_id)
        return made.waiting

    def body(self, number: int) -> bytes:
        """The body of a message; empty where it cannot be read any more."""
        try:
            with disk.opened(self.path, "ro") as connection:
                return disk.body(connection, number)
        except sqlite3.Error as error:
            logger.warning("A report in %s cannot be read (%s), and is lost.", self.path, error)
            return b""

    # What became of it.

    def write(self, receipts: list[Receipt]) -> None:
        """Forget what was answered; keep the ids that came with it."""
        for receipt in receipts:
            if receipt["k"] == "said" and "id" in receipt:
                values = (disk.blob(str(receipt["w"])), receipt["t"], receipt["id"])
                self._owed.append(("insert or replace into server_id values (?, ?, ?)", values))
            # Of a task that was refused all goes at once: see `ReadyUnit.refuse`.
            is_kept = receipt["k"] == "refused" and receipt["m"] == Kind.TASK_POST.value
            if receipt["k"] != "sending" and not is_kept:
                self._owed.append((disk.DELETE, (receipt["n"],)))
        self.settled()

    def owe_removal(self, numbers: Iterable[int]) -> None:
        """Remove messages when `settled` is called."""
        self._owed += [(disk.DELETE, (number,)) for number in numbers]

    def settled(self) -> None:
        """Write what is owed; where the disk does not take it, the next time."""
        if not self._owed:
            return
        try:
            with disk.opened(self.path) as connection:
                for sql, values in self._owed:
                    connection.execute(sql, values)
        except sqlite3.Error as error:
            if not self._has_complained:
                self._has_complained = True
                logger.warning(
                    "%s cannot be written (%s): what was delivered may be sent again, under the "
                    "same id.", self.path, error,
                )  # fmt: skip
            return
        self._owed = []

    def unit_is_done(self, workflow: str, run: int) -> None:  # noqa: ARG002 - it has one of each
        """Learn that nothing is left to say of a unit."""
        self._open.discard(workflow)

    def let_go(self, workflow: str) -> None:
        """Leave a workflow to the process that claimed it."""
        self._open.discard(workflow)

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to say of it."""
        return not self._is_damaged and not self._open and not self.workflows

    def close(self) -> None:
        """Release the file, or delete it where nothing is left in it and nobody else has it."""
        self.settled()
        is_left = self._lock.fd < 0 or not self._is_empty()
        # Still empty, now that nobody else has it?
        if not is_left and disk.lock(self._lock.fd) and self._is_empty():
            self._delete()
        _let_go(self._lock)

    def _is_empty(self) -> bool:
        try:
            with disk.opened(self.path, "ro") as connection:
                found = connection.execute("select exists (select 1 from message)").fetchone()
        except sqlite3.Error:
            return False
        return not found[0]

    def _delete(self) -> None:
        with contextlib.suppress(OSError):
            for end in disk.BESIDE:
                self.path.with_name(self.path.name + end).unlink(missing_ok=True)
            files.delete_log(self.id)  # the claims on it
            self.path.with_suffix(disk.LOCK).unlink(missing_ok=True)

    def _move_dead_letters(self) -> None:
        try:
            with disk.opened(self.path) as connection:
                name = disk.about(connection).get("name", "")
                dead = [row for row in disk.rows(connection) if row.state == DEAD]
                if dead:
                    dead_letters.keep([_letter(name, row, connection) for row in dead])
                    disk.delete(connection, [row.number for row in dead])
        except (OSError, sqlite3.Error) as error:  # they stay where they are
            logger.warning("The dead letters in %s cannot be moved (%s).", self.path, error)


def _letter(name: str, row: Row, connection: sqlite3.Connection) -> DeadLetter:
    message = worded(row.message(disk.body(connection, row.number)))
    return DeadLetter(name, message, row.at, row.status or 0, row.reason or "", row.server_id)


_held: set[files.OwnFile] = set()


def _let_go(lock: files.OwnFile) -> None:
    lock.close()
    _held.discard(lock)


def _let_go_in_child() -> None:
    """A lock is held until all have closed it: a child must not outlive its parent with one."""
    for lock in list(_held):
        _let_go(lock)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go_in_child)
