"""A step that runs in a thread of this process: the very values, and each turn told as it comes."""

from __future__ import annotations

import copy
import os
import threading
import time
from contextvars import Context as Variables
from contextvars import ContextVar, copy_context
from typing import TYPE_CHECKING, Any, NamedTuple

from dotflow.abc.facts import AttemptBegan, AttemptEnded, Retried
from dotflow.core import interrupt
from dotflow.core.children.away import AwayReporter, run_away, whole
from dotflow.core.remote.beginnings import Beginning, host
from dotflow.core.step_error import drop_frames
from dotflow.core.types.status import TypeStatus

if TYPE_CHECKING:
    from dotflow.abc.executor import TaskExecutor
    from dotflow.core.children.wire import Outcome
    from dotflow.core.context import Context
    from dotflow.core.remote.flights import Flight
    from dotflow.core.reporter import Leave, TaskReporter
    from dotflow.core.task import Task

SPAN_WAIT = 2.0
"""Seconds that a try waits for its span to be there, before it starts without."""

around: ContextVar[tuple[Any, ...]] = ContextVar("dotflow_executors", default=())
"""The executors whose thread this is, within a step: a run in it cannot wait for them."""


def engine_of(executor: Any) -> Any:
    """What an adapter leads to: two adapters may lead to the same."""
    return getattr(executor, "executor", executor)


class Told(NamedTuple):
    """A fact, and what is set once the thread that runs the workflow has reported it."""

    fact: AttemptBegan | AttemptEnded | Retried
    reported: threading.Event


class LocalJob(NamedTuple):
    """What a thread needs to run one task.

    Attributes:
        task: The thread's copy of the task.
        previous: The result of the one before.
        workflow_id: The id of the run.
        flight: Who is told.
        reporter: Who reports the task, in the thread that runs the workflow.
        variables: The context variables of that thread.
    """

    task: Task
    previous: Context
    workflow_id: Any
    flight: Flight
    reporter: TaskReporter
    variables: Variables

    @classmethod
    def of(
        cls, task: Task, workflow_id: Any, flight: Flight, reporter: TaskReporter, executor: Any
    ) -> LocalJob:
        """The job of a task that is given to an executor."""
        copied = copy.copy(task)
        vars(copied).update(reports=False, turn=None)
        variables = copy_context()
        variables.run(around.set, (*around.get(), executor))
        return cls(copied, task.previous_context, workflow_id, flight, reporter, variables)


class LocalReporter(AwayReporter):
    """Notes what happens to a task in a thread, and has it be reported as it happens.

    Args:
        job: The job.
    """

    def __init__(self, job: LocalJob) -> None:
        super().__init__(job.task)
        self._flight = job.flight
        self._reporter = job.reporter

    def start(self) -> None:
        """The task begins; its span is there once that is reported."""
        self.task.started_ns = time.time_ns()
        self.task.status = TypeStatus.IN_PROGRESS
        self._flight.began(Beginning(self.task.started_ns, host(), os.getpid()))

    def activate(self) -> Leave | None:
        """Make the task's span current in this thread; return what undoes it."""
        return self._enter(self._flight.is_reported)

    def start_attempt(self, attempt: int, time_ns: int) -> Leave | None:
        """A try begins; make its span current in this thread and return what undoes it."""
        told = Told(AttemptBegan(0, self.task.task_id, attempt, time_ns), threading.Event())
        self._flight.tell(told)
        return self._enter(told.reported)

    def _enter(self, reported: threading.Event) -> Leave | None:
        return self._reporter.activate() if interrupt.wait(reported, SPAN_WAIT) else None

    def _say(self, fact: AttemptBegan | AttemptEnded | Retried) -> None:
        self._flight.tell(fact)


def run_here(job: LocalJob) -> Outcome:
    """Run one task in a thread of the executor's.

    Raises:
        Interrupted: Nobody waits for it any more.
    """
    with whole():
        outcome = job.variables.run(_run, job)
    if outcome.failure is not None and outcome.failure.cause is not None:
        drop_frames(outcome.failure.cause)
    return outcome


def _run(job: LocalJob) -> Outcome:
    with interrupt.in_pool(job.flight.interrupts):
        interrupt.check()
        return run_away(LocalReporter(job), job.workflow_id, job.previous)


def check_is_free(executor: TaskExecutor) -> None:
    """See that it is not one in whose thread a step starts this run.

    Raises:
        RuntimeError: It is: the run would wait for a thread that waits for the run.
    """
    if any(engine_of(one) is engine_of(executor) for one in around.get()):
        raise RuntimeError(
            "a step starts a workflow on the executor that runs the step itself, where it could "
            "wait for ever for a free worker: give that workflow an executor of its own, or start "
            'it with mode="sequential"'
        )
