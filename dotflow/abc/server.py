"""The Server contract: how a run is reported while it happens."""

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
    """What a provider may want to know of a run, beside its id.

    Attributes:
        name: The name that was given; None where none was.
        managed: Whether the id came from outside, so that the record exists already.
        resumed: Whether the run goes on with an earlier one, whose tasks have records too.
        mode: How the run goes; None until `start()`.
        tasks: The planned tasks, in order; empty until `start()`.
        earlier: What the Server had noted of the run that this one goes on with; None where
            nothing was.
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
    """What became of the reports that were under way when a flush began.

    Attributes:
        delivered: Messages that dotflow-api has taken since the server was made.
        pending: Messages that wait for a later attempt.
        dead: Messages that dotflow-api refused for good.
        complete: Whether nothing was left to send, here and at the OTLP endpoint.
    """

    delivered: int = 0
    pending: int = 0
    dead: int = 0
    complete: bool = True


class Server(ABC):
    """Reports a run at every turn of its life.

    The engine calls every method in the process that called `start()`, never in a child or on a
    worker, except `attach` and `gather`. `str(workflow)` is the workflow's id in every call. What a
    method raises is logged once and counted, and the run goes on; a method must not block, for the
    run waits for it.

    The four abstract methods are all that a provider needs. The others do nothing by default.

    Attributes:
        keeps_notes: Whether `note` has something to say: only then the storage is asked for it.
        silent: Whether nothing becomes of what the Server is told. The engine then tells it
            nothing. It is not inherited: a subclass that is silent too says so itself.
    """

    keeps_notes: bool = False
    silent: bool = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "silent" not in vars(cls):
            cls.silent = False

    def happened(self, fact: Fact, subject: Any) -> None:
        """Learn what happened in a run; the engine calls this, and nothing else, at each moment.

        By default it calls the methods below. A Server that overrides it has all there is to know:
        derive that one from `ServerFacts`.

        Args:
            fact: What happened.
            subject: The task (see `dotflow.abc.task.TaskView`) that a task's fact is about, else
                the workflow's id. It is not to be changed.
        """
        _CALLS[type(fact)](self, fact, subject)

    @abstractmethod
    def create_workflow(self, workflow: str | UUID) -> None:
        """Report a new workflow; not called where its id came from outside."""

    @abstractmethod
    def update_workflow(self, workflow: str | UUID, status: str = "") -> None:
        """Report that a run began ("In progress") or ended ("Completed" or "Failed")."""

    @abstractmethod
    def create_task(self, task: TaskView) -> None:
        """Report a task that was added."""

    @abstractmethod
    def update_task(self, task: TaskView) -> None:
        """Report a task that began, failed an attempt, ended, or was restored; see its status."""

    def get_next_task_id(self, workflow: str | UUID) -> int:  # noqa: ARG002 - the default needs none
        """The first free task id of a workflow that came from outside."""
        return INITIAL_TASK_ID

    def describe_workflow(self, workflow: str | UUID, description: WorkflowDescription) -> None:
        """Learn what else is known of a run: when it is constructed, and again when it starts."""

    def start_attempt(self, task: TaskView, attempt: int, time_ns: int) -> None:
        """Report one try of a task that may be tried again.

        Args:
            task: The task; its step's `retry` is above 1.
            attempt: 1 for the first try.
            time_ns: Nanoseconds since the epoch, by the clock of the process that tries.
        """

    def end_attempt(
        self, task: TaskView, attempt: int, error: Failure | None, time_ns: int
    ) -> None:
        """Report the end of that try, with the error it failed with, or None."""

    def activate(self, task: TaskView) -> AbstractContextManager[Any]:  # noqa: ARG002
        """Make the innermost span of the task current while its step runs in this thread."""
        return nullcontext()

    def carrier(self, task: TaskView) -> Carrier:  # noqa: ARG002
        """What a step that runs in another process needs to find its span."""
        return {}

    def fail_workflow(self, workflow: str | UUID, error: Failure) -> None:
        """Learn what ended a run where it was no step: an interrupt, or the storage.

        `update_workflow` with "Failed" comes next.
        """

    def words_of(self, error: Failure) -> Words:
        """The message and the traceback of an error, as log lines and reports may say them.

        By default the values that are written beside a credential's name are masked.
        """
        return masked_words(error)

    def note(self, workflow: str | UUID, task: TaskView | None = None) -> Carrier:  # noqa: ARG002
        """What the storage is to keep with the checkpoints, for a run that is resumed to name it.

        Args:
            workflow: The run, which has just begun.
            task: One of its tasks, whose result is about to be kept.
        """
        return {}

    def restored(self, task: TaskView, note: Carrier) -> None:
        """Learn what was noted of a task that is restored; `update_task` comes next.

        Args:
            task: The task.
            note: What `note` said of it when its result was kept, perhaps in another process.
        """

    def trace_id(self, workflow: str | UUID) -> str | None:  # noqa: ARG002
        """The id of the trace of a run under way, in 32 hex digits; None where it has none."""
        return None

    def places(self, workflow: str | UUID) -> Mapping[str, str]:  # noqa: ARG002
        """Where to look for a run: "records" and "spans", each an address without credentials."""
        return {}

    @classmethod
    def attach(cls, carrier: Carrier) -> AbstractContextManager[Any]:  # noqa: ARG003
        """Make the span that a carrier leads to current; called in the child process.

        A class method, so that a started (not forked) child can be given it without the instance.
        """
        return nullcontext()

    # For steps that run on an executor, which has no way back before a step has ended.

    def reserve(self, task: TaskView, attempts: int) -> Sequence[Carrier]:  # noqa: ARG002
        """What leads a worker to the spans that a task will have; called before it is submitted.

        Args:
            task: The task, of which nothing is reported yet.
            attempts: How many tries it has at most.

        Returns:
            A carrier of the task's span, then one of each try's if `attempts` is above 1. The
            spans that are made later, from what is reported, are those.
        """
        return ()

    @classmethod
    def gather(cls, limit: int) -> bytes:  # noqa: ARG003
        """What a step noted on its worker, for the parent to deliver; called there, after it.

        It is called while the carrier of the task is attached, once for each task. In what runs
        steps in threads of the parent it is not called.

        Args:
            limit: Bytes, at most.

        Returns:
            What `gathered` understands; nothing where the worker delivers by itself.
        """
        return b""

    def gathered(self, task: TaskView, payload: bytes) -> None:
        """Take what `gather` gave on the worker; called before the facts that came with it.

        Args:
            task: The task that the worker ran.
            payload: What `gather` returned, of any length.
        """

    def flush(self, timeout: float | None = None) -> FlushResult:  # noqa: ARG002
        """Send what was reported so far; return after at most `timeout` seconds."""
        return FlushResult()

    def deliver(self, timeout: float) -> FlushResult:
        """Send what was reported so far, and do not wait for a destination that is away.

        Called by the thread that ends a run, in a process that others may end without its exit
        handlers. By default it is `flush`.

        Args:
            timeout: Seconds, at most.
        """
        return self.flush(timeout)

    def close(self, timeout: float | None = None) -> FlushResult:
        """Flush, and release what the server holds. Reports after this are not sent."""
        return self.flush(timeout)


class ServerFacts(Server):
    """A Server that learns each moment of a run as a fact: a subclass writes `happened` alone."""

    @abstractmethod
    def happened(self, fact: Fact, subject: Any) -> None:
        """Learn what happened in a run; the thread that runs the workflow calls this.

        Args:
            fact: What happened: one of the tuples of `dotflow.abc.facts`.
            subject: The task (a `dotflow.abc.task.TaskView`) for a fact of a task, else the id of
                the workflow.
        """

    def create_workflow(self, workflow: str | UUID) -> None:
        """Do nothing: `happened` learns it."""

    def update_workflow(self, workflow: str | UUID, status: str = "") -> None:
        """Do nothing: `happened` learns it."""

    def create_task(self, task: TaskView) -> None:
        """Do nothing: `happened` learns it."""

    def update_task(self, task: TaskView) -> None:
        """Do nothing: `happened` learns it."""


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
