"""The records: opens the transactions that change them. `dotflow.api.reading` reads them.

JSON columns (a plan, errors, contexts) are given as JSON text.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, bindparam, select

from dotflow.api import at_once
from dotflow.api.database import LOCK_WAIT_MS, WRITES
from dotflow.api.envelope import Envelope
from dotflow.api.errors import BusyError
from dotflow.api.records import TaskRow
from dotflow.api.tables import ended_sessions
from dotflow.api.writing import Record, Writing

# What one change of a bulk may wait for others: a deadlock is found by then.
_SHORT_WAIT_MS = 1500
_ENDED = select(ended_sessions.c.id).where(ended_sessions.c.id == bindparam("this"))

_Made = TypeVar("_Made")


class Store:
    """Keeps workflow and task records; may be used by any number of threads.

    Args:
        engine: From `dotflow.api.database.open_engine`.
        on_change: Called after each transaction.
    """

    def __init__(self, engine: Engine, on_change: Callable[[], None] = lambda: None) -> None:
        self._engine = engine
        self._on_change = on_change
        self._writer = engine.execution_options(**{WRITES: True})
        self._hurried_writer = self._writer.execution_options(**{LOCK_WAIT_MS: _SHORT_WAIT_MS})
        self._at_once = engine.execution_options(isolation_level="AUTOCOMMIT")
        # SQLite waits for its lock by sleeping and polling; within this process a lock hands over
        # at once. Other processes are still kept out by SQLite itself.
        self._turn = threading.Lock() if engine.dialect.name == "sqlite" else None

    def close(self) -> None:
        """Closes every connection; a later call opens new ones."""
        self._engine.dispose()

    def check(self) -> None:
        """Returns if the database answers, and raises its error if not."""
        with self._engine.connect() as connection:
            connection.execute(select(1))

    def has_ended(self, session: str) -> bool:
        """Says if somebody has logged out of a session, in whichever process.

        Args:
            session: Its id.
        """
        with self._engine.connect() as connection:
            return connection.execute(_ENDED, {"this": session}).one_or_none() is not None

    @contextmanager
    def writing(self, within: float | None = None) -> Iterator[Writing]:
        """Opens one transaction; its changes are kept when the block ends without an error.

        Args:
            within: Seconds to wait for the turn; a lock is then not waited for as long as ever.

        Raises:
            BusyError: The turn did not come in time.
        """
        engine = self._writer if within is None else self._hurried_writer
        with self._in_turn(within), engine.begin() as connection:
            yield Writing(connection)
        self._on_change()

    def add_task(self, workflow_id: str, values: Mapping[str, Any], envelope: Envelope) -> Record:
        """Adds a task, in a transaction of its own; as `Writing.add_task`."""
        added = self._try(
            lambda one: at_once.add_task(one, workflow_id, values, envelope), envelope
        )
        if added is None:
            with self.writing() as writing:
                return writing.add_task(workflow_id, values, envelope)
        return added

    def change_task(
        self, server_id: int, changes: Mapping[str, Any], envelope: Envelope
    ) -> TaskRow:
        """Changes a task, in a transaction of its own, and gives its record without its contexts.

        Otherwise as `Writing.change_task`.
        """
        changed = self._try(
            lambda one: at_once.change_task(one, server_id, changes, envelope), envelope
        )
        if changed is None:
            with self.writing() as writing:
                writing.change_task(server_id, changes, envelope)
                return writing.task(server_id)
        return changed

    def _try(self, make: Callable[[Connection], _Made | None], envelope: Envelope) -> _Made | None:
        """Gives what one statement does, where the database can and the message has a key."""
        if self._turn is not None or envelope.key is None:
            return None
        with self._at_once.connect() as connection:
            made = make(connection)
        if made is not None:
            self._on_change()
        return made

    @contextmanager
    def _in_turn(self, within: float | None) -> Iterator[None]:
        if self._turn is None:
            yield
            return
        if not self._turn.acquire(timeout=-1 if within is None else max(within, 0)):
            raise BusyError
        try:
            yield
        finally:
            self._turn.release()
