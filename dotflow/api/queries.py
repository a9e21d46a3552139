"""The statements of `dotflow.api.reading`, and what becomes of the rows that they give."""

import json
from collections.abc import Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    CursorResult,
    RowMapping,
    Select,
    Text,
    and_,
    bindparam,
    func,
    select,
    type_coerce,
)
from sqlalchemy import Row as RowOf

from dotflow.api.errors import NotFoundError
from dotflow.api.records import Planned, Row, Run, TaskRow
from dotflow.api.tables import deletions, openings, tasks, workflows
from dotflow.api.times import attempts_of

PAGE_BYTES = 8 * 2**20
"""Bytes of plans, errors and contexts after which a page ends, if it has one record."""

CONTEXTS = ("initial_context", "current_context", "previous_context")

# Rows that are fetched at once where each may have ten megabytes, or one.
FEW, SOME = 2, 20

RUN = [
    workflows.c[name]
    for name in (
        *("id", "name", "mode", "status", "trace_id", "started_at", "finished_at", "duration"),
        *("created_at", "updated_at", "planned"),
    )
]
PLAN = type_coerce(workflows.c.tasks, Text).label("plan")
LEAN = [
    tasks.c[name]
    for name in (
        *("task_id", "name", "group_name", "status", "started_at", "finished_at", "attempts"),
        *("retry_count", "last_error", "created_at"),
    )
]
TASK = [
    *LEAN,
    *(tasks.c[name] for name in ("id", "workflow_id", "duration", "error_count", "updated_at")),
    *(tasks.c[name] for name in ("trace_id", "span_id")),
]
ERRORS = type_coerce(tasks.c.errors, Text).label("errors")
CONTEXT_COLUMNS = [type_coerce(tasks.c[name], Text).label(name) for name in CONTEXTS]

OF_WORKFLOW = tasks.c.workflow_id == bindparam("workflow")
OPENINGS = (
    select(openings)
    .where(openings.c.workflow_id == bindparam("workflow"))
    .order_by(func.coalesce(openings.c.started_at, openings.c.created_at), openings.c.run)
)
_COUNTS = (
    select(tasks.c.workflow_id, tasks.c.status, func.count())
    .where(tasks.c.workflow_id.in_(bindparam("workflows", expanding=True)))
    .group_by(tasks.c.workflow_id, tasks.c.status)
)
_OPENED = (
    select(openings.c.workflow_id, func.count())
    .where(openings.c.workflow_id.in_(bindparam("workflows", expanding=True)))
    .group_by(openings.c.workflow_id)
)
_FIRST = (
    select(tasks.c.workflow_id, func.min(tasks.c.task_id).label("task_id"))
    .where(
        tasks.c.workflow_id.in_(bindparam("workflows", expanding=True)),
        tasks.c.status == "Failed",
    )
    .group_by(tasks.c.workflow_id)
    .subquery()
)
FIRST_FAILED = select(tasks.c.workflow_id, tasks.c.task_id, tasks.c.name, tasks.c.last_error).join(
    _FIRST,
    and_(tasks.c.workflow_id == _FIRST.c.workflow_id, tasks.c.task_id == _FIRST.c.task_id),
)
# Built once: to build one takes SQLAlchemy longer than all else that an answer to a PATCH takes.
_ONE_RUN = {
    plan: select(*RUN, *([PLAN] if plan else ())).where(workflows.c.id == bindparam("workflow"))
    for plan in (True, False)
}
_ONE_TASK = {
    (is_own, contexts): select(*TASK, ERRORS, *(CONTEXT_COLUMNS if contexts else ())).where(*named)
    for is_own, named in (
        (True, (OF_WORKFLOW, tasks.c.task_id == bindparam("task"))),
        (False, (tasks.c.id == bindparam("task"),)),
    )
    for contexts in (True, False)
}
_PLAN_OF = select(workflows.c.tasks).where(workflows.c.id == bindparam("workflow"))

_SINCE = bindparam("since", type_=tasks.c.updated_at.type)
# Changes among which runs are looked for: a run that goes on has thousands in a moment.
_MOST_CHANGES = 20_000


def _changes(run: ColumnElement[str], moment: ColumnElement[datetime]) -> Select[Any]:
    # The limit within makes the database go by the index of moments: by runs it is all tasks.
    recent = select(run.label("run"), moment.label("moment")).where(moment >= _SINCE)
    late = recent.order_by(moment.desc()).limit(_MOST_CHANGES).subquery()
    last = func.max(late.c.moment)
    query = select(late.c.run, last).group_by(late.c.run)
    return query.order_by(last.desc()).limit(bindparam("limit"))


CHANGES = [
    _changes(workflows.c.id, workflows.c.updated_at),
    _changes(tasks.c.workflow_id, tasks.c.updated_at),
    _changes(deletions.c.workflow_id, deletions.c.deleted_at),
]


def run_query(connection: Connection, query: Select[Any], at_once: int) -> CursorResult[Any]:
    """Runs a query whose rows may be large.

    Args:
        connection: Where to.
        query: It.
        at_once: How many rows are fetched at a time.
    """
    return connection.execute(query, execution_options={"yield_per": at_once})


