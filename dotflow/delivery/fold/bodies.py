"""The body of each call to dotflow-api, made of a record: pure functions."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timezone
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from dotflow.delivery.headers import carried
from dotflow.delivery.message import Kind, Message
from dotflow.runlog.lines import OTEL
from dotflow.utils.json_text import encoder_of
from dotflow.utils.masking import clean

if TYPE_CHECKING:
    from dotflow.delivery.fold.records import TaskRecord, WorkflowRecord

MAX_BODY = 5 * 2**20
"""Bytes that a body may have: below what dotflow-api takes, with room for headers."""

MAX_ERRORS = MAX_BODY // 4
"""Bytes that a task's errors may have together; the last ones are kept."""

MOST_ATTEMPTS = 20
"""Attempts whose times are sent: the last ones."""

EXCEEDED = {"message": "Context size exceeded"}
CONTEXTS = ("initial_context", "previous_context", "current_context")
PLAN = "tasks"

_ERROR = ("attempt", "exception", "message", "traceback")
_encode = encoder_of()


class Source:
    """Which run a message speaks of: the log, the run, the workflow.

    Args:
        log: The log's id.
        run: The run's number in it.
        workflow: The workflow's id.
        policy: Which calls its Server wants.
    """

    __slots__ = ("_seed", "log", "name", "policy", "run", "workflow")

    def __init__(self, log: str, run: int, workflow: str, policy: str) -> None:
        self.workflow = workflow
        self.policy = policy
        self.log = log
        self.run = run
        self.name = f"{log}-{run}"
        self._seed = f"{log}/{run}/".encode()

    def key(self, task: int | None, kind: Kind, n: int, body: bytes) -> str:
        """The Idempotency-Key: the same body after the same fact has the same one."""
        about = f"{'' if task is None else task}/{kind.is_post:d}/{n}/"
        digest = hashlib.sha256(self._seed + about.encode())
        digest.update(body)
        return digest.hexdigest()[:32]


def task_post(source: Source, record: TaskRecord, carrier: dict[str, str]) -> Message:
    """A task that was added, or that begins."""
    fields = {
        "id": record.task, "name": record.name, "group_name": record.group,
        "status": record.made_as, "initial_context": record.initial,
    }  # fmt: skip
    body = _fitted(fields)
    return Message(
        Kind.TASK_POST, source.workflow, record.task, body, record.made_by,
        source.key(record.task, Kind.TASK_POST, record.made_by, body),
        headers=carried(record.carrier or carrier, record.span),
        times=_task_times(record, is_post=True), run=source.name if source.run else "",
    )  # fmt: skip


def task_patch(source: Source, record: TaskRecord, carrier: dict[str, str]) -> Message:
    """A task as it is now: the seven fields, and no others."""
    fields = {
        "status": record.status, "duration": record.duration, "retry_count": record.retries,
        "errors": _errors(record.errors), "initial_context": record.initial,
        "current_context": record.current, "previous_context": record.previous,
    }  # fmt: skip
    body = _fitted(fields)
    return Message(
        Kind.TASK_PATCH, source.workflow, record.task, body, record.due,
        source.key(record.task, Kind.TASK_PATCH, record.due, body), record.ended,
        carried(record.carrier or carrier, record.span),
        _task_times(record, is_post=False), source.name if source.run else "", record.is_owed,
        record.is_owed and record.heard < record.begun_by,
    )  # fmt: skip


def workflow_first(source: Source, record: WorkflowRecord) -> Message:
    """A workflow that was created, or a run that begins."""
    fields = _about(record)
    fields["status"] = "In progress" if record.begun else "New"
    if record.is_post:
        fields = {"id": source.workflow, **fields}
        kind = Kind.WORKFLOW_POST
    else:
        is_open = source.policy == OTEL or record.is_managed_open
        kind = Kind.WORKFLOW_OPEN if is_open else Kind.WORKFLOW_PATCH
    body = _encode_workflow(fields)
    return Message(
        kind, source.workflow, None, body, record.made_by,
        source.key(None, kind, record.made_by, body),
        headers=carried(record.carrier, record.span), times=_times(record.began_at, None),
        run=source.name if record.begun else "",
    )  # fmt: skip


def workflow_end(source: Source, record: WorkflowRecord) -> Message:
    """A run that ended."""
    known = _about(record) if record.is_told_at_end else {}
    body = _encode_workflow({**known, "status": record.status, "duration": record.duration})
    return Message(
        Kind.WORKFLOW_PATCH, source.workflow, None, body, record.due,
        source.key(None, Kind.WORKFLOW_PATCH, record.due, body), True,
        carried(record.carrier, record.span), _times(record.began_at, record.ended_at), source.name,
        record.is_owed,
    )  # fmt: skip


