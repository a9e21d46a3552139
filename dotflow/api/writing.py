"""What changes records, within one transaction. Knows SQL and nothing of HTTP.

A change sets only the columns that it is about, so that two writers at once lose nothing. One
that carries an idempotency key claims it first: whoever comes second waits there, then learns
that the work is done. A change that raises leaves its transaction to be rolled back.
"""

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, TypeAlias

from sqlalchemy import (
    Connection,
    Select,
    Table,
    and_,
    bindparam,
    case,
    delete,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from dotflow.api.digests import digest_errors, digest_plan
from dotflow.api.envelope import Envelope, changed_columns, new_row, note_opening
from dotflow.api.errors import ConflictError, KeyReusedError, NotFoundError
from dotflow.api.forgetting import forget
from dotflow.api.queries import read_run, read_task
from dotflow.api.records import Run, TaskRow
from dotflow.api.tables import (
    deletions,
    ended_sessions,
    idempotency_keys,
    openings,
    tasks,
    workflows,
)

Record: TypeAlias = dict[str, Any]

_NEW = "New"
FINAL = ("Completed", "Failed")
# What a key was used for.
ADD_TASK, CHANGE_TASK = "add task {} of {}", "change task {}"

# Statements are built once: to build one takes SQLAlchemy longer than SQLite takes to run it.
_RECORDS = (workflows, tasks)
_EXISTS = {table: select(table.c.id).where(table.c.id == bindparam("this")) for table in _RECORDS}
# Whoever adds a task holds its workflow against whoever deletes that, and the other way round.
_HOLD = _EXISTS[workflows].with_for_update(read=True, key_share=True)
_HOLD_ALONE = _EXISTS[workflows].with_for_update()
_DELETE = {
    workflows: delete(workflows).where(workflows.c.id == bindparam("this")),
    tasks: delete(tasks).where(tasks.c.workflow_id == bindparam("this")),
    openings: delete(openings).where(openings.c.workflow_id == bindparam("this")),
}
_UPDATE = {table: update(table).where(table.c.id == bindparam("this")) for table in _RECORDS}
# A run that did not say its name when it opened the record may be any: only its end is believed.
_UPDATE_OF_RUN = {
    table: _UPDATE[table].where(
        or_(
            table.c.opened_by == bindparam("run"),
            and_(table.c.opened_by.is_(None), table.c.status.not_in(FINAL)),
        )
    )
    for table in _RECORDS
}
# One that tells its run's beginning too may end what another run left open.
_UPDATE_OF_OPENING_RUN = {
    table: _UPDATE[table].where(
        or_(table.c.opened_by == bindparam("run"), table.c.status.not_in(FINAL))
    )
    for table in _RECORDS
}
# What is dropped has not changed since it was chosen: nobody took it up again.
_HOLD_UNCHANGED = (
    select(workflows.c.id)
    .where(
        workflows.c.id == bindparam("this"),
        workflows.c.updated_at == bindparam("updated_at"),
        workflows.c.status.in_(FINAL),
    )
    # Servers on several machines may be at it: each takes what no other one has in hand.
    .with_for_update(skip_locked=True)
)
_DELETE_SOME_TASKS = delete(tasks).where(
    tasks.c.id.in_(
        select(tasks.c.id).where(tasks.c.workflow_id == bindparam("this")).limit(bindparam("most"))
    )
)

_FORGET_DELETION = delete(deletions).where(deletions.c.workflow_id == bindparam("this"))
_SERVER_ID = select(tasks.c.id).where(
    tasks.c.workflow_id == bindparam("workflow"), tasks.c.task_id == bindparam("task")
)
_KEY_TARGET = select(idempotency_keys.c.target).where(idempotency_keys.c.key == bindparam("this"))
_INSERT = {
    dialect: {
        table: insert(table).on_conflict_do_nothing().inline()
        for table in (*_RECORDS, idempotency_keys, deletions, ended_sessions)
    }
    for dialect, insert in (("sqlite", sqlite.insert), ("postgresql", postgresql.insert))
}
# With the id that the database gave; SQLite tells that beside the answer.
_INSERT_TASK = _INSERT["postgresql"][tasks].returning(tasks.c.id)
# A run that goes on began when it was first opened.
_SAID_START = bindparam("began", type_=workflows.c.started_at.type)
_FIRST_START = case(
    (workflows.c.started_at < _SAID_START, workflows.c.started_at), else_=_SAID_START
)
# Counted, not RETURNING, which SQLite has only since 3.35.
_COUNTED = {"preserve_rowcount": True}


PLAIN = Envelope()


class Writing:
    """Changes records in one transaction.

    Args:
        connection: It, begun; whoever began it also ends it.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._dialect = connection.dialect.name
        self._insert = _INSERT[self._dialect]
        # What a bulk says of one workflow is looked up once: nobody else can delete what is held.
        self._held: set[str] = set()
        self._server_ids: dict[tuple[str, int], int] = {}

    def add_workflow(self, values: Mapping[str, Any], envelope: Envelope = PLAIN) -> Record:
        """Adds a workflow and gives its id.

        Args:
            values: Columns, ``id`` and ``status`` among them.
            envelope: What the message says beside them.

        Raises:
            ConflictError: The id is taken.
            KeyReusedError: The key was applied to something else.
        """
        answer = {"id": values["id"]}
        if not self._claim(envelope.key, f"add workflow {values['id']}"):
            return answer
        row = new_row(envelope, _with_plan(values), _now(), of_task=False)
        if not self._insert_new(workflows, row):
            raise ConflictError("workflow", answer)
        if envelope.opens is not None or values["status"] != _NEW:
            note_opening(self._connection, values["id"], values, envelope)
        return answer

    def change_workflow(
        self, workflow_id: str, changes: Mapping[str, Any], envelope: Envelope = PLAIN
    ) -> None:
        """Sets the given columns of a workflow.

        Args:
            workflow_id: Its id.
            changes: The columns to set; all others stay as they are.
            envelope: What the message says beside them.

        Raises:
            NotFoundError: There is no such workflow.
            KeyReusedError: The key was applied to something else.
        """
        what = f"change workflow {workflow_id}"
        if self._change_once(what, workflows, workflow_id, _with_plan(changes), envelope) and (
            envelope.opens is not None or changes.get("status", _NEW) != _NEW
        ):
            if envelope.run is not None:  # it may have changed nothing, and so hold nothing
                self._hold(workflow_id, _HOLD)
            note_opening(self._connection, workflow_id, changes, envelope)

    def delete_workflow(self, workflow_id: str) -> None:
        """Deletes a workflow and its tasks.

        Their idempotency keys stay: a message that is repeated later does not bring them back.

        Args:
            workflow_id: Its id.

        Raises:
            NotFoundError: There is no such workflow.
        """
        self._hold(workflow_id, _HOLD_ALONE)
        self._delete(workflow_id)

    def drop_workflow(self, workflow_id: str, updated_at: datetime, most: int) -> bool | None:
        """Deletes some tasks of a workflow that ended, and it with the last; says if it is gone.

        Args:
            workflow_id: Its id.
            updated_at: When it last changed. None comes of one that has changed since, is not, or
                is being dropped by another server.
            most: So many tasks at most.
        """
        chosen = {"this": workflow_id, "updated_at": updated_at}
        if self._connection.execute(_HOLD_UNCHANGED, chosen).one_or_none() is None:
            return None
        some = {"this": workflow_id, "most": most}
        if self._connection.execute(_DELETE_SOME_TASKS, some).rowcount == most:
            return False
        self._delete(workflow_id)
        return True

    def forget(self, table: Table, before: datetime, most: int) -> int:
        """Forgets some idempotency keys, deletions or ended sessions, and says how many.

        Args:
            table: Of which table.
            before: Those that are from before this moment.
            most: So many at most.
        """
        return forget(self._connection, table, before, most)

    def end_session(self, session: str) -> None:
        """Keeps, for every process, that somebody has logged out.

        Args:
            session: The session's id.
        """
        self._insert_new(ended_sessions, {"id": session, "ended_at": _now()})

    def _delete(self, workflow_id: str) -> None:
        for table in (openings, tasks, workflows):
            self._connection.execute(_DELETE[table], {"this": workflow_id})
        # A run of this name may have been deleted before: this is the time to tell.
        self._connection.execute(_FORGET_DELETION, {"this": workflow_id})
        self._insert_new(deletions, {"workflow_id": workflow_id, "deleted_at": _now()})
        self._held.clear()
        self._server_ids.clear()

    def add_task(
        self, workflow_id: str, values: Mapping[str, Any], envelope: Envelope = PLAIN
    ) -> Record:
        """Adds a task to a workflow and gives its ids: ours, and the caller's.

        Args:
            workflow_id: The workflow it belongs to.
            values: Columns, ``task_id``, ``name``, ``group_name`` and ``status`` among them.
            envelope: What the message says beside them.

        Raises:
            NotFoundError: There is no such workflow.
            ConflictError: The workflow has a task with this id.
            KeyReusedError: The key was applied to something else.
        """
        task_id = values["task_id"]
        if workflow_id not in self._held:
            self._hold(workflow_id, _HOLD)
            self._held.add(workflow_id)
        first = self._claim(envelope.key, ADD_TASK.format(task_id, workflow_id))
        row = new_row(envelope, {**values, "workflow_id": workflow_id}, _now(), of_task=True)
        added = self._insert_task(row) if first else None
        if added is not None:
            self._server_ids[workflow_id, task_id] = added
        server_id = self.server_id(workflow_id, task_id)
        answer = {"id": server_id, "task_id": task_id, "workflow_id": workflow_id}
        if first and added is None:
            raise ConflictError("task", answer)
        return answer

    def change_task(
        self, server_id: int, changes: Mapping[str, Any], envelope: Envelope = PLAIN
    ) -> None:
        """Sets the given columns of a task.

        Args:
            server_id: The id that `add_task` gave.
            changes: The columns to set; all others stay as they are.
            envelope: What the message says beside them.

        Raises:
            NotFoundError: There is no such task.
            KeyReusedError: The key was applied to something else.
        """
        if "errors" in changes:
            changes = {**changes, **digest_errors(changes["errors"])}
        self._change_once(CHANGE_TASK.format(server_id), tasks, server_id, changes, envelope)

    def server_id(self, workflow_id: str, task_id: int) -> int:
        """Gives the id that `add_task` gave for the caller's own.

        Raises:
            NotFoundError: There is no such workflow, or no such task in it.
        """
        known = self._server_ids.get((workflow_id, task_id))
        if known is not None:
            return known
        names = {"workflow": workflow_id, "task": task_id}
        found: int | None = self._connection.execute(_SERVER_ID, names).scalar_one_or_none()
        if found is None:
            raise NotFoundError("task", task_id)
        return found

    def workflow(self, workflow_id: str) -> Run:
        """Gives a workflow's record as it is now, without its plan.

        Raises:
            NotFoundError: There is no such workflow.
        """
        return read_run(self._connection, workflow_id, plan=False)

    def task(self, server_id: int) -> TaskRow:
        """Gives a task's record as it is now, without its contexts.

        Raises:
            NotFoundError: There is no such task.
        """
        return read_task(self._connection, server_id, contexts=False)

    def _claim(self, key: str | None, target: str) -> bool:
        """Says if the work is to be done: the key is new, or there is none."""
        if key is None:
            return True
        row = {"key": key, "target": target, "applied_at": _now()}
        if self._insert_new(idempotency_keys, row):
            return True
        if self._connection.execute(_KEY_TARGET, {"this": key}).scalar_one() != target:
            raise KeyReusedError
        return False

    def _insert_task(self, row: Record) -> int | None:
        """Gives the new task's id; None where there is one already."""
        if self._dialect == "postgresql":
            added: int | None = self._connection.execute(_INSERT_TASK, row).scalar_one_or_none()
            return added
        statement = self._insert[tasks]
        done = self._connection.execute(statement, row, execution_options=_COUNTED)
        return done.lastrowid if done.rowcount == 1 else None

    def _insert_new(self, table: Table, row: Mapping[str, Any]) -> bool:
        statement = self._insert[table]
        done = self._connection.execute(statement, dict(row), execution_options=_COUNTED)
        return done.rowcount == 1

    def _change_once(
        self, what: str, table: Table, record_id: str | int, changes: Mapping[str, Any],
        envelope: Envelope,
    ) -> bool:  # fmt: skip
        """Says whether the message is a new one; of a run that has gone, nothing is changed."""
        first = self._claim(envelope.key, what)
        if not (first and self._change(table, record_id, changes, envelope)):
            self._require(table, record_id)
        return first

    def _change(
        self, table: Table, record_id: str | int, changes: Mapping[str, Any], envelope: Envelope
    ) -> bool:
        values = changed_columns(envelope, changes, _now(), of_task=table is tasks)
        values["this"] = record_id
        statement = _UPDATE[table]
        if envelope.run is not None:
            by = _UPDATE_OF_RUN if envelope.opens is None else _UPDATE_OF_OPENING_RUN
            statement = by[table]
            values["run"] = envelope.run
        if table is workflows and "started_at" in values:
            values["began"] = values.pop("started_at")
            statement = statement.values(started_at=_FIRST_START)
        return self._connection.execute(statement, values).rowcount == 1

    def _require(self, table: Table, record_id: str | int) -> None:
        if self._connection.execute(_EXISTS[table], {"this": record_id}).one_or_none() is None:
            raise _unknown(table, record_id)

    def _hold(self, workflow_id: str, statement: Select[Any]) -> None:
        """Keep a workflow as it is to the end of the transaction, where the database can."""
        if self._connection.execute(statement, {"this": workflow_id}).one_or_none() is None:
            raise _unknown(workflows, workflow_id)


def _with_plan(values: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**values, **digest_plan(values["tasks"])} if "tasks" in values else values


def _unknown(table: Table, record_id: str | int) -> NotFoundError:
    return NotFoundError(table.name.removesuffix("s"), record_id)


def _now() -> datetime:
    return datetime.now(timezone.utc)
