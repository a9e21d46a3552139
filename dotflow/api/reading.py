"""Every query that reads, for programs and for pages. Knows SQL and nothing of HTTP.

Lists go by key, never by number: a page costs the same wherever it is. Nothing reads a plan,
errors or contexts unless they were asked for, and a page that they make large ends early.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    CursorResult,
    Engine,
    RowMapping,
    Select,
    Text,
    bindparam,
    func,
    select,
    type_coerce,
)

from dotflow.api.errors import NotFoundError
from dotflow.api.records import Opening, Page, Past, Planned, Row, Run, RunFilter, TaskRow
from dotflow.api.tables import began, openings, tasks, workflows
from dotflow.api.times import attempts_of
from dotflow.api.wanted import make_cursor, newest

__all__ = ["Opening", "Page", "Past", "Planned", "Reading", "Row", "Run", "RunFilter", "TaskRow"]

PAGE_BYTES = 8 * 2**20
"""Bytes of plans, errors and contexts after which a page ends, if it has one record."""

NOT_STARTED = "Not started"
CONTEXTS = ("initial_context", "current_context", "previous_context")

# Runs among which `Reading.names` looks.
_RECENT = 2000
# Rows that are fetched at once where each may have ten megabytes, or one.
_FEW, _SOME = 2, 20

_RUN = [
    workflows.c[name]
    for name in (
        *("id", "name", "mode", "status", "trace_id", "started_at", "finished_at", "duration"),
        *("created_at", "updated_at", "planned"),
    )
]
_PLAN = type_coerce(workflows.c.tasks, Text).label("plan")
_LEAN = [
    tasks.c[name]
    for name in (
        *("task_id", "name", "group_name", "status", "started_at", "finished_at", "attempts"),
        *("retry_count", "last_error", "created_at"),
    )
]
_TASK = [
    *_LEAN,
    *(tasks.c[name] for name in ("id", "workflow_id", "duration", "error_count", "updated_at")),
]
_ERRORS = type_coerce(tasks.c.errors, Text).label("errors")
_CONTEXTS = [type_coerce(tasks.c[name], Text).label(name) for name in CONTEXTS]

_OF_WORKFLOW = tasks.c.workflow_id == bindparam("workflow")
_OPENINGS = (
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
_PLAN_OF = select(workflows.c.tasks).where(workflows.c.id == bindparam("workflow"))


class Reading:
    """Reads workflow and task records; may be used by any number of threads.

    Args:
        engine: From `dotflow.api.database.open_engine`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def runs(
        self,
        wanted: RunFilter = RunFilter(),  # noqa: B008  # it cannot be changed
        limit: int = 50,
        after: str | None = None,
        *,
        offset: int = 0,
        plans: bool = False,
    ) -> Page[Run, str]:
        """Gives a page of runs, those that began last first.

        Args:
            wanted: Which ones.
            limit: The most to give.
            after: What the page before gave as ``next``.
            offset: How many to leave out; the time that takes grows with it.
            plans: Whether their plans are wanted; the page may then end before the limit.

        Raises:
            BadCursorError: ``after`` is none that a page gave.
        """
        query = newest(wanted, after).limit(limit + 1).offset(offset)
        columns = [*_RUN, _PLAN] if plans else _RUN
        with self._engine.connect() as connection:
            rows = _rows(connection, query.with_only_columns(*columns), _FEW if plans else None)
            found, more = _page(rows, limit, ["plan"] if plans else [])
            runs = _with_counts(connection, found)
        return Page(runs, make_cursor(runs[-1]) if more else None)

    def count(self, wanted: RunFilter) -> int:
        """Gives how many runs there are; it looks at each of them.

        Args:
            wanted: Which ones.
        """
        query = newest(wanted).with_only_columns(func.count()).order_by(None)
        with self._engine.connect() as connection:
            return connection.execute(query).scalar_one()

    def run(self, workflow_id: str, *, plan: bool = False) -> Run:
        """Gives one run.

        Args:
            workflow_id: Its id.
            plan: Whether its plan is wanted.

        Raises:
            NotFoundError: There is no such run.
        """
        columns = [*_RUN, _PLAN] if plan else _RUN
        query = select(*columns).where(workflows.c.id == workflow_id)
        with self._engine.connect() as connection:
            found = connection.execute(query).mappings().all()
            if not found:
                raise NotFoundError("workflow", workflow_id)
            return _with_counts(connection, found)[0]

    def openings(self, workflow_id: str) -> list[Opening]:
        """Gives the runs that opened a workflow's record, the first one first.

        Args:
            workflow_id: Its id; one that is not known has none.
        """
        with self._engine.connect() as connection:
            rows = connection.execute(_OPENINGS, {"workflow": workflow_id}).all()
        return [
            Opening(one.run or None, one.started_at, one.finished_at, one.status, one.created_at)
            for one in rows
        ]

    def plan(self, workflow_id: str) -> list[Planned]:
        """Gives the tasks that a run's plan names, in the order of their ids.

        Args:
            workflow_id: The run.

        Raises:
            NotFoundError: There is no such run.
        """
        with self._engine.connect() as connection:
            return _plan(connection, workflow_id)

    def next_task_id(self, workflow_id: str) -> int:
        """Gives one more than the highest task id known, in the plan or among the tasks.

        Args:
            workflow_id: The run.

        Raises:
            NotFoundError: There is no such run.
        """
        highest = select(func.max(tasks.c.task_id)).where(_OF_WORKFLOW)
        with self._engine.connect() as connection:
            planned = _plan(connection, workflow_id)
            added = connection.execute(highest, {"workflow": workflow_id}).scalar_one()
        return max([added or 0, *(one.id for one in planned)]) + 1

    def tasks(
        self,
        workflow_id: str,
        *,
        status: Sequence[str] = (),
        limit: int = 200,
        after: int | None = None,
        contexts: bool = False,
        errors: bool = True,
    ) -> Page[TaskRow, int]:
        """Gives a page of a run's tasks, in the order of their ids.

        Args:
            workflow_id: The run.
            status: Only those with one of these; all where there is none.
            limit: The most to give; errors and contexts may end the page before.
            after: What the page before gave as ``next``: a task id.
            contexts: Whether their contexts are wanted.
            errors: Whether their errors are wanted.

        Raises:
            NotFoundError: There is no such run.
        """
        query = select(*_TASK).where(_OF_WORKFLOW).order_by(tasks.c.task_id).limit(limit + 1)
        if status:
            query = query.where(tasks.c.status.in_(status))
        if after is not None:
            query = query.where(tasks.c.task_id > after)
        large = [*([_ERRORS] if errors else []), *(_CONTEXTS if contexts else [])]
        at_once = _FEW if contexts else _SOME if errors else None
        with self._engine.connect() as connection:
            _require(connection, workflow_id)
            query = query.add_columns(*large).params(workflow=workflow_id)
            rows = _rows(connection, query, at_once)
            found, more = _page(rows, limit, [column.name for column in large])
        return Page([_task(row) for row in found], found[-1]["task_id"] if more else None)

    def task(self, workflow_id: str, task_id: int) -> TaskRow:
        """Gives one task, with its errors and contexts.

        Args:
            workflow_id: The run it is of.
            task_id: The caller's own id.

        Raises:
            NotFoundError: There is no such run, or no such task in it.
        """
        return self._task(task_id, tasks.c.workflow_id == workflow_id, tasks.c.task_id == task_id)

    def task_by_server_id(self, server_id: int) -> TaskRow:
        """Gives one task, with its errors and contexts.

        Args:
            server_id: The id that is unique on this server.

        Raises:
            NotFoundError: There is no such task.
        """
        return self._task(server_id, tasks.c.id == server_id)

    def rows(self, workflow_id: str, after: int = -1, limit: int = 2000) -> Page[Row, int]:
        """Gives what a waterfall shows of a run's tasks, those that are only planned too.

        Args:
            workflow_id: The run.
            after: What the page before gave as ``next``: a task id.
            limit: The most to give.

        Raises:
            NotFoundError: There is no such run.
        """
        query = select(*_LEAN).where(_OF_WORKFLOW, tasks.c.task_id > after)
        query = query.order_by(tasks.c.task_id).limit(limit + 1).params(workflow=workflow_id)
        with self._engine.connect() as connection:
            planned = _plan(connection, workflow_id)
            found = connection.execute(query).mappings().all()
        rows = {one.id: Row(*one, NOT_STARTED) for one in planned if one.id > after}
        rows.update((one["task_id"], _row(one)) for one in found)
        page = [rows[key] for key in sorted(rows)[:limit]]
        return Page(page, page[-1].task_id if len(rows) > limit else None)

    def trend(self, name: str, last: int = 50) -> list[Past]:
        """Gives the last runs of a workflow, oldest first.

        Args:
            name: The workflow's name.
            last: The most to give.
        """
        query = newest(RunFilter(name=name)).limit(last)
        columns = (workflows.c.id, workflows.c.status, began, workflows.c.duration)
        with self._engine.connect() as connection:
            rows = connection.execute(query.with_only_columns(*columns)).all()
        return [Past(*row) for row in reversed(rows)]

    def names(self, prefix: str = "", limit: int = 20) -> list[str]:
        """Gives the names of workflows that ran lately, in alphabetical order.

        Args:
            prefix: What they begin with; upper and lower case are the same.
            limit: The most to give.
        """
        query = select(workflows.c.name).order_by(began.desc(), workflows.c.id.desc())
        recent = query.limit(_RECENT).subquery()
        distinct = select(recent.c.name).where(recent.c.name.is_not(None)).distinct()
        with self._engine.connect() as connection:
            names = connection.execute(distinct).scalars().all()
        return sorted(one for one in names if one.lower().startswith(prefix.lower()))[:limit]

    def changes(self, since: datetime, limit: int = 1000) -> list[tuple[str, datetime]]:
        """Gives the ids of runs that changed, or whose tasks did, with the moment of the change.

        A writer sets the moment before its change can be seen: whoever asks again goes back some
        seconds, and knows what was already told. A run that was deleted is not among them.

        Args:
            since: Changes at this moment or later, by the server's clock.
            limit: The most to give; the earliest are given.
        """
        latest: dict[str, datetime] = {}
        with self._engine.connect() as connection:
            for run, moment in (
                (workflows.c.id, workflows.c.updated_at),
                (tasks.c.workflow_id, tasks.c.updated_at),
            ):
                query = select(run, moment).where(moment >= since).order_by(moment).limit(limit)
                for name, changed in connection.execute(query):
                    latest[name] = max(changed, latest.get(name, changed))
        return sorted(latest.items(), key=lambda one: one[1])[:limit]

    def _task(self, named: int, *matches: ColumnElement[bool]) -> TaskRow:
        query = select(*_TASK, _ERRORS, *_CONTEXTS).where(*matches)
        with self._engine.connect() as connection:
            row = connection.execute(query).mappings().one_or_none()
        if row is None:
            raise NotFoundError("task", named)
        return _task(row)


