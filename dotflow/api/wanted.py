"""Which runs are wanted, and after which one: as SQL."""

import base64
import json
from datetime import datetime, timezone
from typing import Any

from sqlalchemy import ColumnElement, Select, Text, exists, func, or_, select

from dotflow.api.errors import BadCursorError
from dotflow.api.records import Run, RunFilter
from dotflow.api.tables import NAME_LENGTH, began, name_start, tasks, workflows

_MOST_TEXT = 1000


def newest(wanted: RunFilter, after: str | None = None) -> Select[Any]:
    """Gives the query for the ids of the runs that are wanted, those that began last first.

    Args:
        wanted: Which ones.
        after: Begin behind the run of this cursor.

    Raises:
        BadCursorError: ``after`` is none that `make_cursor` gave.
    """
    query = select(workflows.c.id).order_by(began.desc(), workflows.c.id.desc())
    if after is not None:
        moment, last = _read_cursor(after)
        # The first half alone lets the database begin in the index.
        query = query.where(began <= moment, or_(began < moment, workflows.c.id < last))
    if wanted.status:
        query = query.where(workflows.c.status.in_(wanted.status))
    if wanted.name is not None:
        name = _plain(wanted.name)
        # Not "equals": SQLite would then write the name into the expression of the index too,
        # and look at every run.
        query = query.where(name_start == name[:NAME_LENGTH], workflows.c.name.between(name, name))
    if wanted.since is not None:
        query = query.where(began >= wanted.since)
    if wanted.until is not None:
        query = query.where(began < wanted.until)
    return query if wanted.text is None else query.where(_says(wanted.text))


def _says(text: str) -> ColumnElement[bool]:
    # SQLite takes patterns of some length only.
    text = _plain(text[:_MOST_TEXT]).lower()
    erred = exists().where(
        tasks.c.workflow_id == workflows.c.id,
        tasks.c.last_error.is_not(None),
        or_(_holds(tasks.c.error_text, text), _holds(tasks.c.name, text)),
    )
    return or_(_holds(workflows.c.name, text), _holds(workflows.c.id, text), erred)


def _holds(column: Any, text: str) -> ColumnElement[bool]:
    return func.lower(column, type_=Text).contains(text, autoescape=True)


def _plain(text: str) -> str:
    # PostgreSQL takes no NUL, and none is kept.
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def make_cursor(run: Run) -> str:
    """Gives what a list is to begin after to go on behind a run.

    Args:
        run: The last one of a page.
    """
    moment = run.started_at or run.created_at
    return base64.urlsafe_b64encode(json.dumps([moment.isoformat(), run.id]).encode()).decode()


def _read_cursor(after: str) -> tuple[datetime, str]:
    try:
        moment, last = json.loads(base64.b64decode(after, altchars=b"-_", validate=True))
        last.encode()  # half a surrogate pair is no id
        return datetime.fromisoformat(moment).astimezone(timezone.utc), _plain(last)
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise BadCursorError from error
