"""Brings a database of an earlier version up to date: columns, and what they hold."""

from typing import Any

from sqlalchemy import Connection, Table, Text, bindparam, inspect, select, type_coerce, update
from sqlalchemy.schema import CreateColumn

from dotflow.api.digests import digest_errors, digest_plan
from dotflow.api.tables import EARLIER_INDEXES, metadata, tasks, workflows

_PORTION = 500
_NOTHING = "[]"


def bring_up_to_date(connection: Connection) -> None:
    """Adds what the tables of an earlier version lack; what is up to date is left as it is.

    Args:
        connection: It, begun and alone in this work.
    """
    added = {
        table.name: _add_missing_columns(connection, table) for table in metadata.sorted_tables
    }
    if "planned" in added[workflows.name]:
        _fill(connection, workflows, "tasks", digest_plan)
    if "error_count" in added[tasks.name]:
        _fill(connection, tasks, "errors", digest_errors)
    for name in EARLIER_INDEXES:
        connection.exec_driver_sql(f"DROP INDEX IF EXISTS {name}")


def _add_missing_columns(connection: Connection, table: Table) -> set[str]:
    present = {column["name"] for column in inspect(connection).get_columns(table.name)}
    missing = [column for column in table.columns if column.name not in present]
    for column in missing:
        definition = CreateColumn(column).compile(dialect=connection.dialect)
        connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN {definition}")
    return {column.name for column in missing}


def _fill(connection: Connection, table: Table, name: str, digest: Any) -> None:
    """Works out what a new column says of an old one, row by row."""
    source = type_coerce(table.c[name], Text)
    portion = (
        select(table.c.id, source.label("text"))
        .where(table.c.id > bindparam("last"), source != _NOTHING)
        .order_by(table.c.id)
        .limit(_PORTION)
    )
    last: Any = "" if table is workflows else 0
    change = update(table).where(table.c.id == bindparam("this"))
    while rows := connection.execute(portion, {"last": last}).all():
        for row in rows:
            connection.execute(change, {"this": row.id, **digest(row.text)})
        last = rows[-1].id