def _rows(connection: Connection, query: Select[Any], at_once: int | None) -> CursorResult[Any]:
    """Runs a query; where rows may be large, they are fetched a few at a time."""
    options = {} if at_once is None else {"yield_per": at_once}
    return connection.execute(query, execution_options=options)


def _page(
    rows: CursorResult[Any], limit: int, large: Sequence[str]
) -> tuple[list[RowMapping], bool]:
    """Gives the first rows, as many as the page holds, and says if there are more."""
    found: list[RowMapping] = []
    room = PAGE_BYTES
    with rows.mappings() as mapped:
        for row in mapped:
            if len(found) == limit or (found and room <= 0):
                return found, True
            found.append(row)
            room -= sum(len(row[name] or "") for name in large)
    return found, False


def _with_counts(connection: Connection, found: Sequence[RowMapping]) -> list[Run]:
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


def _row(row: RowMapping) -> Row:
    given = dict(row)
    group, attempts = given.pop("group_name"), attempts_of(given.pop("attempts"))
    return Row(group=group, attempts=attempts, **given)


def _task(row: RowMapping) -> TaskRow:
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


def _plan(connection: Connection, workflow_id: str) -> list[Planned]:
    plan = connection.execute(_PLAN_OF, {"workflow": workflow_id}).scalar_one_or_none()
    if plan is None:
        raise NotFoundError("workflow", workflow_id)
    return sorted(Planned(one["id"], one["name"], one["group_name"]) for one in plan)


def _require(connection: Connection, workflow_id: str) -> None:
    known = select(workflows.c.id).where(workflows.c.id == workflow_id)
    if connection.execute(known).one_or_none() is None:
        raise NotFoundError("workflow", workflow_id)
