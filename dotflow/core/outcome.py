"""What came of a run: its status, what failed, how long it took."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dotflow.core.exception import WorkflowFailed
from dotflow.core.step_error import StepTraceback, has_frames, tell_before
from dotflow.core.types import TypeStatus, WorkflowStatus
from dotflow.utils.error_handler import class_and_message
from dotflow.utils.trace_link import trace_link

if TYPE_CHECKING:
    from dotflow.core.task import Task
    from dotflow.core.task_error import TaskError

LONGEST = 200  # characters of an error in one line

OVER = (TypeStatus.COMPLETED, TypeStatus.FAILED)


class Outcome:
    """The outcome of a run; a Manager is an Outcome.

    Attributes:
        workflow_id: The id of the run.
        tasks: The tasks of the outcome.
        status: "In progress" until the run ends, then "Completed" or "Failed".
        duration: Seconds from the run's beginning to its end; None until the run ends.
        trace_id: The id of the run's trace (32 hex digits); None if the Server makes no trace.
        is_rehearsed: Whether the run is only a rehearsal; see `dotflow.testing`.
    """

    workflow_id: Any
    tasks: list[Task]
    status: str = WorkflowStatus.IN_PROGRESS
    duration: float | None = None
    trace_id: str | None = None
    is_rehearsed = False
    _name: str | None = None  # of the workflow
    _number = 0
    _planned = 0  # tasks
    _failures: tuple[tuple[Task, TaskError | None], ...] = ()
    _error: TaskError | None = None  # what ended the run where it was no task

    @property
    def ok(self) -> bool:
        """Whether the run has completed."""
        return self.status == WorkflowStatus.COMPLETED

    @property
    def number(self) -> int:
        """The number of the run, as facts and its tasks (`Task.run`) have it."""
        return self._number

    @property
    def workflow_name(self) -> str | None:
        """The name that the workflow was given, or None."""
        return self._name

    @property
    def error(self) -> TaskError | None:
        """The error of the first failed task, or of the run if no task failed.

        None until the run ends, and if nothing failed.
        """
        return self._first[1]

    @property
    def trace_url(self) -> str | None:
        """The address of the run's trace, made from `DOTFLOW_TRACE_URL`.

        None without that variable, and if the run has no trace.
        """
        return trace_link(self.trace_id)

    @property
    def failed_tasks(self) -> list[Task]:
        """The tasks that have failed so far, in order."""
        if self.duration is None:
            return _failed(self.tasks)
        return [task for task, _ in self._failures]

    def raise_for_failure(self) -> None:
        """Raise WorkflowFailed if the run has failed.

        Raises:
            WorkflowFailed: The run failed; the cause is the exception of the first failed task.
            RuntimeError: The run is still in progress.
        """
        if self.duration is None:
            raise RuntimeError(
                f"{self._title} is still in progress: call wait() before raise_for_failure()"
            )
        if not self.ok:
            failure = self._first[1]
            raise WorkflowFailed(
                f"{self._title} failed: {self._what_failed}", self.workflow_id, self.failed_tasks
            ) from _shown(failure)

    def _settle(self, duration: float, error: TaskError | None = None) -> None:
        """Take note of the end.

        Args:
            duration: Seconds since the beginning.
            error: What ended the run where it was no task.
        """
        # With their errors, for another run of the same tasks forgets these.
        failed = _failed(self.tasks)
        self._failures = tuple((task, task.errors[-1] if task.errors else None) for task in failed)
        self._error = error
        is_failed = bool(failed) or error is not None
        self.status = WorkflowStatus.FAILED if is_failed else WorkflowStatus.COMPLETED
        self.duration = duration

    @property
    def _title(self) -> str:
        """What the run is of."""
        wid = self.workflow_id
        return f"workflow {wid}" if self._name is None else f"workflow {self._name} ({wid})"

    @property
    def _first(self) -> tuple[Task | None, TaskError | None]:
        """The first task that failed, if one did, and what failed it or the run."""
        return self._failures[0] if self._failures else (None, self._error)

    @property
    def _what_failed(self) -> str:
        task, error = self._first
        said = "" if error is None else _line(error)
        if task is None:
            return said
        more = len(self._failures) - 1
        line = f"task {task.task_id} ({task.step.name}): {said}"
        return f"{line} (and {more} more)" if more else line

    def __repr__(self) -> str:
        many = f"{self._planned} task{'' if self._planned == 1 else 's'}"
        if self.duration is None:
            ended = sum(task.status in OVER for task in self.tasks)
            said = f"{ended} of {many} ended"
        elif self.ok:
            said = f"{many} in {self.duration:.2f} s"
        else:
            said = f"{len(self._failures)} of {many} failed in {self.duration:.2f} s"
            said += f"; {self._what_failed}"
        return f"<{type(self).__name__} of {self._title}: {self.status}, {said}>"


def _failed(tasks: list[Task]) -> list[Task]:
    return [task for task in tasks if task.status == TypeStatus.FAILED]


def _line(error: TaskError) -> str:
    lines = class_and_message(error.exception, error.message).splitlines()
    first = lines[0] if lines else ""
    return first if len(first) <= LONGEST else f"{first[: LONGEST - 1]}…"


def _shown(failure: TaskError | None) -> BaseException | None:
    """The exception of a failure, which shows where it came from, too, when it is shown."""
    cause = None if failure is None else failure.cause
    if cause is None or failure is None or has_frames(cause):
        return cause
    if "\n" in failure.traceback.strip():  # else it only repeats the exception, as of a timeout
        tell_before(cause, StepTraceback(failure.traceback))
    return cause
