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
    func,
    literal_column,
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
        if value == "[]":  # as most are, and there are many
            return []
        return None if value is None else json.loads(value)


class UtcTime(TypeDecorator[datetime]):
    """Keeps moments in UTC, and gives them back with their zone, which SQLite forgets."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(
        self,
        value: datetime | None,
        dialect: Dialect,  # noqa: ARG002
    ) -> datetime | None:
        """Turns a moment to UTC: SQLite keeps what the clock showed, whatever the zone."""
        return None if value is None else value.astimezone(timezone.utc)

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

# What may be large stands last: SQLite reads a row from its beginning.
workflows = Table(
    "workflows",
    metadata,
    Column("id", String(255), primary_key=True),
    Column("name", Text),
    Column("mode", Text),
    Column("status", String(32), nullable=False),
    Column("trace_id", String(32)),
    Column("duration", Double),
    Column("opened_by", String(255)),  # the run that last opened it, if it said so
    # By the run's own clock: when it was first opened, and when it last ended.
    Column("started_at", UtcTime),
    Column("finished_at", UtcTime),
    # By this server's clock.
    Column("created_at", UtcTime, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
    Column("planned", Integer),  # how many tasks the plan has
    Column("tasks", JsonText, nullable=False, server_default="[]"),
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
    Column("opened_by", String(255)),
    # Its span, as the message that began it said: it may be in a trace that is not its run's.
    Column("trace_id", String(32)),
    Column("span_id", String(16)),
    # By the run's own clock, as are the attempts: those of the last time that it ran.
    Column("started_at", UtcTime),
    Column("finished_at", UtcTime),
    Column("created_at", UtcTime, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
    # What its errors say in short: how many, the class of the last one, words to search in.
    Column("error_count", Integer, nullable=False, server_default="0"),
    Column("last_error", Text),
    Column("error_text", Text),
    Column("attempts", JsonText, nullable=False, server_default="[]"),
    Column("errors", JsonText, nullable=False, server_default="[]"),
    Column("initial_context", JsonText),
    Column("current_context", JsonText),
    Column("previous_context", JsonText),
    UniqueConstraint("workflow_id", "task_id"),
    sqlite_autoincrement=True,
)

# Each run that opened a workflow's record: the first one, and one for each time that it went on.
openings = Table(
    "openings",
    metadata,
    Column("workflow_id", String(255), ForeignKey("workflows.id"), primary_key=True),
    Column("run", String(255), primary_key=True),  # empty for those that do not say their name
    Column("status", String(32), nullable=False),
    Column("started_at", UtcTime),
    Column("finished_at", UtcTime),
    Column("created_at", UtcTime, nullable=False),
    sqlite_with_rowid=False,
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

# What other processes have to hear of, and cannot see in the records.
deletions = Table(
    "deletions",
    metadata,
    Column("workflow_id", String(255), primary_key=True),
    Column("deleted_at", UtcTime, nullable=False),
    sqlite_with_rowid=False,
)
ended_sessions = Table(
    "ended_sessions",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("ended_at", UtcTime, nullable=False),
    sqlite_with_rowid=False,
)

began = func.coalesce(workflows.c.started_at, workflows.c.created_at)
"""When a workflow began, as far as it is known: what lists are ordered by."""

# A whole name may be longer than a key of an index.
NAME_LENGTH = 200
name_start = func.substr(workflows.c.name, literal_column("1"), literal_column(str(NAME_LENGTH)))
"""The beginning of a workflow's name."""

_ERRED = tasks.c.last_error.is_not(None)

INDEXES = (
    Index("workflows_by_beginning", began, workflows.c.id),
    Index("workflows_of_status", workflows.c.status, began, workflows.c.id),
    Index("workflows_of_name", name_start, began, workflows.c.id),
    Index("workflows_by_change", workflows.c.updated_at, workflows.c.id),
    Index("keys_by_age", idempotency_keys.c.applied_at),
    Index("deletions_by_age", deletions.c.deleted_at),
    Index("tasks_of_status", tasks.c.workflow_id, tasks.c.status, tasks.c.task_id),
    Index("tasks_by_change", tasks.c.updated_at, tasks.c.workflow_id),
    Index(
        *("tasks_that_erred", tasks.c.workflow_id),
        sqlite_where=_ERRED,
        postgresql_where=_ERRED,
    ),
)
EARLIER_INDEXES = ("workflows_by_age", "workflows_by_status")
"""What earlier versions had, and nothing uses any more."""
