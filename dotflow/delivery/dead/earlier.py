"""What the version before left, in files of its own: taken over once its processes are dead."""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from dotflow.delivery import dead_letters
from dotflow.delivery.dead import earlier_disk as disk
from dotflow.delivery.dead.earlier_ends import HELD, WAITING, Row
from dotflow.delivery.dead.earlier_file import EarlierFile
from dotflow.delivery.dead.earlier_words import worded
from dotflow.delivery.dead_letters import DeadLetter
from dotflow.delivery.message import Kind, Message
from dotflow.delivery.waiting import Waiting
from dotflow.logging import logger

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Iterator
    from pathlib import Path

MOST_OPEN = 50
"""Files that are held at once, for each takes a descriptor."""

MOST_RECORDS = 500
MOST_BYTES = 2 * 2**20
"""Records of spans in one batch, and their bytes."""


class EarlierMessages:
    """The files that the version before left for one destination.

    Args:
        key: The key of the destination: that of its reader, and of its files.

    Attributes:
        are_more: Whether files were left for later, for too many are open.
    """

    def __init__(self, key: str) -> None:
        self.are_more = False
        self._key = key
        self._unreadable: set[Path] = set()

    def are_there(self) -> bool:
        """Whether there is a file, of living processes or dead ones."""
        return any(path not in self._unreadable for path in disk.paths(self._key))

    def take(self, known: Collection[str]) -> list[EarlierFile]:
        """Take what dead processes left, the oldest first.

        A file with a workflow of which a living process of the version before has something is
        left to that one, and what is younger than the file waits with it.

        Args:
            known: The ids of the files, among others, that were taken before.
        """
        theirs = self._of_the_living(known)
        taken: list[EarlierFile] = []
        self.are_more = False
        is_open = sum(path.stem in known for path in disk.paths(self._key))
        for path in disk.paths(self._key):
            if path.stem in known or path in self._unreadable:
                continue
            if is_open + len(taken) >= MOST_OPEN:
                self.are_more = True
                break
            found = self._take(path, theirs)
            if found is not None:
                taken.append(found)
        return taken

    def _of_the_living(self, known: Collection[str]) -> set[str]:
        others = [path for path in disk.paths(self._key) if path.stem not in known]
        owned = [path for path in others if disk.is_owned(path, by_before=True)]
        return set().union(*(_workflows(path) for path in owned))

    def _take(self, path: Path, theirs: set[str]) -> EarlierFile | None:
        found = None
        try:
            found = EarlierFile.take(path)
            workflows = set() if found is None else found.workflows
        except (OSError, sqlite3.Error, ValueError) as error:
            self._unreadable.add(path)
            logger.warning("%s cannot be read (%s): it is left as it is.", path, error)
            return None
        if found is not None and workflows & theirs:
            found.close()
            theirs |= workflows
            return None
        return found


def _workflows(path: Path) -> set[str]:
    try:
        with disk.opened(path, "ro") as connection:
            return {row.workflow for row in disk.rows(connection)}
    except sqlite3.Error:  # its owner has just deleted it
        return set()


# Dead letters.

CENTRAL = "dead-letters.sqlite3"
_LETTERS = (
    "select id, destination, kind, workflow, task, final, body, headers, at, status, reason, "
    "server_id, number from dead_letter order by at, number"
)


def move_dead_letters(is_thorough: bool = True) -> None:
    """Move the dead letters of the version before to where this one keeps them.

    Args:
        is_thorough: Also those that are still in the files of dead processes.
    """
    central = disk.folder() / CENTRAL
    if central.exists():
        try:
            _move(central)
        except (OSError, sqlite3.Error) as error:
            if central not in _damaged:
                _damaged.add(central)
                logger.warning("The dead letters in %s cannot be moved (%s).", central, error)
    for path in disk.paths() if is_thorough else ():
        with contextlib.suppress(OSError, sqlite3.Error, ValueError):
            found = EarlierFile.take(path)  # which moves them
            if found is not None:
                found.close()


_damaged: set[Path] = set()


def _move(central: Path) -> None:
    with disk.opened(central) as connection:
        found = [_letter(values) for values in connection.execute(_LETTERS)]
        letters = [one for one in found if one is not None]
        dead_letters.keep([replace(one, message=worded(one.message)) for one in letters])
        ids = [(one.message.id,) for one in letters]
        connection.executemany("delete from dead_letter where id = ?", ids)
    is_in_use = any(disk.is_owned(path, by_before=True) for path in disk.paths())
    if len(letters) == len(found) and not is_in_use:
        for end in disk.BESIDE:
            central.with_name(central.name + end).unlink(missing_ok=True)


