"""The Server contract: report a run while it happens."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

from dotflow.abc.facts import (
    AttemptBegan,
    AttemptEnded,
    Carrier,
    Fact,
    PlannedTask,
    Retried,
    RunBegan,
    RunEnded,
    RunFailed,
    TaskAdded,
    TaskBegan,
    TaskEnded,
    TaskRestored,
    WorkflowCreated,
)
from dotflow.abc.words import Words, masked_words
from dotflow.constants import INITIAL_TASK_ID

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from uuid import UUID

    from dotflow.abc.task import Failure, TaskView

IN_PROGRESS = "In progress"


class WorkflowDescription(NamedTuple):
    """Says what is known of a run besides its id.

    Attributes:
        name: The name that the workflow was given, or None.
        managed: Whether the id came from outside, so that the record exists already.
        resumed: Whether the run goes on with an earlier run, whose tasks have records too.
        mode: The mode of the run; None until `start()`.
        tasks: The planned tasks, in order; empty until `start()`.
        earlier: What the Server noted about the run that this run goes on with, or None.
        run: The run's number (see `dotflow.abc.facts.RunBegan`); 0 until `start()`.
    """

    name: str | None = None
    managed: bool = False
    resumed: bool = False
    mode: str | None = None
    tasks: Sequence[PlannedTask] = ()
    earlier: Carrier | None = None
    run: int = 0


class FlushResult(NamedTuple):
    """Says what became of the reports that existed when a flush began.

    Attributes:
        delivered: How many messages dotflow-api has taken since the server was made.
        pending: How many messages wait for a later attempt.
        dead: How many messages dotflow-api refused for good.
        complete: Whether no message and no span is left to send.
    """

    delivered: int = 0
    pending: int = 0
    dead: int = 0
    complete: bool = True


class Server(ABC):
    """Reports a run while it happens: derive your own place to report to from this class.

    Write the four abstract methods; the others do nothing by default. Or derive from `ServerFacts`,
    which has one method to write.

    The engine calls every method in the process that called `start()`, except `attach` and
    `gather`, which it calls in a child process or on a worker. `str(workflow)` is the workflow's id
    in every call. If a method raises, dotflow logs that once and counts it, and the run goes on. A
    method must not block, because the run waits for it.

    Attributes:
        keeps_notes: Whether `note` returns anything. Only then the engine asks the storage for
            notes.
        silent: Whether the Server reports nothing. The engine then tells it nothing. A subclass
            does not inherit this value.
    """

    keeps_notes: bool = False
    silent: bool = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "silent" not in vars(cls):
            cls.silent = False

    def happened(self, fact: Fact, subject: Any) -> None:
        """Take a fact about a run: the engine calls this method for each, and no other one.

        By default it calls the methods below. If you override it, derive from `ServerFacts`.

        Args:
            fact: What happened, see `dotflow.abc.facts`.
            subject: The task (see `dotflow.abc.task.TaskView`) for a fact about a task, else the
                workflow's id. Do not change it.
        """
        _CALLS[type(fact)](self, fact, subject)

    @abstractmethod
    def create_workflow(self, workflow: str | UUID) -> None:
        """Report a new workflow; not called if the workflow's id came from outside."""

    @abstractmethod
    def update_workflow(self, workflow: str | UUID, status: str = "") -> None:
        """Report that a run began ("In progress") or ended ("Completed" or "Failed")."""

    @abstractmethod
    def create_task(self, task: TaskView) -> None:
        """Report a task that was added."""

    @abstractmethod
    def update_task(self, task: TaskView) -> None:
        """Report a task that began, failed an attempt, ended or was restored: read its status."""

    def get_next_task_id(self, workflow: str | UUID) -> int:  # noqa: ARG002 - the default needs none
        """The number for the first task of a workflow whose id came from outside."""
        return INITIAL_TASK_ID

    def describe_workflow(self, workflow: str | UUID, description: WorkflowDescription) -> None:
        """Take what is known of a run: once when it is constructed, again when it starts."""

    def start_attempt(self, task: TaskView, attempt: int, time_ns: int) -> None:
        """Report the beginning of an attempt; called only if the step's `retry` is above 1.

        Args:
            task: The task.
            attempt: The number of the attempt, from 1.
            time_ns: When it began, in nanoseconds since the epoch, by the clock of the process that
                runs the step.
        """

    def end_attempt(
        self, task: TaskView, attempt: int, error: Failure | None, time_ns: int
    ) -> None:
        """Report the end of that attempt, with its error, or None if it succeeded."""

    def activate(self, task: TaskView) -> AbstractContextManager[Any]:  # noqa: ARG002
        """Make the task's innermost span current while the step runs in this thread."""
        return nullcontext()

    def carrier(self, task: TaskView) -> Carrier:  # noqa: ARG002
        """What a step needs to find its span in another process."""
        return {}

    def fail_workflow(self, workflow: str | UUID, error: Failure) -> None:
        """Take what ended a run if no step failed: an interrupt, or the storage.

        The engine then calls `update_workflow` with "Failed".
        """

    def words_of(self, error: Failure) -> Words:
        """The message and the traceback of an error, without secrets, for log lines and reports.

        By default the values beside a credential's name are masked.
        """
        return masked_words(error)

    def note(self, workflow: str | UUID, task: TaskView | None = None) -> Carrier:  # noqa: ARG002
        """What the storage keeps with the checkpoints, so that a resumed run can refer to this run.

        Args:
            workflow: The id of the run, which began a moment ago.
            task: A task of the run, whose result is about to be kept; None for the run itself.
        """
        return {}

    def restored(self, task: TaskView, note: Carrier) -> None:
        """Take the note about a task that is restored. The engine then calls `update_task`.

        Args:
            task: The task.
            note: What `note` returned when the result was kept, perhaps in another process.
        """

    def trace_id(self, workflow: str | UUID) -> str | None:  # noqa: ARG002
        """The trace id of a run that goes on (32 hex digits), or None."""
        return None

    def places(self, workflow: str | UUID) -> Mapping[str, str]:  # noqa: ARG002
        """Where to look for a run: addresses, without credentials, for "records" and "spans"."""
        return {}

    @classmethod
    def attach(cls, carrier: Carrier) -> AbstractContextManager[Any]:  # noqa: ARG003
        """Make the span that a carrier leads to current; called in the child process.

        A class method, because a spawned child process does not have the instance.
        """
        return nullcontext()

    # For steps that run on an executor, which has no way back before a step has ended.

    def reserve(self, task: TaskView, attempts: int) -> Sequence[Carrier]:  # noqa: ARG002
        """Choose the spans that a task will have; called before the task is submitted.

        Args:
            task: The task; nothing about it has been reported yet.
            attempts: How many attempts it has at most.

        Returns:
            A carrier for the task's span, then a carrier for each attempt if `attempts` is above 1.
            The spans that the Server makes later have these ids.
        """
        return ()

    @classmethod
    def gather(cls, limit: int) -> bytes:  # noqa: ARG003
        """Collect what a step left on its worker, so that the parent process can deliver it.

        Called on the worker, once after each task, while the task's carrier is attached. Not called
        if the steps run in threads of the parent process.

        Args:
            limit: How many bytes may be returned.

        Returns:
            What `gathered` understands; nothing if the worker delivers by itself.
        """
        return b""

    def gathered(self, task: TaskView, payload: bytes) -> None:
        """Take what `gather` returned on the worker; called before the facts about that task.

        Args:
            task: The task that the worker ran.
            payload: What `gather` returned, of any length.
        """

    def flush(self, timeout: float | None = None) -> FlushResult:  # noqa: ARG002
        """Deliver what was reported so far; return after at most `timeout` seconds."""
        return FlushResult()

    def deliver(self, timeout: float) -> FlushResult:
        """Deliver what was reported so far, without waiting for a destination that is away.

        Called by the thread that ends a run, in a process that others may end without its exit
        handlers. By default it calls `flush`.

        Args:
            timeout: How many seconds this may take.
        """
        return self.flush(timeout)

    def close(self, timeout: float | None = None) -> FlushResult:
        """Flush, and release what the Server holds. Later reports are not sent."""
        return self.flush(timeout)


