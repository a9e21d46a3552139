"""What runs in a child process: steps, one at a time, and what happened goes to the parent."""

from __future__ import annotations

import contextlib
import copy
import pickle
import time
import weakref
from dataclasses import dataclass
from multiprocessing.reduction import ForkingPickler
from typing import TYPE_CHECKING, Any

from dotflow.core.children.start_method import remedy_of_a_step, remedy_of_data
from dotflow.core.children.streams import renew_streams
from dotflow.core.engine import TaskEngine
from dotflow.core.guard import Guard
from dotflow.core.task_error import TaskError
from dotflow.core.types.status import TypeStatus
from dotflow.logging import logger

if TYPE_CHECKING:
    from collections.abc import Mapping
    from multiprocessing.connection import Connection

    from dotflow.abc.server import Server
    from dotflow.core.context import Context
    from dotflow.core.reporter import Leave
    from dotflow.core.task import Task

CARRIER_WAIT = 2.0
"""Seconds that a try waits for the parent to say what its span is, before it starts without."""

parent_ends: weakref.WeakSet[Connection] = weakref.WeakSet()
"""The parent's ends of all connections to children: a forked child has to close its copies, or
no other child would notice that the parent is gone."""


_MAIN_IN_CHILD = "__mp_main__."

USE_DATA = "use data that can be pickled"

guard = Guard()
"""The guard of a child: that of its Config stays with the parent."""


@dataclass(frozen=True)
class Load:
    """What may fail to be pickled, or to be read in the child: pickled by itself.

    Attributes:
        task: The task; None where the child was forked, and has it.
        previous_context: The result of the task before.
    """

    task: bytes | None
    previous_context: bytes


@dataclass(frozen=True)
class Job:
    """Parent to child: run a task of the list.

    Attributes:
        index: Which.
        step: The name of its step.
        load: What else the child needs.
        started_ns: When the task began, in nanoseconds since the epoch.
        carrier: What leads to the span of the task.
        first_attempt: What leads to the span of its first try; None where tries have no spans.
    """

    index: int
    step: str
    load: Load
    started_ns: int | None
    carrier: Mapping[str, str]
    first_attempt: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Ready:
    """Child to parent: the process is there, and waits for a job."""


@dataclass(frozen=True)
class AttemptCarrier:
    """Parent to child: what leads to the span of a try."""

    attempt: int
    carrier: Mapping[str, str]


@dataclass(frozen=True)
class AttemptStarted:
    """Child to parent: a further try begins; answered with an AttemptCarrier."""

    attempt: int
    time_ns: int


@dataclass(frozen=True)
class AttemptEnded:
    """Child to parent: a try ended."""

    attempt: int
    failure: TaskError | None
    time_ns: int


@dataclass(frozen=True)
class Retrying:
    """Child to parent: the task will be tried again."""

    failure: TaskError


@dataclass(frozen=True)
class Outcome:
    """Child to parent: the task ended.

    Attributes:
        context: The result; None where the task failed.
        failure: The error that failed it, or None.
        finished_ns: When the step ended, in nanoseconds since the epoch.
        last: Whether the child ends too, whatever the parent has left to do.
    """

    context: Context | None
    failure: TaskError | None
    finished_ns: int
    last: bool = False


