"""The records: opens the transactions that change them. `dotflow.api.reading` reads them.

JSON columns (a plan, errors, contexts) are given as JSON text.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, bindparam, select

from dotflow.api.database import LOCK_WAIT_MS, WRITES
from dotflow.api.errors import BusyError
from dotflow.api.tables import ended_sessions
from dotflow.api.writing import Writing

# What one change of a bulk may wait for others: a deadlock is found by then.
_SHORT_WAIT_MS = 1500
_ENDED = select(ended_sessions.c.id).where(ended_sessions.c.id == bindparam("this"))


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
