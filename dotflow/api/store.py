"""The records: opens the transactions that change them, and reads them.

JSON columns (a plan, errors, contexts) are given as JSON text and read as values.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, bindparam, func, select

from dotflow.api.database import LOCK_WAIT_MS, WRITES
from dotflow.api.errors import BusyError
from dotflow.api.tables import tasks, workflows
from dotflow.api.writing import Record, Writing, as_record, one, require

_OF_WORKFLOW = tasks.c.workflow_id == bindparam("workflow")
_TASKS = select(tasks).where(_OF_WORKFLOW).order_by(tasks.c.task_id)
_HIGHEST = select(func.max(tasks.c.task_id)).where(_OF_WORKFLOW)
# What one change of a bulk may wait for others: a deadlock is found by then.
_SHORT_WAIT_MS = 1500


class Store:
    """Keeps workflow and task records; may be used by any number of threads.

    Args:
        engine: From `dotflow.api.database.open_engine`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
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

    def workflow(self, workflow_id: str) -> Record:
        """Gives one workflow's record.

        Raises:
            NotFoundError: There is no such workflow.
        """
        with self._engine.connect() as connection:
            return one(connection, workflows, workflow_id)

    def workflows(
        self, status: str | None = None, limit: int = 50, offset: int = 0
    ) -> tuple[list[Record], int]:
        """Gives a page of workflows, newest first, and how many there are in all.

        Args:
            status: Only those with this status.
            limit: The most to give.
            offset: How many of the newest to leave out.
        """
        newest = select(workflows).order_by(workflows.c.created_at.desc(), workflows.c.id.desc())
        count = select(func.count()).select_from(workflows)
        if status is not None:
            newest = newest.where(workflows.c.status == status)
            count = count.where(workflows.c.status == status)
        with self._engine.connect() as connection:
            rows = connection.execute(newest.limit(limit).offset(offset)).all()
            return [as_record(row) for row in rows], connection.execute(count).scalar_one()

    def tasks(self, workflow_id: str) -> list[Record]:
        """Gives a workflow's tasks in the order of their ids.

        Raises:
            NotFoundError: There is no such workflow.
        """
        with self._engine.connect() as connection:
            require(connection, workflows, workflow_id)
            rows = connection.execute(_TASKS, {"workflow": workflow_id})
            return [as_record(row) for row in rows]

    def next_task_id(self, workflow_id: str) -> int:
        """Gives one more than the highest task id known, in the plan or among the tasks.

        Raises:
            NotFoundError: There is no such workflow.
        """
        with self._engine.connect() as connection:
            record = one(connection, workflows, workflow_id)
            added = connection.execute(_HIGHEST, {"workflow": workflow_id}).scalar_one()
        highest: int = max([added or 0, *(planned["id"] for planned in record["tasks"])])
        return highest + 1
