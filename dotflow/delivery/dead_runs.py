"""The ends of runs whose process is gone: it can report them no more."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from dotflow.core.types import TypeStatus, WorkflowStatus
from dotflow.delivery.bodies import CONTEXTS
from dotflow.delivery.disk import DEAD, HELD, SETTLED, WAITING
from dotflow.delivery.message import Kind, Message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dotflow.delivery.disk import DiskStore, Row

GATHERED = 500
GATHERED_BYTES = 2 * 2**20
"""Held messages that become one, and the bytes of their bodies."""

ERROR = "ProcessEnded"
"""What stands for the name of an exception, where there was none to be caught."""


def end_runs(store: DiskStore, is_running: Callable[[str], bool]) -> list[Row]:
    """Put the ends that a dead process owes into what it left.

    A workflow that has ended, or that goes on in this process, needs none; its tasks that were
    under way do, unless the end of the workflow is there already.

    Args:
        store: What it left; nobody else has it.
        is_running: Whether a workflow goes on in this process.

    Returns:
        The messages that wait now, in their order.

    Raises:
        sqlite3.Error: The file cannot be read.
    """
    lanes: dict[tuple[str, int | None], list[Row]] = {}
    for row in store.rows():
        if row.state != DEAD:
            lanes.setdefault((row.message.workflow, row.message.task), []).append(row)
    waiting: list[Row] = []
    # The tasks' first: where the end of their workflow is there, no others are put.
    for (workflow, task), found in sorted(lanes.items(), key=lambda lane: lane[0][1] is None):
        rows = _without_held(store, found)
        if not rows[-1].message.running:
            waiting += rows
        elif _is_over(lanes.get((workflow, None))) or (task is None and is_running(workflow)):
            waiting += _without_settled(store, rows)
        else:
            waiting += _with_end(store, rows)
    return waiting


def gather_held(store: DiskStore, gather: Callable[[list[bytes], float], Message]) -> None:
    """Make messages that wait of those that a dead process held.

    Args:
        store: What it left; nobody else has it.
        gather: Makes one of several bodies, and of when the process was last seen.

    Raises:
        sqlite3.Error: The file cannot be read.
    """
    rows = [row for row in store.rows() if row.state == HELD]
    # What it wrote down last it wrote alive: the times of files are coarser than that.
    last_seen = max([store.spool.last_seen, *(row.at for row in rows)])
    for numbers in _portions(rows):
        bodies = [store.body(number) for number in numbers]
        store.exchange(numbers, gather(bodies, last_seen))


def _portions(rows: list[Row]) -> Iterator[list[int]]:
    portion: list[int] = []
    room = GATHERED_BYTES
    for row in rows:
        if portion and (len(portion) == GATHERED or row.size > room):
            yield portion
            portion, room = [], GATHERED_BYTES
        portion.append(row.number)
        room -= row.size
    if portion:
        yield portion


def _without_held(store: DiskStore, rows: list[Row]) -> list[Row]:
    """What was held only for the case of a death is no longer needed where it was put as well."""
    put = [row for row in rows if row.state != HELD]
    if not put:
        return rows
    store.remove(row.number for row in rows if row.state == HELD)
    return put


def _is_over(of_workflow: list[Row] | None) -> bool:
    return of_workflow is not None and of_workflow[-1].message.final


def _without_settled(store: DiskStore, rows: list[Row]) -> list[Row]:
    store.remove(row.number for row in rows if row.state == SETTLED)
    return [row for row in rows if row.state != SETTLED]


def _with_end(store: DiskStore, rows: list[Row]) -> list[Row]:
    last = rows[-1]
    end = end_of(last, _body(store, last), store.spool.last_seen)
    if last.state == SETTLED or last.message.kind.merges:
        number = last.number
        store.change(number, end)
        rows = rows[:-1]
    else:
        number = store.add(end)
    return [
        *rows,
        replace(last, number=number, message=end.with_body(b""), size=len(end.body), state=WAITING),
    ]


def _body(store: DiskStore, row: Row) -> bytes:
    try:
        return store.body(row.number)
    except LookupError:
        return b""


def end_of(row: Row, body: bytes, last_seen: float) -> Message:
    """The PATCH that a dead process owes of a record which it left under way.

    Args:
        row: The last that it said of the record.
        body: The body of that.
        last_seen: When it last gave a sign of life (seconds since the epoch).
    """
    said = _fields(body)
    duration = max(0.0, last_seen - row.at)
    message = row.message
    if message.task is None:
        fields = {"status": WorkflowStatus.FAILED, "duration": duration}
        return _message(Kind.WORKFLOW_PATCH, message, fields)
    fields = {
        "status": TypeStatus.FAILED,
        "duration": duration,
        "retry_count": said.get("retry_count", 0),
        "errors": [*_errors(said), _error(last_seen)],
        **{name: said.get(name) for name in CONTEXTS},
    }
    return _message(Kind.TASK_PATCH, message, fields)


def _errors(said: dict[str, Any]) -> list[Any]:
    errors = said.get("errors")
    return errors if isinstance(errors, list) else []


def _moment(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):  # by a clock that was never right
        return f"{seconds:.0f} seconds since 1970"


def _error(last_seen: float) -> dict[str, Any]:
    seen = _moment(last_seen)
    return {
        "attempt": None,
        "exception": ERROR,
        "message": f"the process ended before its task did; it was last seen at {seen}",
        "traceback": "",
    }


def _fields(body: bytes) -> dict[str, Any]:
    try:
        said = json.loads(body)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _message(kind: Kind, of: Message, fields: dict[str, Any]) -> Message:
    body = json.dumps(fields, ensure_ascii=False).encode("utf-8", "replace")
    return Message(kind, of.workflow, of.task, body, final=True, headers=of.headers)
