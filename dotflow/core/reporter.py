"""What becomes of a task is written to the Task, and told to its providers, in one place."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from dotflow.abc.facts import (
    AttemptBegan,
    AttemptEnded,
    Retried,
    TaskBegan,
    TaskEnded,
    TaskRestored,
    next_number,
)
from dotflow.core.types.status import TypeStatus

if TYPE_CHECKING:
    from dotflow.abc.facts import Carrier, TaskFact
    from dotflow.core.task import Task
    from dotflow.core.task_error import TaskError

Leave = Callable[[], None]


class Reporter(Protocol):
    """Takes note of each turn of one task. Times are nanoseconds since the epoch."""

    def start(self) -> None:
        """The task begins."""

    def activate(self) -> Leave:
        """Make the task's span current in this thread; return what undoes it."""

    def start_attempt(self, attempt: int, time_ns: int) -> Leave:
        """A try begins; make its span current in this thread and return what undoes it."""

    def end_attempt(self, attempt: int, failure: TaskError | None, time_ns: int) -> None:
        """That try ended, with the error or None."""

    def retry(self, failure: TaskError) -> None:
        """The task failed an attempt and will be tried again."""

    def end(self, failure: TaskError | None, finished_ns: int) -> None:
        """The task ended, with the error that failed it or None."""


class TaskReporter:
    """Reports in the process that called `start()`: statuses, hooks, storage.

    Args:
        task: The task that is reported.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        self._call = task.config.guard.call
        self._server = task.config.server

    def _report(self, fact: TaskFact) -> None:
        self.task.config.guard.report(self._server, fact, self.task)

    def start(self) -> None:
        """The task begins."""
        task = self.task
        self._call(task.config.tracer, "start_task", task=task)
        task.begin()
        task.status = TypeStatus.IN_PROGRESS
        self._report(TaskBegan(next_number(), task.task_id, task.started_ns or 0))

    def activate(self) -> Leave:
        """Make the task's span current in this thread; return what undoes it."""
        return self.task.config.guard.enter(self._server, "activate", self.task)

    def note_attempt(self, attempt: int, time_ns: int) -> None:
        """A try begins, perhaps in another process."""
        self._report(AttemptBegan(next_number(), self.task.task_id, attempt, time_ns))

    def start_attempt(self, attempt: int, time_ns: int) -> Leave:
        """A try begins; make its span current in this thread and return what undoes it."""
        self.note_attempt(attempt, time_ns)
        return self.activate()

    def end_attempt(self, attempt: int, failure: TaskError | None, time_ns: int) -> None:
        """That try ended, with the error or None."""
        self._report(AttemptEnded(next_number(), self.task.task_id, attempt, time_ns, failure))

    def retry(self, failure: TaskError) -> None:
        """The task failed an attempt and will be tried again."""
        task = self.task
        task.retry_count += 1
        task.errors = failure
        task.status = TypeStatus.RETRY
        now = time.time_ns()
        self._report(Retried(next_number(), task.task_id, now, task.retry_count, failure))

    def end(self, failure: TaskError | None, finished_ns: int) -> None:
        """The task ended, with the error that failed it or None.

        Raises:
            Exception: What the storage raised, after all was reported.
        """
        task = self.task
        task.finish(finished_ns)
        storage_error = None
        if failure is not None:
            storage_error = self._fail(failure)
        elif task.status in (TypeStatus.IN_PROGRESS, TypeStatus.RETRY):
            task.status = TypeStatus.COMPLETED
        self._call(task.config.tracer, "end_task", task=task)
        self._report(
            TaskEnded(
                next_number(), task.task_id, task.finished_ns or finished_ns, task.duration or 0.0,
                task.status, task.retry_count, failure,
            )
        )  # fmt: skip
        if storage_error is not None:
            raise storage_error

    def _fail(self, failure: TaskError) -> Exception | None:
        task = self.task
        task.errors = failure
        storage_error = None
        try:
            task.current_context = None
        except Exception as error:  # noqa: BLE001 - raised by end(), once the end is reported
            storage_error = error
        task.status = TypeStatus.FAILED
        return storage_error

    def restore(self, note: Carrier | None = None) -> None:
        """The task's result came from a checkpoint.

        Args:
            note: What the Server had noted of it when it was kept.
        """
        task = self.task
        task.restored = True
        task.status = TypeStatus.COMPLETED
        self._report(TaskRestored(next_number(), task.task_id, time.time_ns(), note))


class Stopwatch:
    """Tells the time in a way that a change of the clock after its start does not disturb."""

    def __init__(self) -> None:
        self._started_ns = time.time_ns()
        self._started = time.perf_counter_ns()

    def now_ns(self) -> int:
        """Nanoseconds since the epoch: the start, and what has passed since."""
        return self._started_ns + time.perf_counter_ns() - self._started