class ChildReporter:
    """Writes each turn to the child's Task, without hooks, and sends it to the parent."""

    def __init__(self, task: Task, connection: Connection, server: type[Server], job: Job) -> None:
        self.task = task
        self._connection = connection
        self._server = server
        self._job = job

    def start(self) -> None:
        """The task begins: the parent has reported that."""
        self.task.started_ns = self._job.started_ns
        self.task.status = TypeStatus.IN_PROGRESS

    def activate(self) -> Leave:
        """Make the task's span current in this thread; return what undoes it."""
        return self._enter(self._job.carrier)

    def start_attempt(self, attempt: int, time_ns: int) -> Leave:
        """Make the span of a try current; of a further one the parent is told, and says which."""
        if attempt == 1:  # the parent has reported that with the start of the task
            return self._enter(self._job.first_attempt or self._job.carrier)
        self._connection.send(AttemptStarted(attempt, time_ns))
        # Where nobody traces there is no span to be told of, and nothing to wait for.
        while self._job.carrier and self._connection.poll(CARRIER_WAIT):
            answer = self._connection.recv()
            # An answer to an earlier try came too late for it.
            if isinstance(answer, AttemptCarrier) and answer.attempt == attempt:
                return self._enter(answer.carrier)
        return self._enter(self._job.carrier)

    def end_attempt(self, attempt: int, failure: TaskError | None, time_ns: int) -> None:
        """Tell the parent that the try ended."""
        self._connection.send(AttemptEnded(attempt, failure, time_ns))

    def retry(self, failure: TaskError) -> None:
        """Tell the parent that the task will be tried again."""
        self.task.retry_count += 1
        self.task.errors = failure
        self.task.status = TypeStatus.RETRY
        self._connection.send(Retrying(failure))

    def end(self, failure: TaskError | None, finished_ns: int) -> None:
        """Note the end; it is sent once the callback has run."""
        task = self.task
        task.finish(finished_ns)
        if failure is None:
            task.status = TypeStatus.COMPLETED
        else:
            task.errors = failure
            task.current_context = None
            task.status = TypeStatus.FAILED

    def _enter(self, carrier: Mapping[str, str]) -> Leave:
        return guard.enter(self._server, "attach", carrier)


def bare(task: Task) -> Task:
    """A copy of a task for a started (not forked) child, which has to be pickled.

    It has no Config: providers have locks and connections, and are called by the parent only.
    """
    copied = copy.copy(task)
    vars(copied).update(config=None, reports=False, _previous_context=None)
    return copied


def load_of(task: Task, is_forked: bool) -> Load:
    """What a child needs to run a task.

    Raises:
        Unsendable: Something of it cannot be pickled.
    """
    name = task.step.name
    packed = None
    if not is_forked:
        try:
            packed = _packed(bare(task))
        except Exception as error:
            raise _culprit(task) or Unsendable(f"the task of step {name!r}", error) from error
    try:
        return Load(packed, _packed(task.previous_context))
    except Exception as error:
        raise Unsendable(f"the input of step {name!r}", error) from error


class Unsendable(Exception):
    """Something cannot go to a child process.

    Attributes:
        failure: The error of the task.
    """

    def __init__(self, what: str, error: Exception, remedy: str = USE_DATA) -> None:
        what = f"{what} cannot be sent to its process"
        super().__init__(what)
        self.failure = pickling_failure(what, error, remedy)


def _culprit(task: Task) -> Unsendable | None:
    """What of a task cannot be pickled."""
    name = task.step.name
    for what, value, remedy in (
        (f"step {name!r}", task.step, remedy_of_a_step()),
        (f"the callback of step {name!r}", task.callback, remedy_of_a_step()),
        (f"the initial context of step {name!r}", task.initial_context, remedy_of_data()),
    ):
        try:
            _packed(value)
        except Exception as error:  # noqa: BLE001, PERF203 - it may fail to pickle as it likes
            return Unsendable(what, error, remedy)
    return None


def _packed(value: Any) -> bytes:
    return bytes(ForkingPickler.dumps(value))


def serve(
    connection: Connection, tasks: list[Task], workflow_id: Any, server: type[Server]
) -> None:
    """Run tasks as the parent names them, until it names no more; the main of a child process.

    Args:
        connection: To the parent.
        tasks: The tasks, in a forked child; in another each comes with its job.
        workflow_id: The id of the run.
        server: What leads to the spans of the tasks.
    """
    if tasks:
        renew_streams()
    for end in list(parent_ends):
        with contextlib.suppress(OSError):
            end.close()
    with connection, contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        # Where the parent is gone nobody is left to tell, and nothing is left to do.
        connection.send(Ready())
        while (job := _next_job(connection)) is not None:
            try:
                task, previous = _unloaded(job, tasks)
            except Unreadable as error:
                connection.send(Outcome(None, error.failure, time.time_ns()))
                continue
            outcome = run_job(connection, task, workflow_id, server, job, previous)
            _send_outcome(connection, task, outcome)
            if outcome.last:
                return


