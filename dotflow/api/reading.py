"""Every query that reads, for programs and for pages. Knows SQL and nothing of HTTP.

Lists go by key, never by number: a page costs the same wherever it is. Nothing reads a plan,
errors or contexts unless they were asked for, and a page that they make large ends early.
"""

from collections.abc import Sequence
from datetime import datetime
from itertools import islice

from sqlalchemy import Engine, func, select

from dotflow.api.queries import (
    CHANGES,
    CONTEXT_COLUMNS,
    ERRORS,
    FEW,
    FIRST_FAILED,
    LEAN,
    OF_WORKFLOW,
    OPENINGS,
    PLAN,
    RUN,
    SOME,
    TASK,
    as_row,
    as_task,
    read_numbers,
    read_page,
    read_plan,
    read_run,
    read_task,
    require_run,
    run_query,
    with_counts,
)
from dotflow.api.records import (
    FirstFailed,
    Opening,
    Page,
    Past,
    Planned,
    Row,
    Run,
    RunFilter,
    TaskRow,
)
from dotflow.api.tables import began, tasks, workflows
from dotflow.api.wanted import make_cursor, newest

__all__ = [
    "FirstFailed",
    "Opening",
    "Page",
    "Past",
    "Planned",
    "Reading",
    "Row",
    "Run",
    "RunFilter",
    "TaskRow",
]

NOT_STARTED = "Not started"

# Runs among which `Reading.names` looks.
_RECENT = 2000


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
        columns = [*RUN, PLAN] if plans else RUN
        with self._engine.connect() as connection:
            query = query.with_only_columns(*columns)
            found, more = read_page(run_query(connection, query, FEW if plans else SOME), limit)
            runs = with_counts(connection, found)
        return Page(runs, make_cursor(runs[-1]) if more else None)

    def count(self, wanted: RunFilter) -> int:
        """Gives how many runs there are; it looks at each of them.

        Args:
            wanted: Which ones.
        """
        query = newest(wanted).with_only_columns(func.count(workflows.c.id)).order_by(None)
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
        with self._engine.connect() as connection:
            return read_run(connection, workflow_id, plan=plan)

    def openings(self, workflow_id: str) -> list[Opening]:
        """Gives the runs that opened a workflow's record, the first one first.

        Args:
            workflow_id: Its id; one that is not known has none.
        """
        with self._engine.connect() as connection:
            rows = connection.execute(OPENINGS, {"workflow": workflow_id}).all()
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
            return read_plan(connection, workflow_id)

    def next_task_id(self, workflow_id: str) -> int:
        """Gives one more than the highest task id known, in the plan or among the tasks.

        Args:
            workflow_id: The run.

        Raises:
            NotFoundError: There is no such run.
        """
        highest = select(func.max(tasks.c.task_id)).where(OF_WORKFLOW)
        with self._engine.connect() as connection:
            planned = read_plan(connection, workflow_id)
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
        query = select(*TASK).where(OF_WORKFLOW).order_by(tasks.c.task_id).limit(limit + 1)
        if status:
            query = query.where(tasks.c.status.in_(status))
        if after is not None:
            query = query.where(tasks.c.task_id > after)
        large = [*([ERRORS] if errors else []), *(CONTEXT_COLUMNS if contexts else [])]
        with self._engine.connect() as connection:
            require_run(connection, workflow_id)
            query = query.add_columns(*large).params(workflow=workflow_id)
            rows = run_query(connection, query, FEW if contexts else SOME)
            found, more = read_page(rows, limit)
        return Page([as_task(row) for row in found], found[-1]["task_id"] if more else None)

    def task(self, workflow_id: str, task_id: int) -> TaskRow:
        """Gives one task, with its errors and contexts.

        Args:
            workflow_id: The run it is of.
            task_id: The caller's own id.

        Raises:
            NotFoundError: There is no such run, or no such task in it.
        """
        with self._engine.connect() as connection:
            return read_task(connection, task_id, workflow_id)

    def task_by_server_id(self, server_id: int) -> TaskRow:
        """Gives one task, with its errors and contexts.

        Args:
            server_id: The id that is unique on this server.

        Raises:
            NotFoundError: There is no such task.
        """
        with self._engine.connect() as connection:
            return read_task(connection, server_id)

    def rows(
        self,
        workflow_id: str,
        after: int = -1,
        limit: int = 2000,
        *,
        status: Sequence[str] = (),
        since: datetime | None = None,
    ) -> Page[Row, int]:
        """Gives what a waterfall shows of a run's tasks, those that are only planned too.

        Args:
            workflow_id: The run.
            after: What the page before gave as ``next``: a task id.
            limit: The most to give.
            status: Only those with one of these; all where there is none.
            since: Only those that changed at this moment or later, by the server's clock; those
                that are only planned are then not among them.

        Raises:
            NotFoundError: There is no such run.
        """
        query = select(*LEAN).where(OF_WORKFLOW, tasks.c.task_id > after)
        query = query.order_by(tasks.c.task_id).limit(limit + 1)
        if status:
            query = query.where(tasks.c.status.in_(status))
        if since is not None:
            query = query.where(tasks.c.updated_at >= since)
        with_plan = since is None and (not status or NOT_STARTED in status)
        with self._engine.connect() as connection:
            planned = read_plan(connection, workflow_id, after) if with_plan else []
            known = read_numbers(connection, workflow_id) if planned else set()
            require_run(connection, workflow_id)
            found = connection.execute(query, {"workflow": workflow_id}).all()
        waiting = (one for one in planned if one.id not in known)
        rows = {one.id: Row(*one, NOT_STARTED) for one in islice(waiting, limit + 1)}
        rows.update((one.task_id, as_row(one)) for one in found)
        page = [rows[key] for key in sorted(rows)[:limit]]
        return Page(page, page[-1].task_id if len(rows) > limit else None)

    def first_failed(self, workflow_ids: Sequence[str]) -> dict[str, FirstFailed]:
        """Gives the first failed task of each run that has one, by the run's id.

        Args:
            workflow_ids: The runs.
        """
        if not workflow_ids:
            return {}
        with self._engine.connect() as connection:
            rows = connection.execute(FIRST_FAILED, {"workflows": list(workflow_ids)}).all()
        return {one.workflow_id: FirstFailed(*one[1:]) for one in rows}

    def neighbours(self, workflow_id: str, task_id: int) -> tuple[int | None, int | None]:
        """Gives the tasks before and after a task, by their ids; planned ones are among them.

        Args:
            workflow_id: The run.
            task_id: The task.

        Raises:
            NotFoundError: There is no such run.
        """
        with self._engine.connect() as connection:
            planned = {one.id for one in read_plan(connection, workflow_id)}
            known = planned | read_numbers(connection, workflow_id)
        before = max((one for one in known if one < task_id), default=None)
        return before, min((one for one in known if one > task_id), default=None)

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
        """Gives the runs that changed, whose tasks did, or that were deleted, and when.

        A writer sets the moment before its change can be seen: whoever asks again goes back some
        seconds, and knows what was already told.

        Args:
            since: Changes at this moment or later, by the server's clock.
            limit: The most to give; the latest are given, and first.
        """
        latest: dict[str, datetime] = {}
        with self._engine.connect() as connection:
            for query in CHANGES:
                for name, changed in connection.execute(query, {"since": since, "limit": limit}):
                    latest[name] = max(changed, latest.get(name, changed))
        return sorted(latest.items(), key=lambda one: one[1], reverse=True)[:limit]