def _letter(values: tuple[Any, ...]) -> DeadLetter | None:
    id_, destination, kind, workflow, task, final, body, headers, *rest, number = values
    try:
        message = Message(
            Kind(kind), disk.text(workflow), task, body, number, id_, bool(final), headers
        )
    except (ValueError, AttributeError):  # a damaged disk
        return None
    return DeadLetter(destination, message, *rest)


# What waits, seen from outside.


def left() -> Iterator[Waiting]:
    """What waits, file by file; one that cannot be read is called by its key."""
    for path in disk.paths():
        with contextlib.suppress(OSError):  # its owner has just deleted it
            yield _look(path)


def _look(path: Path) -> Waiting:
    try:
        return _look_into(path)
    except (sqlite3.Error, KeyError) as error:
        key, size = path.stem.partition("-")[0], path.stat().st_size
        problem = f"{path} cannot be read ({error})"
        return Waiting(key, 0, size, None, disk.is_owned(path), problem=problem)


def _look_into(path: Path) -> Waiting:
    is_owned = disk.is_owned(path)
    with disk.opened(path, "ro") as connection:
        name = disk.about(connection)["name"]
        waiting = _waiting(connection, is_owned, disk.last_seen(path))
    oldest = min((row.at for row in waiting), default=None)
    return Waiting(name, len(waiting), sum(row.size for row in waiting), oldest, is_owned)


def _waiting(connection: sqlite3.Connection, is_owned: bool, seen: float) -> list[Row]:
    found = disk.rows(connection)
    of_spans = [row for row in found if row.kind is Kind.SPANS]
    waiting = [row for row in of_spans if row.state in (WAITING, WAITING if is_owned else HELD)]
    records = [row for row in found if row.kind is not Kind.SPANS]
    if is_owned:
        return waiting + [row for row in records if row.state == WAITING]
    for workflow in dict.fromkeys(row.workflow for row in records):
        waiting += disk.planned(connection, workflow, seen).waiting
    return waiting


# Spans.


@dataclass(frozen=True)
class EarlierSpans:
    """Spans that an OTLP endpoint has not taken.

    Attributes:
        encoded: An encoded `ExportTraceServiceRequest`; empty where there are records instead.
        records: What a dead process had written down, one JSON object a span: its resource and
            its fields, with no end where the span had not ended.
        last_seen: When the process was last seen alive (seconds since the epoch).
    """

    encoded: bytes
    records: tuple[bytes, ...]
    last_seen: float
    _file: EarlierFile
    _numbers: tuple[int, ...]

    def has_left(self) -> None:
        """Forget them: the endpoint has them, or will never take them."""
        self._file.owe_removal(self._numbers)
        self._file.settled()


def earlier_spans(key: str) -> Generator[EarlierSpans]:
    """The spans that dead processes of the version before left, the oldest process's first.

    A file is nobody else's until the next one is asked for, or the iterator is closed; it is
    deleted then, where all in it has left.

    Args:
        key: The key of the destination: that of `OTLP endpoint <address>`.
    """
    for path in disk.paths(key):
        try:
            found = EarlierFile.take(path, is_shared=False)
        except (OSError, sqlite3.Error, ValueError) as error:
            logger.warning("%s cannot be read (%s): it is left as it is.", path, error)
            continue
        if found is None:
            continue
        try:
            yield from _batches(found)
        finally:
            found.close()


def _batches(file: EarlierFile) -> Iterator[EarlierSpans]:
    try:
        with disk.opened(file.path, "ro") as connection:
            found = [row for row in disk.rows(connection) if row.kind is Kind.SPANS]
    except sqlite3.Error as error:
        logger.warning("%s cannot be read (%s): it is left as it is.", file.path, error)
        return
    for row in found:
        if row.state == WAITING:
            yield EarlierSpans(file.body(row.number), (), file.last_seen, file, (row.number,))
    held = [row for row in found if row.state == HELD]
    # What it wrote down last it wrote alive: the times of files are coarser than that.
    seen = max([file.last_seen, *(row.at for row in held)])
    for portion in _portions(held):
        numbers = tuple(row.number for row in portion)
        records = tuple(file.body(number) for number in numbers)
        yield EarlierSpans(b"", records, seen, file, numbers)


def _portions(rows: list[Row]) -> Iterator[list[Row]]:
    portion: list[Row] = []
    room = MOST_BYTES
    for row in rows:
        if portion and (len(portion) == MOST_RECORDS or row.size > room):
            yield portion
            portion, room = [], MOST_BYTES
        portion.append(row)
        room -= row.size
    if portion:
        yield portion
