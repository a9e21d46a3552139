"""The tables of dotflow-api, the same on SQLite and PostgreSQL."""

import json
from datetime import datetime, timezone
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)


class JsonText(TypeDecorator[Any]):
    """Takes JSON text and gives back the value.

    Text, not the database's own JSON: PostgreSQL's refuses what valid JSON may hold, a NUL. It is
    text on the way in because the border has already written it once, to see that it can be.
    """

    impl = Text
    cache_ok = True

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:  # noqa: ARG002
        """Reads the stored text."""
        return None if value is None else json.loads(value)


class UtcTime(TypeDecorator[datetime]):
    """Keeps moments in UTC, and gives them back with their zone, which SQLite forgets."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_result_value(
        self,
        value: datetime | None,
        dialect: Dialect,  # noqa: ARG002
    ) -> datetime | None:
        """Puts the zone back."""
        if value is None:
            return None
        if value.tzinfo is None:
            return value.replace(tzinfo=timezone.utc)
        return value.astimezone(timezone.utc)


metadata = MetaData()

workflows = Table(
    "workflows",
    metadata,
    Column("id", String(255), primary_key=True),
    Column("name", Text),
    Column("mode", Text),
    Column("status", String(32), nullable=False),
    Column("trace_id", String(32)),
    Column("duration", Double),
    Column("tasks", JsonText, nullable=False, server_default="[]"),
    Column("opened_by", String(255)),  # the run that last opened it, if it said so
    Column("created_at", UtcTime, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
    Index("workflows_by_age", "created_at", "id"),
    Index("workflows_by_status", "status", "created_at", "id"),
)

tasks = Table(
    "tasks",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("workflow_id", String(255), ForeignKey("workflows.id"), nullable=False),
    Column("task_id", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("group_name", Text, nullable=False),
    Column("status", String(32), nullable=False),
    Column("duration", Double),
    Column("retry_count", BigInteger, nullable=False, server_default="0"),
    Column("errors", JsonText, nullable=False, server_default="[]"),
    Column("initial_context", JsonText),
    Column("current_context", JsonText),
    Column("previous_context", JsonText),
    Column("opened_by", String(255)),
    Column("created_at", UtcTime, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
    UniqueConstraint("workflow_id", "task_id"),
    sqlite_autoincrement=True,
)

# One row a message that was applied: written in the transaction of its effect, never without it.
idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("key", String(255), primary_key=True),
    Column("target", Text, nullable=False),
    Column("applied_at", UtcTime, nullable=False),
    sqlite_with_rowid=False,
)
