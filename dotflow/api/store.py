"""The operations on the records. Knows SQL and nothing of HTTP.

Each change is one short transaction that sets only the columns it is about, so that two writers
at once lose nothing. A change that carries an idempotency key claims it first, in the same
transaction: whoever comes second waits there, then learns that the work is done.

JSON columns (a plan, errors, contexts) are given as JSON text and read as values.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime, timezone
from typing import Any

from sqlalchemy import Connection, Engine, Row, Table, bindparam, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from dotflow.api.database import WRITES
from dotflow.api.errors import ConflictError, KeyReusedError, NotFoundError
from dotflow.api.tables import idempotency_keys, tasks, workflows

Record = dict[str, Any]

# Statements are built once: to build one takes SQLAlchemy longer than SQLite takes to run it.
_SELECT = {
    table: select(table).where(table.c.id == bindparam("this")) for table in (workflows, tasks)
}
_UPDATE = {
    table: update(table).where(table.c.id == bindparam("this")) for table in (workflows, tasks)
}
_WORKFLOW_EXISTS = select(workflows.c.id).where(workflows.c.id == bindparam("this"))
_OF_WORKFLOW = tasks.c.workflow_id == bindparam("workflow")
_SERVER_ID = select(tasks.c.id).where(_OF_WORKFLOW, tasks.c.task_id == bindparam("task"))
_TASKS = select(tasks).where(_OF_WORKFLOW).order_by(tasks.c.task_id)
_HIGHEST = select(func.max(tasks.c.task_id)).where(_OF_WORKFLOW)
_KEY_TARGET = select(idempotency_keys.c.target).where(idempotency_keys.c.key == bindparam("this"))
# Counted, not RETURNING, which SQLite has only since 3.35.
_COUNTED = {"preserve_rowcount": True}


class Store:
    """Keeps workflow and task records; may be used by any number of threads.

    Args:
        engine: From `dotflow.api.database.open_engine`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._writer = engine.execution_options(**{WRITES: True})
        is_sqlite = engine.dialect.name == "sqlite"
        insert = sqlite.insert if is_sqlite else postgresql.insert
        self._insert = {
            table: insert(table).on_conflict_do_nothing().inline()
            for table in (workflows, tasks, idempotency_keys)
        }
        # SQLite waits for its lock by sleeping and polling; within this process a lock hands over
        # at once. Other processes are still kept out by SQLite itself.
        self._turn: AbstractContextManager[Any] = threading.Lock() if is_sqlite else nullcontext()

    def close(self) -> None:
        """Closes every connection; a later call opens new ones."""
        self._engine.dispose()

    def check(self) -> None:
        """Returns if the database answers, and raises its error if not."""
        with self._engine.connect() as connection:
            connection.execute(select(1))

    # Workflows

    def add_workflow(self, values: Mapping[str, Any], key: str | None = None) -> Record:
        """Adds a workflow and gives its id.

        Args:
            values: Columns, ``id`` and ``status`` among them.
            key: The message's idempotency key; a repeat gives the first answer again.

        Raises:
            ConflictError: The id is taken.
            KeyReusedError: The key was applied to something else.
        """
        answer = {"id": values["id"]}
        with self._writing() as connection:
            if self._claim(connection, key, f"add workflow {values['id']}") and not self._add(
                connection, workflows, values
            ):
                raise ConflictError("workflow", answer)
        return answer

    def change_workflow(
        self, workflow_id: str, changes: Mapping[str, Any], key: str | None = None
    ) -> Record:
        """Sets the given columns of a workflow and gives the record.

        Args:
            workflow_id: Its id.
            changes: The columns to set; all others stay as they are.
            key: The message's idempotency key; a repeat changes nothing.

        Raises:
            NotFoundError: There is no such workflow.
            KeyReusedError: The key was applied to something else.
        """
        with self._writing() as connection:
            if self._claim(connection, key, f"change workflow {workflow_id}"):
                _change(connection, workflows, workflow_id, changes)
            return _one(connection, workflows, workflow_id)

    def workflow(self, workflow_id: str) -> Record:
        """Gives one workflow's record.

        Raises:
            NotFoundError: There is no such workflow.
        """
        with self._engine.connect() as connection:
            return _one(connection, workflows, workflow_id)

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
            return [_record(row) for row in rows], connection.execute(count).scalar_one()

    # Tasks

    def add_task(
        self, workflow_id: str, values: Mapping[str, Any], key: str | None = None
    ) -> Record:
        """Adds a task to a workflow and gives its ids: ours, and the caller's.

        Args:
            workflow_id: The workflow it belongs to.
            values: Columns, ``task_id``, ``name``, ``group_name`` and ``status`` among them.
            key: The message's idempotency key; a repeat gives the first answer again.

        Raises:
            NotFoundError: There is no such workflow.
            ConflictError: The workflow has a task with this id.
            KeyReusedError: The key was applied to something else.
        """
        task_id = values["task_id"]
        with self._writing() as connection:
            _require_workflow(connection, workflow_id)
            first = self._claim(connection, key, f"add task {task_id} of {workflow_id}")
            added = first and self._add(connection, tasks, {**values, "workflow_id": workflow_id})
            server_id = _server_id(connection, workflow_id, task_id)
            answer = {"id": server_id, "task_id": task_id, "workflow_id": workflow_id}
            if first and not added:
                raise ConflictError("task", answer)
        return answer

    def change_task(
        self, server_id: int, changes: Mapping[str, Any], key: str | None = None
    ) -> Record:
        """Sets the given columns of a task and gives the record.

        Args:
            server_id: The id that `add_task` gave.
            changes: The columns to set; all others stay as they are.
            key: The message's idempotency key; a repeat changes nothing.

        Raises:
            NotFoundError: There is no such task.
            KeyReusedError: The key was applied to something else.
        """
        with self._writing() as connection:
            return self._change_task(connection, server_id, changes, key)

    def change_task_of(
        self, workflow_id: str, task_id: int, changes: Mapping[str, Any], key: str | None = None
    ) -> Record:
        """Does what `change_task` does, for the caller's own task id.

        Args:
            workflow_id: The workflow it belongs to.
            task_id: Its number in that workflow.
            changes: The columns to set; all others stay as they are.
            key: The message's idempotency key; a repeat changes nothing.

        Raises:
            NotFoundError: There is no such workflow, or no such task in it.
            KeyReusedError: The key was applied to something else.
        """
        with self._writing() as connection:
            server_id = _server_id(connection, workflow_id, task_id)
            return self._change_task(connection, server_id, changes, key)

    def tasks(self, workflow_id: str) -> list[Record]:
        """Gives a workflow's tasks in the order of their ids.

        Raises:
            NotFoundError: There is no such workflow.
        """
        with self._engine.connect() as connection:
            _require_workflow(connection, workflow_id)
            rows = connection.execute(_TASKS, {"workflow": workflow_id})
            return [_record(row) for row in rows]

    def next_task_id(self, workflow_id: str) -> int:
        """Gives one more than the highest task id known, in the plan or among the tasks.

        Raises:
            NotFoundError: There is no such workflow.
        """
        with self._engine.connect() as connection:
            record = _one(connection, workflows, workflow_id)
            added = connection.execute(_HIGHEST, {"workflow": workflow_id}).scalar_one()
        highest: int = max([added or 0, *(planned["id"] for planned in record["tasks"])])
        return highest + 1

    # Inside a transaction

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._turn, self._writer.begin() as connection:
            yield connection

    def _claim(self, connection: Connection, key: str | None, target: str) -> bool:
        """Says if the work is to be done: the key is new, or there is none."""
        if key is None:
            return True
        row = {"key": key, "target": target, "applied_at": _now()}
        if self._insert_new(connection, idempotency_keys, row):
            return True
        if connection.execute(_KEY_TARGET, {"this": key}).scalar_one() != target:
            raise KeyReusedError
        return False

    def _add(self, connection: Connection, table: Table, values: Mapping[str, Any]) -> bool:
        now = _now()
        return self._insert_new(connection, table, {**values, "created_at": now, "updated_at": now})

    def _insert_new(self, connection: Connection, table: Table, row: Mapping[str, Any]) -> bool:
        done = connection.execute(self._insert[table], dict(row), execution_options=_COUNTED)
        return done.rowcount == 1

    def _change_task(
        self, connection: Connection, server_id: int, changes: Mapping[str, Any], key: str | None
    ) -> Record:
        if self._claim(connection, key, f"change task {server_id}"):
            _change(connection, tasks, server_id, changes)
        return _one(connection, tasks, server_id)


def _now() -> datetime:
    return datetime.now(timezone.utc)


def _record(row: Row[Any]) -> Record:
    return dict(row._mapping)


def _one(connection: Connection, table: Table, record_id: str | int) -> Record:
    row = connection.execute(_SELECT[table], {"this": record_id}).one_or_none()
    if row is None:
        raise NotFoundError(table.name.removesuffix("s"), record_id)
    return _record(row)


def _change(
    connection: Connection, table: Table, record_id: str | int, changes: Mapping[str, Any]
) -> None:
    values = {**changes, "updated_at": _now(), "this": record_id}
    connection.execute(_UPDATE[table], values)


def _require_workflow(connection: Connection, workflow_id: str) -> None:
    if connection.execute(_WORKFLOW_EXISTS, {"this": workflow_id}).one_or_none() is None:
        raise NotFoundError("workflow", workflow_id)


def _server_id(connection: Connection, workflow_id: str, task_id: int) -> int:
    names = {"workflow": workflow_id, "task": task_id}
    server_id: int | None = connection.execute(_SERVER_ID, names).scalar_one_or_none()
    if server_id is None:
        raise NotFoundError("task", task_id)
    return server_id
