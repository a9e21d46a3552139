"""A lane: tasks that run one after another somewhere else, seen from the process that reports."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from dotflow.core.checkpoint import first_context, restore
from dotflow.core.forked import is_ending
from dotflow.core.reporter import keep
from dotflow.core.task_error import TaskError
from dotflow.core.types.status import TypeStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dotflow.core.context import Context
    from dotflow.core.reporter import TaskReporter
    from dotflow.core.task import Task


class Lane(ABC):
    """Has each of its tasks run in turn, and decides, reports and keeps.

    Args:
        tasks: The tasks, in order.
        workflow_id: The id of the run.
        ignore: Go on after a failed task.
        resume: Restore tasks that have a checkpoint.

    Attributes:
        failed: Whether one of them failed.
        error: The storage's first error; it is raised when all lanes have ended.
    """

    def __init__(
        self, tasks: Sequence[Task], workflow_id: Any, ignore: bool, resume: bool = False
    ) -> None:
        self.tasks = tasks
        self.failed = False
        self.error: BaseException | None = None
        self._workflow_id = workflow_id
        self._ignore = ignore
        self._resume = resume
        self._index = -1
        self._reporter: TaskReporter | None = None
        self._has_begun = False  # whether the start of the current task is reported
        self._previous = first_context(workflow_id)
        self._ended: Task | None = None  # whose result the next task gets

    def advance(self) -> bool:
        """Have the next task run; False where none is left, or the lane is to stop."""
        try:
            while self._goes_on:
                if self._ended is not None:
                    # The very value: what the storage would give is for a run that is resumed.
                    self._previous, self._ended = self._ended.current_context, None
                self._index += 1
                task = self.tasks[self._index]
                kept = restore(task, self._workflow_id, self._previous) if self._resume else None
                if kept is not None:
                    self._previous = kept
                    self._restored()
                elif self._launch(task):
                    return True
        except BaseException as error:
            if is_ending(error):
                raise
            self.error = error  # the storage's: raised when all lanes ended
        self.finish()
        return False

    @property
    def _goes_on(self) -> bool:
        stopped = self.error is not None or (self.failed and not self._ignore)
        return not stopped and self._index + 1 < len(self.tasks)

    @abstractmethod
    def _launch(self, task: Task) -> bool:
        """Have a task run; False where that failed, and the task with it."""

    def _restored(self) -> None:
        """Learn that the next task gets a result that was kept by an earlier run."""

    @abstractmethod
    def finish(self) -> None:
        """Let go what the lane runs its tasks in."""

    def _carrier(self) -> Any:
        task = self.tasks[self._index]
        server = task.config.listener(task.run) or task.config.server
        return task.config.guard.call(server, "carrier", task) or {}

    def _end(
        self,
        context: Context | None,
        failure: TaskError | None,
        finished_ns: int | None,
        kind: str = "",
    ) -> None:
        assert self._reporter is not None  # noqa: S101 - a task was launched
        task, reporter = self._reporter.task, self._reporter
        if not self._has_begun:  # what was to run it did not come up
            reporter.start()
        self._has_begun = False
        try:
            if context is not None:
                failure = self._keep(task, context, kind)
            reporter.end(failure, finished_ns)
        except BaseException as error:
            if is_ending(error):
                raise
            self.error = self.error or error  # the storage's, too
        self._reporter = None
        self.failed = self.failed or task.status == TypeStatus.FAILED
        self._ended = task

    def _keep(self, task: Task, context: Context, kind: str) -> TaskError | None:
        try:
            keep(task, context, kind)
        except BaseException as error:
            if is_ending(error):
                raise
            self.error = error  # a result that is not kept fails its task
            return TaskError(error)
        return None
