"""The rows of a run's waterfall, as the picture asks for them: lean, a slice at a time."""

import json
from datetime import datetime, timedelta, timezone
from typing import Annotated, Any

from fastapi import Query, Request, Response

from dotflow.api.reading import Row, Run
from dotflow.api.schemas import MAX_INTEGER
from dotflow.api.web.page import WorkflowId, pages, reading
from dotflow.api.web.words import shown

MOST = 10_000
LONGEST = 200
"""Characters of a name; no picture has room for more."""

_OVERLAP = timedelta(seconds=5)
"""How far one goes back who asks again: a writer sets the moment before its change is seen."""

router = pages()


@router.get("/runs/{workflow_id}/rows")
def list_rows(
    workflow_id: WorkflowId,
    request: Request,
    limit: Annotated[int, Query(ge=1, le=MOST)] = 2000,
    after: Annotated[int, Query(ge=-1, le=MAX_INTEGER)] = -1,
    since: datetime | None = None,
) -> Response:
    """Answer with tasks as lists: what each place holds is said in waterfall-rows.js.

    Times are milliseconds since the run's beginning, which is ``base``, in milliseconds since
    1970. ``seen`` is what to ask for as ``since`` to get what changes from now on.
    """
    now = datetime.now(timezone.utc)
    run = reading(request).run(workflow_id)
    page = reading(request).rows(workflow_id, after, limit, since=since)
    base = run.started_at or run.created_at
    content = {
        "base": base.timestamp() * 1000,
        "now": _after(base, now),
        "end": _after(base, run.finished_at),
        "status": run.status,
        "planned": run.planned,
        "openings": _openings(request, run, base),
        "seen": (now - _OVERLAP).isoformat(),
        "rows": [_line(row, base) for row in page.items],
        "next": page.next,
    }
    text = json.dumps(content, separators=(",", ":"))
    return Response(text, headers={"Cache-Control": "no-store"}, media_type="application/json")


def _openings(request: Request, run: Run, base: datetime) -> list[float | None]:
    if run.opened < 2:  # noqa: PLR2004  # the first one is the run's beginning
        return []
    openings = reading(request).openings(run.id)
    return [_after(base, one.started_at) for one in openings if one.started_at]


def _line(row: Row, base: datetime) -> list[Any]:
    # A single attempt is the task itself.
    attempts = row.attempts if len(row.attempts) > 1 else []
    return [
        row.task_id,
        shown(row.name[:LONGEST]),
        row.group and shown(row.group[:LONGEST]),
        row.status,
        _after(base, row.started_at),
        _after(base, row.finished_at),
        [[_after(base, began), _after(base, ended)] for began, ended in attempts],
        row.retry_count,
        row.last_error and shown(row.last_error[:LONGEST]),
    ]


def _after(base: datetime, moment: datetime | None) -> float | None:
    return None if moment is None else round((moment - base) / timedelta(milliseconds=1), 3)