def _about(record: WorkflowRecord) -> dict[str, Any]:
    """What a run is, as far as it is known."""
    fields: dict[str, Any] = {
        "name": record.name, "mode": record.mode, "trace_id": record.trace_id,
    }  # fmt: skip
    if record.plan is not None:
        fields[PLAN] = [{"id": one[0], "name": one[1], "group_name": one[2]} for one in record.plan]
    return fields


def as_post(message: Message) -> Message:
    """The POST that makes the record which a WORKFLOW_OPEN would have changed."""
    body = _bytes({"id": message.workflow, **json.loads(message.body)})
    return message.with_body(body, _other_key(message, body), Kind.WORKFLOW_POST)


def without_contexts(message: Message) -> Message:
    """The same report for a server that finds it too large: another message, with its own id.

    A workflow's plan goes as contexts do: without the workflow its tasks could not be reported.
    """
    fields = json.loads(message.body)
    fields.update((name, EXCEEDED) for name in CONTEXTS if name in fields)
    fields.pop(PLAN, None)
    body = _bytes(fields)
    return message.with_body(body, _other_key(message, body))


def without_headers(message: Message) -> Message:
    """The same report for a server that finds its headers too large."""
    return message.without_headers(_other_key(message, b"headers"))


def replaced(message: Message, fields: dict[str, Any]) -> Message:
    """Another message of the same kind, with other fields."""
    body = _bytes(fields)
    return message.with_body(body, _other_key(message, body))


def _other_key(message: Message, body: bytes) -> str:
    """The key of a message that takes another one's place: it follows from that one's."""
    return hashlib.sha256(message.id.encode() + body).hexdigest()[:32]


def _encode_workflow(values: dict[str, Any]) -> bytes:
    fields = {name: value for name, value in values.items() if value is not None}
    body = _bytes(fields)
    if len(body) > MAX_BODY:
        fields.pop(PLAN, None)
        body = _bytes(fields)
    return body


def _fitted(fields: dict[str, Any]) -> bytes:
    """The object of the fields, its largest contexts replaced, one by one, until it fits."""
    body = _bytes(fields)
    if len(body) <= MAX_BODY:
        return body
    sizes = {name: len(_encode(fields[name])) for name in CONTEXTS if name in fields}
    for name in sorted(sizes, key=lambda one: sizes[one], reverse=True):
        fields[name] = EXCEEDED
        body = _bytes(fields)
        if len(body) <= MAX_BODY:
            break
    return body


def _bytes(fields: dict[str, Any]) -> bytes:
    # A name may have half a surrogate pair, which UTF-8 cannot say.
    return clean(_encode(fields)).encode()


def _errors(errors: dict[int, Any]) -> list[dict[str, Any]]:
    """The errors, the last ones where all are too many."""
    kept: list[dict[str, Any]] = []
    room = MAX_ERRORS
    for _, error in sorted(errors.items(), reverse=True):
        if not isinstance(error, dict):
            continue
        shown = {name: error.get(name) for name in _ERROR}
        room -= len(_encode(shown)) if len(errors) > 1 else 0
        if room < 0 and kept:
            break
        kept.append(shown)
    return kept[::-1]


def _task_times(record: TaskRecord, is_post: bool) -> str:
    if record.is_restored:  # when it ran, an earlier run has said
        return ""
    if is_post:
        return _times(record.began_at, None)
    tries = [record.attempts[number] for number in sorted(record.attempts)[-MOST_ATTEMPTS:]]
    if tries and tries[-1][1] is None:  # of a process that died in it, or was made to give it up
        tries[-1] = [tries[-1][0], record.ended_at]
    return _times(record.began_at, record.ended_at, tries)


def _times(
    began: int | None, ended: int | None, attempts: list[list[int | None]] | None = None
) -> str:
    said: list[str] = []
    if began is not None:
        said.append(f'"started_at":{_quoted_moment(began)}')
    if ended is not None:
        said.append(f'"finished_at":{_quoted_moment(ended)}')
    if attempts:
        tries = ",".join([f"[{','.join(map(_quoted_moment, one))}]" for one in attempts])
        said.append(f'"attempts":[{tries}]')
    return f"{{{','.join(said)}}}" if said else ""


def _quoted_moment(nanoseconds: int | None) -> str:
    return "null" if nanoseconds is None else f'"{moment(nanoseconds)}"'


def moment(nanoseconds: int) -> str:
    """A time as RFC 3339 writes it, in UTC; by a clock that was never right, as near as can be."""
    try:
        seconds, rest = divmod(int(nanoseconds), 10**9)
        return f"{_second(seconds)}.{rest // 1000:06d}+00:00"
    except (ValueError, OverflowError, OSError):
        return f"{_second(0)}.000000+00:00"


@lru_cache(maxsize=64)
def _second(seconds: int) -> str:
    """A second of a time in UTC; many tasks begin and end within one."""
    return datetime.fromtimestamp(seconds, timezone.utc).replace(tzinfo=None).isoformat()
