"""Makes the calls that come most in one statement each, where PostgreSQL is the database.

A transaction waits for the database once for each of its statements, and twice for itself. Here the
record is changed if the message's key is not known, and the key is kept if the record was changed;
where another call keeps the same key meanwhile, nothing is done. What is not as it is most of the
time comes back as None: `dotflow.api.writing` then makes the call, and finds out why.
"""

from collections.abc import Mapping
from datetime import datetime, timezone
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    CTE,
    Connection,
    Row,
    Select,
    Table,
    bindparam,
    exists,
    insert,
    select,
    update,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import IntegrityError

from dotflow.api.digests import digest_errors
from dotflow.api.envelope import Envelope, changed_columns, new_row
from dotflow.api.queries import ERRORS, TASK, as_task
from dotflow.api.records import TaskRow
from dotflow.api.tables import idempotency_keys, tasks, workflows
from dotflow.api.writing import ADD_TASK, CHANGE_TASK, Record

_KEY_COLUMNS = ("key", "target", "applied_at")
_IS_KNOWN = exists().where(idempotency_keys.c.key == bindparam("key_key"))


def add_task(
    connection: Connection, workflow_id: str, values: Mapping[str, Any], envelope: Envelope
) -> Record | None:
    """Adds a task to a workflow, and gives its ids as `Writing.add_task` does.

    Args:
        connection: Each statement on it is a transaction of its own.
        workflow_id: The workflow it belongs to.
        values: Columns, ``task_id``, ``name``, ``group_name`` and ``status`` among them.
        envelope: What the message says beside them.
    """
    task_id, now = values["task_id"], datetime.now(timezone.utc)
    row = new_row(envelope, {**values, "workflow_id": workflow_id}, now, of_task=True)
    key = (envelope.key, ADD_TASK.format(task_id, workflow_id), now)
    added = _execute(connection, _adding(tuple(row)), row, key, workflow_id)
    return added and {"id": added.id, "task_id": task_id, "workflow_id": workflow_id}


def change_task(
    connection: Connection, server_id: int, changes: Mapping[str, Any], envelope: Envelope
) -> TaskRow | None:
    """Sets the given columns of a task, and gives its record without its contexts.

    Args:
        connection: Each statement on it is a transaction of its own.
        server_id: The id that is unique on this server.
        changes: The columns to set; all others stay as they are.
        envelope: What the message says beside them.
    """
    if envelope.run is not None:
        return None
    if "errors" in changes:
        changes = {**changes, **digest_errors(changes["errors"])}
    now = datetime.now(timezone.utc)
    values = changed_columns(envelope, changes, now, of_task=True)
    key = (envelope.key, CHANGE_TASK.format(server_id), now)
    changed = _execute(connection, _changing(tuple(values)), values, key, server_id)
    return None if changed is None else as_task(changed._mapping)


def _execute(
    connection: Connection,
    statement: Select[Any],
    values: Mapping[str, Any],
    key: tuple[Any, ...],
    this: str | int,
) -> Row[Any] | None:
    given = {f"new_{name}": value for name, value in values.items()}
    given.update(zip((f"key_{name}" for name in _KEY_COLUMNS), key, strict=True), this=this)
    try:
        return connection.execute(statement, given).one_or_none()
    except IntegrityError:  # the same message is being applied by another call
        return None


@lru_cache(maxsize=500)
def _adding(columns: tuple[str, ...]) -> Select[Any]:
    # Held, it cannot be deleted before its task is there.
    held = select(workflows.c.id).where(workflows.c.id == bindparam("this"), ~_IS_KNOWN)
    held = held.with_for_update(read=True, key_share=True)
    row = _given("new", tasks, columns).select_from(held.cte("held"))
    added = postgresql.insert(tasks).from_select(columns, row, include_defaults=False)
    return _keeping_key(added.on_conflict_do_nothing().returning(tasks.c.id).cte("done"))


@lru_cache(maxsize=500)
def _changing(columns: tuple[str, ...]) -> Select[Any]:
    values = {name: bindparam(f"new_{name}", type_=tasks.c[name].type) for name in columns}
    changed = update(tasks).where(tasks.c.id == bindparam("this"), ~_IS_KNOWN).values(values)
    return _keeping_key(changed.returning(*TASK, ERRORS).cte("done"))


def _keeping_key(done: CTE) -> Select[Any]:
    """Gives a statement that keeps the message's key where something was done, and tells what."""
    row = _given("key", idempotency_keys, _KEY_COLUMNS).select_from(done)
    return select(done).add_cte(insert(idempotency_keys).from_select(_KEY_COLUMNS, row).cte("kept"))


def _given(what: str, table: Table, columns: tuple[str, ...]) -> Select[Any]:
    return select(*(bindparam(f"{what}_{name}", type_=table.c[name].type) for name in columns))