def read_page(rows: CursorResult[Any], limit: int) -> tuple[list[RowMapping], bool]:
    """Gives the first rows, as many as a page holds, and says if there are more.

    Args:
        rows: They, one more than the limit if there are as many.
        limit: The most to give.
    """
    found: list[RowMapping] = []
    room = PAGE_BYTES
    with rows.mappings() as mapped:
        for row in mapped:
            if len(found) == limit or (found and room <= 0):
                return found, True
            found.append(row)
            room -= sum(len(value) for value in row.values() if isinstance(value, str))
    return found, False


def with_counts(connection: Connection, found: Sequence[RowMapping]) -> list[Run]:
    """Gives the runs of some rows, with how many tasks and openings they have.

    Args:
        connection: Where to count.
        found: Rows of `RUN`, perhaps with `PLAN`.
    """
    ids = {"workflows": [row["id"] for row in found]}
    counts: dict[str, dict[str, int]] = {}
    opened: dict[str, int] = {}
    if found:
        for workflow, status, number in connection.execute(_COUNTS, ids):
            counts.setdefault(workflow, {})[status] = number
        opened.update((workflow, number) for workflow, number in connection.execute(_OPENED, ids))
    return [
        Run(
            **{**row, "planned": row["planned"] or 0},
            counts=counts.get(row["id"], {}),
            opened=opened.get(row["id"], 0),
        )
        for row in found
    ]


def as_row(row: RowOf[Any]) -> Row:
    """Gives what a waterfall shows of a task.

    Args:
        row: One of `LEAN`.
    """
    # By their places, for there may be ten thousand.
    values: tuple[Any, ...] = tuple(row)
    tries = attempts_of(values[6]) if values[6] else ()
    return Row._make((*values[:6], tries, *values[7:]))


def as_task(row: RowMapping) -> TaskRow:
    """Gives a task.

    Args:
        row: One of `TASK`, perhaps with `ERRORS` and `CONTEXT_COLUMNS`.
    """
    given = dict(row)
    contexts = {name: given.pop(name) or "null" for name in CONTEXTS if name in given}
    errors = given.pop("errors", None)
    return TaskRow(
        server_id=given.pop("id"),
        group=given.pop("group_name"),
        attempts=attempts_of(given.pop("attempts")),
        errors=None if errors is None else json.loads(errors),
        contexts=contexts or None,
        **given,
    )


def read_run(connection: Connection, workflow_id: str, *, plan: bool) -> Run:
    """Gives one run.

    Args:
        connection: Where to look.
        workflow_id: Its id.
        plan: Whether its plan is wanted.

    Raises:
        NotFoundError: There is no such run.
    """
    found = connection.execute(_ONE_RUN[plan], {"workflow": workflow_id}).mappings().all()
    if not found:
        raise NotFoundError("workflow", workflow_id)
    return with_counts(connection, found)[0]


def read_task(
    connection: Connection, task: int, workflow_id: str | None = None, *, contexts: bool = True
) -> TaskRow:
    """Gives one task, with its errors.

    Args:
        connection: Where to look.
        task: The id that is unique on this server, or the caller's own.
        workflow_id: The run that has it, where the id is the caller's own.
        contexts: Whether its contexts are wanted.

    Raises:
        NotFoundError: There is no such task.
    """
    query = _ONE_TASK[workflow_id is not None, contexts]
    row = (
        connection.execute(query, {"task": task, "workflow": workflow_id}).mappings().one_or_none()
    )
    if row is None:
        raise NotFoundError("task", task)
    return as_task(row)


def read_plan(connection: Connection, workflow_id: str, after: int = -1) -> list[Planned]:
    """Gives the tasks that a run's plan names, in the order of their ids.

    Args:
        connection: Where to look.
        workflow_id: The run.
        after: Only those with higher ids.

    Raises:
        NotFoundError: There is no such run.
    """
    plan = connection.execute(_PLAN_OF, {"workflow": workflow_id}).scalar_one_or_none()
    if plan is None:
        raise NotFoundError("workflow", workflow_id)
    later = sorted((one for one in plan if one["id"] > after), key=itemgetter("id"))
    return [Planned(one["id"], one["name"], one["group_name"]) for one in later]


def read_numbers(connection: Connection, workflow_id: str) -> set[int]:
    """Gives the ids of a run's tasks that were reported.

    Args:
        connection: Where to read.
        workflow_id: The run.
    """
    query = select(tasks.c.task_id).where(OF_WORKFLOW)
    return set(connection.execute(query, {"workflow": workflow_id}).scalars())


def require_run(connection: Connection, workflow_id: str) -> None:
    """Returns if there is a run with this id.

    Args:
        connection: Where to look.
        workflow_id: The id.

    Raises:
        NotFoundError: There is none.
    """
    known = select(workflows.c.id).where(workflows.c.id == workflow_id)
    if connection.execute(known).one_or_none() is None:
        raise NotFoundError("workflow", workflow_id)
