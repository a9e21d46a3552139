"""Forgets what is only of use for a while: keys of messages, deletions, ended sessions."""

from datetime import datetime

from sqlalchemy import Column, Connection, Delete, Table, bindparam, delete, select

from dotflow.api.tables import deletions, ended_sessions, idempotency_keys


def _deleting_some(key: Column[str], moment: Column[datetime]) -> Delete:
    earlier = select(key).where(moment < bindparam("before")).limit(bindparam("most"))
    # Servers on several machines may be at it: each takes what no other one has in hand.
    return delete(key.table).where(key.in_(earlier.with_for_update(skip_locked=True)))


_DELETE = {
    idempotency_keys: _deleting_some(idempotency_keys.c.key, idempotency_keys.c.applied_at),
    deletions: _deleting_some(deletions.c.workflow_id, deletions.c.deleted_at),
    ended_sessions: _deleting_some(ended_sessions.c.id, ended_sessions.c.ended_at),
}


def forget(connection: Connection, table: Table, before: datetime, most: int) -> int:
    """Deletes some of a table's rows, and says how many.

    Args:
        connection: The transaction.
        table: That of keys, deletions or ended sessions.
        before: Those from before this moment.
        most: So many at most.
    """
    return connection.execute(_DELETE[table], {"before": before, "most": most}).rowcount
