"""The page of a run."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, get_args

from fastapi import Query, Request, Response

from dotflow.api.reading import Opening, Run, RunFilter, TaskRow
from dotflow.api.schemas import MAX_INTEGER, TaskStatus
from dotflow.api.web.links import Links
from dotflow.api.web.page import WorkflowId, pages, reading, show
from dotflow.api.web.shares import shares
from dotflow.api.web.words import shown
from dotflow.utils.trace_link import trace_link

LIMIT = 100
"""Tasks on a page of the table."""

FAILED = 5
"""Failed tasks that are shown at the top."""

EARLIER = 6
"""Earlier runs that are shown."""

LARGE, SELDOM = 2000, 3000
"""Tasks from which on a page is asked for anew less often, and how often: milliseconds."""

QUIET = timedelta(minutes=5)
"""After this time without a report a run that goes on is said to be silent."""

STATUSES: tuple[str, ...] = ("Failed", "Retry", "In progress", "Paused", "Completed", "Not started")

router = pages()


@router.get("/runs/{workflow_id}")
def show_run(
    workflow_id: WorkflowId,
    request: Request,
    status: str = "",
    after: Annotated[int, Query(ge=-1, le=MAX_INTEGER)] = -1,
) -> Response:
    """Show a run: what became of it, its tasks as a picture and as a table, its kin."""
    read = reading(request)
    run = read.run(workflow_id)
    wanted = (status,) if status in get_args(TaskStatus) else ()
    rows = read.rows(run.id, after, LIMIT, status=wanted)
    failed: Sequence[TaskRow] = ()
    if run.counts.get("Failed"):
        failed = read.tasks(run.id, status=["Failed"], limit=FAILED).items
    counts = _counts(run)
    return show(
        request,
        "run.html",
        title=f"{shown(run.name)} · {run.status}",
        live=Links.of(request).events(run.id),
        often=SELDOM if sum(counts.values()) > LARGE else None,
        run=run,
        begin=run.started_at or run.created_at,
        counts=counts,
        total=sum(counts.values()),
        parts_of=shares(run.counts, run.planned),
        failed=failed,
        rows=rows.items,
        wanted=wanted,
        after=after,
        more=rows.next,
        openings=read.openings(run.id) if run.opened > 1 else [],
        earlier=_earlier(read.runs(_before(run), EARLIER).items, run) if run.name else [],
        trace=trace_link(run.trace_id),
        took=_took,
        ended=_ended,
        quiet=QUIET,
    )


def _counts(run: Run) -> Mapping[str, int]:
    counts = dict(run.counts)
    planned_only = run.planned - sum(counts.values())
    if planned_only > 0:
        counts["Not started"] = counts.get("Not started", 0) + planned_only
    return {status: counts[status] for status in STATUSES if counts.get(status)}


def _before(run: Run) -> RunFilter:
    # To the microsecond after: it is left out by its id, and those of the same moment are not.
    begin = run.started_at or run.created_at
    return RunFilter(name=run.name, until=begin + timedelta(microseconds=1))


def _earlier(found: Sequence[Run], run: Run) -> list[Run]:
    return [one for one in found if one.id != run.id][: EARLIER - 1]


def _took(began: datetime | None, ended: datetime | None) -> float | None:
    return (ended - began).total_seconds() if began and ended else None


def _ended(opening: Opening) -> bool:
    return opening.status in ("Completed", "Failed")
