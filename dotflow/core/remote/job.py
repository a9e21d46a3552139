"""A step as it goes to an executor of another process, and what comes back of it: bytes."""

from __future__ import annotations

import contextlib
import os
import pickle
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from dotflow.abc.facts import AttemptBegan, AttemptEnded, Retried
from dotflow.abc.server import Server
from dotflow.core import rehearsal
from dotflow.core.children.away import AwayReporter, run_away, whole
from dotflow.core.children.wire import (
    PATIENCE,
    USE_DATA,
    Load,
    Outcome,
    Unreadable,
    pickling_failure,
)
from dotflow.core.exception import CANCELLED, Interrupted
from dotflow.core.guard import Guard
from dotflow.core.jsonable import type_name
from dotflow.core.remote import beginnings, packing
from dotflow.core.remote.beginnings import Beginning
from dotflow.core.types.status import TypeStatus
from dotflow.process.within import Failed, within

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dotflow.abc.facts import Carrier
    from dotflow.core.context import Context
    from dotflow.core.reporter import Leave
    from dotflow.core.task import Task

AttemptFact = AttemptBegan | AttemptEnded | Retried

MOST_NOTED = 256 * 1024
"""Bytes of what a step notes (spans, log records), which come back with its outcome, at most."""

SEE_MODULE = "see that what defines it can be imported where the workers run"

_ON_WORKER = "on its worker"

_guard = Guard()
"""The guard of a worker: that of the Config stays with who reports."""


class RemoteJob(NamedTuple):
    """What a worker needs to run one task.

    Attributes:
        step: The name of its step.
        load: The task and the result of the one before, each pickled by itself.
        workflow_id: The id of the run.
        server: The class that leads to the spans of the task, pickled by itself.
        carriers: What leads to the span of the task, then to that of each try; or nothing.
        number: The number of the flight.
        began: The FIFO in which the worker tells that the step began; empty for none.
        knows_main: Whether the parent has what the worker's main module defines, under its name.
        is_rehearsal: Whether nothing is reported there either, and no delay is waited for.
    """

    step: str
    load: Load
    workflow_id: Any
    server: bytes
    carriers: Sequence[Carrier]
    number: int
    began: str
    knows_main: bool
    is_rehearsal: bool = False


class Answer(NamedTuple):
    """What a worker says of a task; the result comes behind it, pickled by itself.

    Attributes:
        beginning: Where and when it began.
        facts: What happened to its tries; their `n` are for who reports to give.
        outcome: How it ended.
        noted: What `Server.gather` gave.
    """

    beginning: Beginning
    facts: list[AttemptFact]
    outcome: Outcome
    noted: bytes = b""


class RemoteReporter(AwayReporter):
    """Notes what happens to a task on a worker, for the way back.

    Args:
        task: The worker's copy of the task.
        job: What was sent.
        server: What makes its spans current.
        began_ns: When it began.
        is_heard: Whether somebody on this machine has heard that.
    """

    def __init__(
        self, task: Task, job: RemoteJob, server: type[Server], began_ns: int, is_heard: bool
    ) -> None:
        super().__init__(task)
        self.facts: list[AttemptFact] = []
        self._job = job
        self._server = server
        self._began_ns = began_ns
        self._is_heard = is_heard

    def start(self) -> None:
        """The task begins."""
        self.task.started_ns = self._began_ns
        self.task.status = TypeStatus.IN_PROGRESS

    def activate(self) -> Leave | None:
        """The span of the task is current already, around all of this."""
        return None

    def start_attempt(self, attempt: int, time_ns: int) -> Leave | None:
        """A try begins; make the span current that it will have.

        Raises:
            Interrupted: It is a further one, and the run is over.
        """
        if attempt > 1 and self._is_heard and not beginnings.is_heard(self._job.began):
            raise Interrupted(CANCELLED)
        self._say(AttemptBegan(0, self.task.task_id, attempt, time_ns))
        if attempt > 1:  # what it traces has a parent then, also if this worker is lost
            job = self._job
            beginnings.tell(job.began, job.number, Beginning(time_ns, attempt=attempt))
        return self.enter(attempt)

    def enter(self, which: int) -> Leave | None:
        """Make a span current: 0 for that of the task, else that of a try."""
        carriers = self._job.carriers
        if which >= len(carriers):
            return None
        return _guard.enter(self._server, "attach", carriers[which])

    def _say(self, fact: AttemptFact) -> None:
        self.facts.append(fact)


