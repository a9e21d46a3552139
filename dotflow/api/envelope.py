"""What a message says beside its values: which run it is of, and when things happened in it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from sqlalchemy import Connection, bindparam, func, select
from sqlalchemy.dialects import postgresql, sqlite

from dotflow.api.tables import openings, workflows
from dotflow.api.times import Times

_BEGINS = "In progress"
_TRACEPARENT = re.compile("[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}")
_FINAL = ("Completed", "Failed")

_OPENED_BY = func.coalesce(
    select(workflows.c.opened_by).where(workflows.c.id == bindparam("this")).scalar_subquery(), ""
)


@dataclass(frozen=True)
class Envelope:
    """What a message says beside its values.

    Args:
        key: Its idempotency key; a repeat changes nothing and is answered as the first was.
        opens: The run that opens the record with it.
        run: The run whose end it is, told by another process: it is applied only while the
            record was last opened by that run, or is open and nobody said by whom.
        times: When the run or the task began and ended; None if the message does not say.
        traceparent: The span that it is about, as W3C's trace context says it.
    """

    key: str | None = None
    opens: str | None = None
    run: str | None = None
    times: Times | None = None
    traceparent: str | None = None


def columns_of(envelope: Envelope, values: Mapping[str, Any], *, of_task: bool) -> dict[str, Any]:
    """Gives the columns that say when a run or a task began and ended, and where its span is.

    Args:
        envelope: What its message says of that.
        values: The columns that the message sets.
        of_task: Whether it is a task's.
    """
    return {**_times(envelope.times, values, of_task), **(_place(envelope) if of_task else {})}


def new_row(
    envelope: Envelope, values: Mapping[str, Any], now: datetime, *, of_task: bool
) -> dict[str, Any]:
    """Gives the columns of a record that a message makes.

    Args:
        envelope: What it says beside its values.
        values: The columns that it sets.
        now: The time by this server's clock.
        of_task: Whether it makes a task.
    """
    row = {**values, "opened_by": envelope.opens, "created_at": now, "updated_at": now}
    return {**row, **columns_of(envelope, values, of_task=of_task)}


def changed_columns(
    envelope: Envelope, changes: Mapping[str, Any], now: datetime, *, of_task: bool
) -> dict[str, Any]:
    """Gives the columns that a message changes.

    Args:
        envelope: What it says beside its values.
        changes: The columns that it sets.
        now: The time by this server's clock.
        of_task: Whether it changes a task.
    """
    columns = columns_of(envelope, changes, of_task=of_task)
    values = {**changes, **columns, "updated_at": now}
    if envelope.opens is not None or changes.get("status") == _BEGINS:
        values["opened_by"] = envelope.opens
    return values


def _place(envelope: Envelope) -> dict[str, Any]:
    if envelope.times is None:  # it did no work: a task that was restored has the span that did
        return {}
    found = _TRACEPARENT.match(envelope.traceparent or "")
    return {"trace_id": found[1], "span_id": found[2]} if found else {}


def _times(times: Times | None, values: Mapping[str, Any], of_task: bool) -> dict[str, Any]:
    if times is None:
        return {"finished_at": None} if values.get("status") == _BEGINS else {}
    said: dict[str, Any] = {"finished_at": times.finished_at}
    if times.started_at is not None:
        said["started_at"] = times.started_at
    return {**said, "attempts": times.attempts} if of_task else said


def note_opening(
    connection: Connection, workflow_id: str, values: Mapping[str, Any], envelope: Envelope
) -> None:
    """Keeps what a message says of its run, also where it no longer changes the record.

    Args:
        connection: The transaction that the message is applied in.
        workflow_id: The record that the run opened.
        values: The columns that the message sets.
        envelope: What it says beside them.
    """
    run = envelope.run or envelope.opens
    status, times = values.get("status", _BEGINS), envelope.times
    row = {
        "workflow_id": workflow_id,
        "status": status,
        "started_at": times.started_at if times else None,
        "finished_at": times.finished_at if times and status in _FINAL else None,
        "created_at": datetime.now(timezone.utc),
        **({"this": workflow_id} if run is None else {"run": run}),
    }
    connection.execute(_NOTE[connection.dialect.name, run is not None], row)


def _noting(insert: Any, is_named: bool) -> Any:
    """Gives the statement that notes what a message says of the run that opened its workflow."""
    adds = insert(openings)
    if not is_named:
        adds = adds.values(run=_OPENED_BY)
    new = adds.excluded
    return adds.on_conflict_do_update(
        index_elements=[openings.c.workflow_id, openings.c.run],
        set_={
            "status": new.status,
            "started_at": func.coalesce(new.started_at, openings.c.started_at),
            "finished_at": new.finished_at,
        },
    )


_NOTE = {
    (dialect, is_named): _noting(insert, is_named)
    for dialect, insert in (("sqlite", sqlite.insert), ("postgresql", postgresql.insert))
    for is_named in (True, False)
}
