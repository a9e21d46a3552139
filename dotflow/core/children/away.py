"""A step that runs away from the process that reports: what is noted there, and how it ended."""

from __future__ import annotations

import contextlib
import os
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from dotflow.abc.facts import AttemptBegan, AttemptEnded, Retried
from dotflow.core.children.wire import Outcome
from dotflow.core.engine import TaskEngine
from dotflow.core.task_error import TaskError
from dotflow.core.types.status import TypeStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from dotflow.core.context import Context
    from dotflow.core.reporter import Leave
    from dotflow.core.task import Task


class AwayReporter(ABC):
    """Writes each turn to a copy of the Task, without hooks, and says it to who reports.

    Args:
        task: The copy.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        self.callback_error: TaskError | None = None

    @abstractmethod
    def start(self) -> None:
        """The task begins."""

    @abstractmethod
    def activate(self) -> Leave | None:
        """Make the task's span current in this thread; return what undoes it."""

    @abstractmethod
    def start_attempt(self, attempt: int, time_ns: int) -> Leave | None:
        """A try begins; make its span current in this thread and return what undoes it."""

    @abstractmethod
    def _say(self, fact: AttemptBegan | AttemptEnded | Retried) -> None:
        """Have a fact come to who reports."""

    def end_attempt(self, attempt: int, failure: TaskError | None, time_ns: int) -> None:
        """Say that the try ended."""
        self._say(AttemptEnded(0, self.task.task_id, attempt, time_ns, failure))

    def retry(self, failure: TaskError, time_ns: int) -> None:
        """Say that the task will be tried again."""
        task = self.task
        task.retry_count += 1
        task.errors = failure
        task.status = TypeStatus.RETRY
        self._say(Retried(0, task.task_id, time_ns, task.retry_count, failure))

    def end(self, failure: TaskError | None, finished_ns: int | None) -> None:
        """Note the end; it is said once the callback has run."""
        task = self.task
        task.finish(time.time_ns() if finished_ns is None else finished_ns)
        if failure is None:
            task.status = TypeStatus.COMPLETED
        else:
            task.errors = failure
            task.current_context = None
            task.status = TypeStatus.FAILED

    def callback_raised(self, error: BaseException) -> None:
        """Note what the callback raised; who reports counts it."""
        self.callback_error = TaskError(error)

    def conclude(self, error: BaseException) -> None:
        """Note that the task failed before its step began."""
        self.end(TaskError(error), time.time_ns())


def run_away(reporter: AwayReporter, workflow_id: Any, previous: Context) -> Outcome:
    """Run one task and its callback, and say how they ended."""
    task = reporter.task
    task.reports = False
    engine = TaskEngine(task, workflow_id, previous, reporter)

    def work() -> None:
        with engine.start():
            engine.execute_with_retry()

    ending = broken = _raised_by(work)
    if ending is None and (ending := _raised_by(engine.call_back)) is not None:
        reporter.callback_raised(ending)
    failure = task.errors[-1] if task.status == TypeStatus.FAILED else None
    if broken is not None:
        failure = failure or TaskError(broken)
        failure.hold(broken)
    return Outcome(
        task.current_context if failure is None else None,
        failure,
        task.finished_ns or 0,
        ending is not None,
        reporter.callback_error,
    )


@contextlib.contextmanager
def whole() -> Iterator[None]:
    """Have a copy of this process, which a step made, end where it would leave what is within.

    Around it is an engine's loop, which would go on in the copy as a worker that nobody started.
    """
    process = os.getpid()
    try:
        yield
    except BaseException as error:
        if os.getpid() == process:
            raise
        status = getattr(error, "code", 1)
        os._exit(status if type(status) is int else status is not None)


def _raised_by(work: Callable[[], None]) -> BaseException | None:
    """What is to end the process; in a copy of it, which has no say, that is raised."""
    process = os.getpid()
    try:
        work()
    except BaseException as error:
        if os.getpid() != process:
            raise
        return error
    return None