def run_packed(payload: bytes) -> bytes:
    """Run one task on a worker; called by the executor, in whichever process that is.

    Args:
        payload: A RemoteJob, pickled.

    Returns:
        An Answer, pickled, and behind it the result.
    """
    job: RemoteJob = pickle.loads(payload)  # noqa: S301 - from the process that runs the workflow
    beginning = Beginning(time.time_ns(), beginnings.host(), os.getpid())
    is_heard = beginnings.tell(job.began, job.number, beginning)
    with _rehearsed(job.is_rehearsal):
        try:
            task: Task = _read(job.load.task, f"step {job.step!r}", SEE_MODULE)
            previous: Context = _read(
                job.load.previous_context, f"the input of step {job.step!r}", USE_DATA
            )
        except Unreadable as error:
            outcome = Outcome(None, error.failure, time.time_ns())
            return pickle.dumps(Answer(beginning, [], outcome), packing.PROTOCOL)
        server = _server_of(job)
        reporter = RemoteReporter(task, job, server, beginning.at_ns, is_heard)
        leave = reporter.enter(0)
        try:
            with whole():
                outcome = run_away(reporter, job.workflow_id, previous)
            noted = _guard.call(server, "gather", MOST_NOTED) if job.carriers else b""
        finally:
            if leave is not None:
                leave()
    return _answer(job, Answer(beginning, reporter.facts, outcome, noted or b""))


def _answer(job: RemoteJob, answer: Answer) -> bytes:
    """What there is to say, and the result; a failure where that cannot be sent."""

    def dumps(value: Any) -> bytes:
        return packing.dumps(value, job.knows_main)

    outcome = answer.outcome._replace(context=None)
    for said in (outcome, *answer.facts):
        failure = getattr(said, "failure", getattr(said, "error", None))
        if failure is not None:
            failure.pack(dumps)
    result = answer.outcome.context
    packed: bytes | Failed = b""
    if result is not None:
        outcome = outcome._replace(kind=type_name(result.storage))
        packed = within(PATIENCE, lambda: dumps(result))
    if isinstance(packed, Failed):
        what = f"the result of step {job.step!r} cannot be sent back"
        outcome = outcome._replace(failure=pickling_failure(what, packed.error))
        packed = b""
    return pickle.dumps(answer._replace(outcome=outcome), packing.PROTOCOL) + packed


def _read(payload: bytes | None, what: str, remedy: str) -> Any:
    try:
        return pickle.loads(payload or b"")  # noqa: S301 - from the process that runs the workflow
    except BaseException as error:
        raise Unreadable(what, error, remedy, _ON_WORKER) from error


def _server_of(job: RemoteJob) -> type[Server]:
    """What leads to the spans: nothing where it cannot be had on this worker."""
    try:
        return pickle.loads(job.server)  # type: ignore[no-any-return] # noqa: S301
    except Exception:  # noqa: BLE001 - telemetry is no reason for a step not to run
        return Server


@contextlib.contextmanager
def _rehearsed(is_rehearsal: bool) -> Iterator[None]:
    """Be in a rehearsal where the parent is; a worker runs steps of other runs after this."""
    if not is_rehearsal:
        yield
        return
    before = rehearsal.skips_delays, os.environ.get("DOTFLOW_SERVER")
    rehearsal.skips_delays = True
    os.environ["DOTFLOW_SERVER"] = "none"  # a workflow that the step starts is not reported either
    try:
        yield
    finally:
        rehearsal.skips_delays = before[0]
        os.environ.pop("DOTFLOW_SERVER", None)  # the step may have done what it liked with it
        if before[1] is not None:
            os.environ["DOTFLOW_SERVER"] = before[1]
