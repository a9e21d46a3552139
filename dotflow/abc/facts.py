"""The facts of a run: what the engine tells a Server, and what the run log keeps.

A fact is an immutable tuple of plain values. Wall-clock times are nanoseconds since the epoch,
durations are seconds by a clock that never goes back. `n` numbers the facts of this process in the
order in which they happened; a number is given once, by the thread that reports the fact.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from dotflow.abc.task import Failure

Carrier = Mapping[str, str]
"""What leads from one process to a span in another: `traceparent` and its kin."""

next_number = itertools.count(1).__next__
"""Gives the next fact its number. Any thread and any signal handler may call this."""


class PlannedTask(NamedTuple):
    """A task that a run plans to run.

    Attributes:
        task_id: The task's number.
        name: The name of its step.
        group_name: The group of the task.
    """

    task_id: int
    name: str
    group_name: str


class WorkflowCreated(NamedTuple):
    """A program constructed a workflow.

    Attributes:
        n: The fact's number.
        name: The name that the workflow was given, or None.
        managed: Whether the workflow's id came from outside, so that its record exists already.
    """

    n: int
    name: str | None
    managed: bool


class TaskAdded(NamedTuple):
    """A program added a task to a workflow.

    Attributes:
        n: The fact's number.
        task_id: The task's number.
    """

    n: int
    task_id: int


class RunBegan(NamedTuple):
    """A run began.

    Attributes:
        n: The fact's number, which is the run's number too.
        at_ns: When, in nanoseconds since the epoch.
        name: The name that the workflow was given, or None.
        managed: Whether the workflow's id came from outside, so that its record exists already.
        mode: "sequential", "sequential_group", "background" or "parallel".
        resumed: Whether the run goes on with an earlier run, whose tasks have records too.
        plan: The planned tasks, in order.
        earlier: What the Server noted about the earlier run, or None.
    """

    n: int
    at_ns: int
    name: str | None
    managed: bool
    mode: str
    resumed: bool
    plan: tuple[PlannedTask, ...]
    earlier: Carrier | None


class TaskBegan(NamedTuple):
    """A task began.

    Attributes:
        n: The fact's number.
        task_id: The task's number.
        at_ns: When, in nanoseconds since the epoch.
    """

    n: int
    task_id: int
    at_ns: int


class AttemptBegan(NamedTuple):
    """An attempt of a task began; told only if the step's `retry` is above 1.

    Attributes:
        n: The fact's number.
        task_id: The task's number.
        attempt: The number of the attempt, from 1.
        at_ns: When, in nanoseconds since the epoch.
    """

    n: int
    task_id: int
    attempt: int
    at_ns: int


class AttemptEnded(NamedTuple):
    """An attempt of a task ended; told only if the step's `retry` is above 1.

    Attributes:
        n: The fact's number.
        task_id: The task's number.
        attempt: The number of the attempt, from 1.
        at_ns: When, in nanoseconds since the epoch.
        error: The error of the attempt; None if it succeeded.
    """

    n: int
    task_id: int
    attempt: int
    at_ns: int
    error: Failure | None


class Retried(NamedTuple):
    """A task failed an attempt, and another attempt follows.

    Attributes:
        n: The fact's number.
        task_id: The task's number.
        at_ns: When, in nanoseconds since the epoch.
        retry_count: How many further attempts there are so far, with the one that follows.
        error: The error of the attempt.
    """

    n: int
    task_id: int
    at_ns: int
    retry_count: int
    error: Failure


class TaskEnded(NamedTuple):
    """A task ended.

    Attributes:
        n: The fact's number.
        task_id: The task's number.
        at_ns: When, in nanoseconds since the epoch.
        duration: Seconds from the task's beginning.
        status: "Completed" or "Failed".
        retry_count: How many further attempts there were.
        error: The error that failed the task, or None.
    """

    n: int
    task_id: int
    at_ns: int
    duration: float
    status: str
    retry_count: int
    error: Failure | None


class TaskRestored(NamedTuple):
    """A task's result came from a checkpoint.

    Attributes:
        n: The fact's number.
        task_id: The task's number.
        at_ns: When, in nanoseconds since the epoch.
        note: What the Server noted about the task when its result was kept, or None.
    """

    n: int
    task_id: int
    at_ns: int
    note: Carrier | None


class RunFailed(NamedTuple):
    """Something other than a step ended the run: an interrupt, or the storage.

    Attributes:
        n: The fact's number.
        run: The run's number.
        error: What ended the run.
    """

    n: int
    run: int
    error: Failure


class RunEnded(NamedTuple):
    """A run ended.

    Attributes:
        n: The fact's number.
        run: The run's number.
        at_ns: When, in nanoseconds since the epoch.
        duration: Seconds from the run's beginning.
        status: "Completed" or "Failed".
    """

    n: int
    run: int
    at_ns: int
    duration: float
    status: str


WorkflowFact = WorkflowCreated | RunBegan | RunFailed | RunEnded
TaskFact = TaskAdded | TaskBegan | AttemptBegan | AttemptEnded | Retried | TaskEnded | TaskRestored
Fact = WorkflowFact | TaskFact
