"""What goes between a parent and the child process that runs its steps, and what cannot go."""

from __future__ import annotations

import copy
import pickle
from multiprocessing.reduction import ForkingPickler
from typing import TYPE_CHECKING, Any, NamedTuple

from dotflow.abc.server import Server
from dotflow.core.children.start_method import remedy_of_a_step, remedy_of_data
from dotflow.core.context import Context
from dotflow.core.task_error import TaskError
from dotflow.logging import logger
from dotflow.process.within import Failed, within
from dotflow.utils.error_handler import class_and_message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dotflow.abc.facts import AttemptBegan, AttemptEnded, Carrier, Retried
    from dotflow.core.config import Config
    from dotflow.core.task import Task

USE_DATA = "use data that can be pickled"

PATIENCE = 30.0
"""Seconds that a value may take to be pickled, or read, with what it imports."""

_MAIN_IN_CHILD = "__mp_main__."


class Load(NamedTuple):
    """What may fail to be pickled, or to be read in the child: pickled by itself.

    Attributes:
        task: The task; None if the child was forked, and has it.
        previous_context: The result of the task before; None if the child made it, and has it.
    """

    task: bytes | None
    previous_context: bytes | None


class Job(NamedTuple):
    """Parent to child: run a task of the list.

    Attributes:
        number: Its place in the list.
        step: The name of its step.
        load: What else the child needs.
        started_ns: When the task began, in nanoseconds since the epoch.
        carrier: What leads to the span of the task.
        first_attempt: What leads to the span of its first try; None if tries have no spans.
        is_rehearsal: Whether nothing is reported there either, and no delay is waited for.
    """

    number: int
    step: str
    load: Load
    started_ns: int | None
    carrier: Carrier
    first_attempt: Carrier | None = None
    is_rehearsal: bool = False


class AttemptCarrier(NamedTuple):
    """Parent to child: what leads to the span of a try."""

    attempt: int
    carrier: Carrier


class Ready(NamedTuple):
    """Child to parent: the process is there, and waits for a job."""


class Outcome(NamedTuple):
    """Child to parent: the task ended.

    Attributes:
        context: The result; None if the task failed, and on the way: see
            `dotflow.core.children.result`.
        failure: The error that failed it, or None.
        finished_ns: When the step ended, in nanoseconds since the epoch.
        last: Whether the child ends too, whatever the parent has left to do.
        callback_error: What the task's callback raised, or None.
        kind: The name of the type that the result has in the child.
    """

    context: Context | None
    failure: TaskError | None
    finished_ns: int
    last: bool = False
    callback_error: TaskError | None = None
    kind: str = ""


class Said(NamedTuple):
    """Child to parent: something, and whose word it is.

    A step may fork, and its copy of the child has the same connection: the parent hears only the
    process that it started, and only of the job that this one has.

    Attributes:
        process: The number of the process that says it.
        job: The number of its job; None before the first.
        what: A fact about a try (its `n` is the parent's to give), or one of the classes above.
    """

    process: int
    job: int | None
    what: AttemptBegan | AttemptEnded | Retried | Ready | Outcome


def bare(task: Task) -> Task:
    """A copy of a task for a started (not forked) child, which has to be pickled.

    It has no Config: providers have locks and connections, and are called by the parent only.
    """
    copied = copy.copy(task)
    vars(copied).update(config=None, reports=False, turn=None, _previous_context=None)
    return copied


def load_of(task: Task, is_forked: bool, has_previous: bool) -> Load:
    """What a child needs to run a task.

    Args:
        task: The task.
        is_forked: Whether the child was forked, and has the task.
        has_previous: Whether the child made the result of the task before, and has it.

    Raises:
        Unsendable: Something of it cannot be pickled.
    """
    name = task.step.name
    packed = None if is_forked else _packed(bare(task))
    if isinstance(packed, Failed):
        raise _culprit(task) or Unsendable(f"the task of step {name!r}", packed.error)
    previous = None if has_previous else _packed(task.previous_context)
    if isinstance(previous, Failed):
        raise Unsendable(f"the input of step {name!r}", previous.error)
    return Load(packed, previous)


def server_class_for(config: Config, is_forked: bool) -> type[Server]:
    """What leads a child to the spans of its tasks: nothing where it cannot come along."""
    cls: type[Server] = type(config.listener() or config.server)
    if is_forked:
        return cls
    try:
        pickle.dumps(cls)
    except Exception as error:  # noqa: BLE001 - telemetry is no reason for a task to fail
        logger.warning(
            "Spans of steps do not nest under their tasks: the class of the Server cannot be "
            "sent to a process that is not forked (%s). Define it at the top level of a module.",
            error,
        )  # fmt: skip
        return Server
    return cls


class Unsendable(Exception):
    """Something cannot go to a child process.

    Attributes:
        failure: The error of the task.
    """

    def __init__(
        self,
        what: str,
        error: BaseException,
        remedy: str = USE_DATA,
        where: str = "to its process",
    ) -> None:
        what = f"{what} cannot be sent {where}"
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
        packed = _packed(value)
        if isinstance(packed, Failed):
            return Unsendable(what, packed.error, remedy)
    return None


def _packed(value: Any) -> bytes | Failed:
    """A value, pickled, or what it raised: it may do anything, or never end."""

    def pack() -> bytes:
        return bytes(ForkingPickler.dumps(value))

    if type(value) is Context and value.storage is None:
        return pack()
    return within(PATIENCE, pack)


class Unreadable(Exception):
    """What the parent sent cannot be read.

    Attributes:
        failure: The error of the task.
    """

    def __init__(
        self, what: str, error: BaseException, remedy: str, where: str = "in its process"
    ) -> None:
        what = f"{what} cannot be read {where}"
        super().__init__(what)
        self.failure = pickling_failure(what, error, remedy)


def unloaded(job: Job, tasks: Sequence[Task], made: Context | None) -> tuple[Task, Context]:
    """The task of a job, and the result of the task before.

    Args:
        job: What the parent sent.
        tasks: The tasks, in a forked child.
        made: What this child made before: the next task gets that very value.

    Raises:
        Unreadable: One of them cannot be unpickled here.
    """
    try:
        task = tasks[job.number] if job.load.task is None else pickle.loads(job.load.task)  # noqa: S301 - from our own parent
    except BaseException as error:
        raise Unreadable(f"step {job.step!r}", error, remedy_of_a_step()) from error
    previous = job.load.previous_context
    if previous is None:
        assert made is not None  # noqa: S101 - the parent has heard of it
        return task, made
    try:
        return task, pickle.loads(previous)  # noqa: S301
    except BaseException as error:
        raise Unreadable(f"the input of step {job.step!r}", error, USE_DATA) from error


def pickling_failure(what: str, error: BaseException, remedy: str = USE_DATA) -> TaskError:
    """The error of a task whose step, input or result cannot go from one process to the other."""
    cause = TaskError(error)
    said = class_and_message(cause.exception, cause.message)
    failure = TaskError(pickle.PicklingError(f"{what} ({said}): {remedy}"))
    failure.traceback = cause.traceback
    return failure


def known_here(failure: TaskError | None) -> None:
    """Call the class of an error as the parent does.

    A child that is not forked knows the program's main module by another name.
    """
    if failure is not None and failure.error_type.startswith(_MAIN_IN_CHILD):
        failure.error_type = f"__main__.{failure.error_type.removeprefix(_MAIN_IN_CHILD)}"