class Unreadable(Exception):
    """What the parent sent cannot be read.

    Attributes:
        failure: The error of the task.
    """

    def __init__(self, what: str, error: Exception, remedy: str) -> None:
        what = f"{what} cannot be read in its process"
        super().__init__(what)
        self.failure = pickling_failure(what, error, remedy)


def _unloaded(job: Job, tasks: list[Task]) -> tuple[Task, Context]:
    """The task of a job, and the result of the task before.

    Raises:
        Unreadable: One of them cannot be unpickled here.
    """
    try:
        task = tasks[job.index] if job.load.task is None else pickle.loads(job.load.task)  # noqa: S301 - from our own parent
    except Exception as error:
        raise Unreadable(f"step {job.step!r}", error, remedy_of_a_step()) from error
    try:
        return task, pickle.loads(job.load.previous_context)  # noqa: S301
    except Exception as error:
        raise Unreadable(f"the input of step {job.step!r}", error, USE_DATA) from error


def _next_job(connection: Connection) -> Job | None:
    # A carrier that came too late for its try is of no use now.
    while isinstance(message := connection.recv(), AttemptCarrier):
        pass
    return message  # type: ignore[no-any-return]


def run_job(
    connection: Connection,
    task: Task,
    workflow_id: Any,
    server: type[Server],
    job: Job,
    previous: Context,
) -> Outcome:
    """Run one task and its callback, and say how they ended."""
    task.reports = False
    reporter = ChildReporter(task, connection, server, job)
    engine = TaskEngine(task, workflow_id, previous, reporter)
    ending: BaseException | None = None
    broken: TaskError | None = None
    try:
        with engine.start():
            engine.execute_with_retry()
        broken = _call_back(task)
    except BaseException as error:  # noqa: BLE001 - the parent has to know of any end
        ending = error
    failure = task.errors[-1] if task.status == TypeStatus.FAILED else broken
    if ending is not None and failure is None:
        failure = TaskError(ending)
    return Outcome(
        task.current_context if failure is None else None,
        failure,
        task.finished_ns or 0,
        last=ending is not None,
    )


def _call_back(task: Task) -> TaskError | None:
    """Call the task's callback; its error fails a task that the step has not failed already."""
    try:
        task.callback(task=task)
    except Exception as error:  # noqa: BLE001 - a callback may raise as it likes
        if task.status == TypeStatus.FAILED:
            logger.exception("The callback of failed task %s raised.", task.task_id)
        return TaskError(error)
    return None


def _send_outcome(connection: Connection, task: Task, outcome: Outcome) -> None:
    try:
        payload = ForkingPickler.dumps(outcome)
    except Exception as error:  # noqa: BLE001 - a result may fail to pickle as it likes
        what = f"the result of step {task.step.name!r} cannot be sent to the parent process"
        failure = pickling_failure(what, error)
        payload = ForkingPickler.dumps(Outcome(None, failure, outcome.finished_ns, outcome.last))
    connection.send_bytes(payload)


def pickling_failure(what: str, error: Exception, remedy: str = USE_DATA) -> TaskError:
    """The error of a task whose step, input or result cannot go from one process to the other."""
    cause = TaskError(error)
    failure = TaskError(
        pickle.PicklingError(f"{what} ({cause.exception}: {cause.message}): {remedy}")
    )
    failure.traceback = cause.traceback
    return failure


def known_here(failure: TaskError | None) -> None:
    """Call the class of an error as the parent does.

    A child that is not forked knows the program's main module by another name.
    """
    if failure is not None and failure.error_type.startswith(_MAIN_IN_CHILD):
        failure.error_type = f"__main__.{failure.error_type.removeprefix(_MAIN_IN_CHILD)}"
