"""What runs in a child process: steps, one at a time; what happened goes to the parent."""

from __future__ import annotations

import contextlib
import os
import signal
import time
import weakref
from typing import TYPE_CHECKING, Any

from dotflow.abc.facts import AttemptBegan, AttemptEnded, Retried
from dotflow.core import rehearsal
from dotflow.core.children.away import AwayReporter, run_away
from dotflow.core.children.result import with_result
from dotflow.core.children.streams import renew_streams
from dotflow.core.children.wire import (
    PATIENCE,
    AttemptCarrier,
    Job,
    Outcome,
    Ready,
    Said,
    Unreadable,
    pickling_failure,
    unloaded,
)
from dotflow.core.guard import Guard
from dotflow.core.jsonable import type_name
from dotflow.core.types.status import TypeStatus
from dotflow.process.within import Failed, within

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from dotflow.abc.facts import Carrier
    from dotflow.abc.server import Server
    from dotflow.core.context import Context
    from dotflow.core.reporter import Leave
    from dotflow.core.task import Task

CARRIER_WAIT = 2.0
"""Seconds that a try waits for the parent to say what its span is, before it starts without."""

parent_ends: weakref.WeakSet[Connection] = weakref.WeakSet()
"""The parent's ends of all connections to children: a forked child has to close its copies, or
no other child would notice that the parent is gone."""

guard = Guard()
"""The guard of a child: that of its Config stays with the parent."""


class ChildReporter(AwayReporter):
    """Writes each turn to the child's Task, without hooks, and sends it to the parent."""

    def __init__(self, task: Task, connection: Connection, server: type[Server], job: Job) -> None:
        super().__init__(task)
        self._connection = connection
        self._server = server
        self._job = job

    def start(self) -> None:
        """The task begins: the parent has reported that."""
        self.task.started_ns = self._job.started_ns
        self.task.status = TypeStatus.IN_PROGRESS

    def activate(self) -> Leave | None:
        """Make the task's span current in this thread; return what undoes it."""
        return self._enter(self._job.carrier)

    def start_attempt(self, attempt: int, time_ns: int) -> Leave | None:
        """Make the span of a try current; of a further one the parent is told, and says which."""
        if attempt == 1:  # the parent has reported that with the start of the task
            return self._enter(self._job.first_attempt or self._job.carrier)
        self._say(AttemptBegan(0, self.task.task_id, attempt, time_ns))
        # If nobody traces there is no span to be told of, and nothing to wait for.
        while self._job.carrier and self._connection.poll(CARRIER_WAIT):
            answer = self._connection.recv()
            # An answer to an earlier try came too late for it.
            if isinstance(answer, AttemptCarrier) and answer.attempt == attempt:
                return self._enter(answer.carrier)
        return self._enter(self._job.carrier)

    def _say(self, fact: AttemptBegan | AttemptEnded | Retried) -> None:
        self._connection.send(Said(os.getpid(), self._job.number, fact))

    def _enter(self, carrier: Carrier) -> Leave | None:
        return guard.enter(self._server, "attach", carrier)


def serve(
    connection: Connection,
    tasks: list[Task],
    workflow_id: Any,
    server: type[Server],
) -> None:
    """Run tasks as the parent names them, until it names no more; the main of a child process.

    Args:
        connection: To the parent.
        tasks: The tasks, in a forked child; in another each comes with its job.
        workflow_id: The id of the run.
        server: What leads to the spans of the tasks.
    """
    # Ctrl-C goes to the parent too, which says what there is to say; in a step it ends that.
    with contextlib.suppress(KeyboardInterrupt):
        _serve(connection, tasks, workflow_id, server)


def _serve(
    connection: Connection, tasks: list[Task], workflow_id: Any, server: type[Server]
) -> None:
    if tasks:
        renew_streams()
    for end in list(parent_ends):
        with contextlib.suppress(OSError):
            end.close()
    process = os.getpid()
    with connection, contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        # If the parent is gone nobody is left to tell, and nothing is left to do.
        connection.send(Said(process, None, Ready()))
        made: Context | None = None
        while (job := _next_job(connection)) is not None:
            _rehearse(job.is_rehearsal)
            try:
                task, previous = unloaded(job, tasks, made)
            except Unreadable as error:
                outcome = Outcome(None, error.failure, time.time_ns())
                connection.send(Said(process, job.number, outcome))
                continue
            reporter = ChildReporter(task, connection, server, job)
            outcome = run_away(reporter, workflow_id, previous)
            made = outcome.context
            _send_outcome(connection, task, job, outcome)
            if outcome.last:
                return


def _rehearse(is_rehearsal: bool) -> None:
    """Be in a rehearsal where the parent is; before a module of the program is loaded."""
    rehearsal.skips_delays = is_rehearsal
    if is_rehearsal:  # a workflow that a step starts in this process is not reported either
        os.environ["DOTFLOW_SERVER"] = "none"


def serve_under_lead(*arguments: Any) -> None:
    """Serve, and leave Ctrl-C, which the terminal sends to every process, to the parent.

    Not ignored, for what the step starts would inherit that.
    """
    signal.signal(signal.SIGINT, lambda *_: None)
    serve(*arguments)


def _next_job(connection: Connection) -> Job | None:
    # A carrier that came too late for its try is of no use now.
    while isinstance(message := connection.recv(), AttemptCarrier):
        pass
    return message  # type: ignore[no-any-return]


def _send_outcome(connection: Connection, task: Task, job: Job, outcome: Outcome) -> None:
    result, outcome = outcome.context, outcome._replace(context=None)
    if result is not None:
        outcome = outcome._replace(kind=type_name(result.storage))
    said = Said(os.getpid(), job.number, outcome)
    if result is None:
        connection.send(said)
        return
    payload = within(PATIENCE, lambda: with_result(said, result))
    if not isinstance(payload, Failed):
        connection.send_bytes(payload)
        return
    what = f"the result of step {task.step.name!r} cannot be sent to the parent process"
    failure = pickling_failure(what, payload.error)
    connection.send(said._replace(what=outcome._replace(failure=failure)))
