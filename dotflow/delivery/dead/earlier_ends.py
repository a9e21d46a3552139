"""What a process of the version before left to be said of one workflow: a pure function."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from dotflow.core.types import TypeStatus, WorkflowStatus
from dotflow.delivery.dead.adopted import error_of_the_dead
from dotflow.delivery.fold.bodies import CONTEXTS
from dotflow.delivery.message import Kind, Message

if TYPE_CHECKING:
    from collections.abc import Callable

WAITING, DELIVERED, DEAD, HELD = 0, 1, 2, 3
"""What a row is: to be sent; the last that was said of a record that goes on; refused for good; to
be sent if the process dies."""

_REPLACED = frozenset({Kind.WORKFLOW_PATCH, Kind.TASK_PATCH})


@dataclass(frozen=True, slots=True)
class Row:
    """A message of a file, without its body.

    Attributes:
        number: Its number there: within a record the order in which messages go.
        id: Its Idempotency-Key.
        kind: What it asks.
        workflow: The workflow's id.
        task: The task's number; None for the workflow's own.
        final: Whether it says how its record ended.
        running: Whether it says that its record is under way.
        headers: What leads to its span.
        size: Bytes of the body.
        at: When it was put (seconds since the epoch).
        state: WAITING, DELIVERED, DEAD or HELD.
        status: The HTTP status of a dead letter.
        reason: What the server said to a dead letter.
        server_id: The server's id of a dead letter's record, where it gave one.
    """

    number: int
    id: str
    kind: Kind
    workflow: str
    task: int | None
    final: bool
    running: bool
    headers: str
    size: int
    at: float
    state: int
    status: int | None = None
    reason: str | None = None
    server_id: str | None = None

    def message(self, body: bytes) -> Message:
        """The message, as it leaves."""
        return Message(
            self.kind, self.workflow, self.task, body, self.number, self.id, self.final,
            self.headers,
        )  # fmt: skip


@dataclass
class Plan:
    """What is to become of the rows of a workflow.

    Attributes:
        waiting: The messages that are to be sent; those of a record are in order.
        ends: Those of them that are to be written, for the process did not live to.
        gone: The numbers of rows that nobody needs.
    """

    waiting: list[Row] = field(default_factory=list)
    ends: list[tuple[Row, bytes]] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)


def plan(rows: list[Row], body_of: Callable[[int], bytes], last_seen: float, last: int) -> Plan:
    """What waits of a workflow whose process is dead, the ends that it owes included.

    Args:
        rows: All rows about the workflow, by number.
        body_of: Gives the body of a row.
        last_seen: When the process gave the last sign of life (seconds since the epoch).
        last: The highest number in the file.
    """
    records: dict[int | None, list[Row]] = {}
    for row in rows:
        if row.state != DEAD:
            records.setdefault(row.task, []).append(row)
    made = Plan()
    head = records.get(None)
    is_over = head is not None and head[-1].final
    for of_record in records.values():
        known = _without_held(of_record, made)
        if known[-1].running and is_over:
            known = _without_delivered(known, made)
        elif known[-1].running:
            known = _with_end(known, body_of, last_seen, made, last + len(made.ends) + 1)
        made.waiting += known
    return made


def _without_held(rows: list[Row], made: Plan) -> list[Row]:
    """What was held only for the case of a death is not needed where it was put as well."""
    put = [row for row in rows if row.state != HELD]
    if not put:
        return rows
    made.gone += [row.number for row in rows if row.state == HELD]
    return put


def _without_delivered(rows: list[Row], made: Plan) -> list[Row]:
    made.gone += [row.number for row in rows if row.state == DELIVERED]
    return [row for row in rows if row.state != DELIVERED]


def _with_end(
    rows: list[Row], body_of: Callable[[int], bytes], last_seen: float, made: Plan, unused: int
) -> list[Row]:
    """The rows of a record that was under way, with its end; an update gives way to that."""
    last = rows[-1]
    body = _end(last, body_of(last.number), last_seen)
    gives_way = last.state == DELIVERED or last.kind in _REPLACED
    end = replace(
        last,
        number=last.number if gives_way else unused,
        id=hashlib.sha256(f"{last.id}/end/".encode() + body).hexdigest()[:32],
        kind=Kind.WORKFLOW_PATCH if last.task is None else Kind.TASK_PATCH,
        final=True, running=False, size=len(body), state=WAITING,
    )  # fmt: skip
    made.ends.append((end, body))
    return [*(rows[:-1] if gives_way else rows), end]


def _end(last: Row, body: bytes, last_seen: float) -> bytes:
    """The body of the PATCH that a dead process owes of a record which it left under way."""
    duration = max(0.0, last_seen - last.at)
    if last.task is None:
        return _encoded({"status": WorkflowStatus.FAILED, "duration": duration})
    said = _fields(body)
    errors = said.get("errors")
    return _encoded(
        {
            "status": TypeStatus.FAILED,
            "duration": duration,
            "retry_count": said.get("retry_count", 0),
            "errors": [*(errors if isinstance(errors, list) else ()), error_of_the_dead(last_seen)],
            **{name: said.get(name) for name in CONTEXTS},
        }
    )


def _fields(body: bytes) -> dict[str, Any]:
    try:
        said = json.loads(body)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _encoded(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, ensure_ascii=False).encode("utf-8", "replace")