class ServerFacts(Server):
    """A Server with one method to write: `happened` takes each moment of a run as a fact."""

    @abstractmethod
    def happened(self, fact: Fact, subject: Any) -> None:
        """Take a fact about a run; the thread that runs the workflow calls this method.

        Args:
            fact: What happened: one of the tuples of `dotflow.abc.facts`.
            subject: The task (a `dotflow.abc.task.TaskView`) for a fact about a task, else the id
                of the workflow. Do not change it.
        """

    def create_workflow(self, workflow: str | UUID) -> None:
        """Do nothing: `happened` takes it."""

    def update_workflow(self, workflow: str | UUID, status: str = "") -> None:
        """Do nothing: `happened` takes it."""

    def create_task(self, task: TaskView) -> None:
        """Do nothing: `happened` takes it."""

    def update_task(self, task: TaskView) -> None:
        """Do nothing: `happened` takes it."""


# What each fact is by the methods that a Server had before there were facts.


def _workflow_created(server: Server, fact: WorkflowCreated, workflow: Any) -> None:
    server.describe_workflow(workflow, WorkflowDescription(fact.name, fact.managed))
    if not fact.managed:
        server.create_workflow(workflow=workflow)


def _run_began(server: Server, fact: RunBegan, workflow: Any) -> None:
    description = WorkflowDescription(
        fact.name, fact.managed, fact.resumed, fact.mode, fact.plan, fact.earlier, fact.n
    )
    server.describe_workflow(workflow, description)
    server.update_workflow(workflow=workflow, status=IN_PROGRESS)


def _run_failed(server: Server, fact: RunFailed, workflow: Any) -> None:
    server.fail_workflow(workflow, fact.error)


def _run_ended(server: Server, fact: RunEnded, workflow: Any) -> None:
    server.update_workflow(workflow=workflow, status=fact.status)


def _task_added(server: Server, _fact: TaskAdded, task: Any) -> None:
    server.create_task(task=task)


def _task_updated(server: Server, _fact: Any, task: Any) -> None:
    server.update_task(task=task)


def _attempt_began(server: Server, fact: AttemptBegan, task: Any) -> None:
    server.start_attempt(task, fact.attempt, fact.at_ns)


def _attempt_ended(server: Server, fact: AttemptEnded, task: Any) -> None:
    server.end_attempt(task, fact.attempt, fact.error, fact.at_ns)


def _task_restored(server: Server, fact: TaskRestored, task: Any) -> None:
    if fact.note:
        server.restored(task, fact.note)
    server.update_task(task=task)


_CALLS: dict[type, Callable[[Server, Any, Any], None]] = {
    WorkflowCreated: _workflow_created,
    RunBegan: _run_began,
    RunFailed: _run_failed,
    RunEnded: _run_ended,
    TaskAdded: _task_added,
    TaskBegan: _task_updated,
    AttemptBegan: _attempt_began,
    AttemptEnded: _attempt_ended,
    Retried: _task_updated,
    TaskEnded: _task_updated,
    TaskRestored: _task_restored,
}
