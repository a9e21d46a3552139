"""What was seen of a run and of its tasks, for a test to look at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dotflow.abc.facts import (
    AttemptBegan,
    PlannedTask,
    Retried,
    RunBegan,
    RunEnded,
    RunFailed,
    TaskBegan,
    TaskEnded,
    TaskRestored,
)
from dotflow.core.types import TypeStatus, WorkflowStatus

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dotflow.abc.facts import Fact
    from dotflow.abc.task import Failure, TaskView


@dataclass
class TaskSeen:
    """One task of a rehearsed run.

    Attributes:
        task_id: The number of the task in its workflow.
        name: The name of the step.
        group_name: The group of the task.
        status: "Not started", "In progress", "Retry", "Completed" or "Failed".
        attempts: How many attempts the step had; 0 if it did not run.
        initial: The value of the initial context.
        previous: The value of the previous context: what the task before returned.
        result: What the step returned; None if it failed or did not run.
        errors: One error for each failed attempt, in order, with `exception` (the name of the
            class), `message` and `traceback`.
        duration: Seconds from the task's beginning to its end; None until then.
        is_restored: Whether the result came from a checkpoint.
    """

    task_id: int
    name: str
    group_name: str
    status: str = TypeStatus.NOT_STARTED
    attempts: int = 0
    initial: Any = None
    previous: Any = None
    result: Any = None
    errors: list[Failure] = field(default_factory=list)
    duration: float | None = None
    is_restored: bool = False

    def learn(self, fact: Fact, task: TaskView) -> None:
        """Take note of a fact about the task."""
        if isinstance(fact, (TaskBegan, TaskRestored)):
            self.initial = task.initial_context.storage
            self.previous = task.previous_context.storage
        if isinstance(fact, TaskBegan):
            self.status, self.attempts = TypeStatus.IN_PROGRESS, 1
        elif isinstance(fact, AttemptBegan):
            self.status, self.attempts = TypeStatus.IN_PROGRESS, fact.attempt
        elif isinstance(fact, Retried):
            self.status = TypeStatus.RETRY
            self.errors.append(fact.error)
        elif isinstance(fact, TaskEnded):
            self.status, self.duration = fact.status, fact.duration
            self.result = task.current_context.storage
            if fact.error is not None:
                self.errors.append(fact.error)
        elif isinstance(fact, TaskRestored):
            self.status, self.is_restored = TypeStatus.COMPLETED, True
            self.result = task.current_context.storage


class Tasks:
    """Helps to find tasks by the names of their steps.

    Attributes:
        tasks: The tasks, in the order of the plan.
        facts: All facts, in the order in which they were told (see `dotflow.abc.facts`).
    """

    tasks: list[TaskSeen]
    facts: list[Fact]

    @property
    def ran(self) -> list[str]:
        """The names of the steps that ran, in the order in which they began.

        Tasks that were restored from a checkpoint are not among them.
        """
        raise NotImplementedError

    def task(self, name: str) -> TaskSeen:
        """The task with this step, if there is exactly one.

        Raises:
            LookupError: No task has the step, or several have: see `tasks`.
        """
        found = [one for one in self.tasks if one.name == name]
        if len(found) == 1:
            return found[0]
        known = ", ".join(repr(one.name) for one in self.tasks) or "none"
        count = "no task" if not found else f"{len(found)} tasks"
        raise LookupError(f"{count} with the step {name!r}; the tasks are: {known}")

    def attempts(self, name: str) -> int:
        """How many attempts a step had, in all tasks that have this step."""
        return sum(one.attempts for one in self.tasks if one.name == name)

    @property
    def errors(self) -> list[Failure]:
        """The errors of all tasks, in the order of the tasks; also those before a good attempt."""
        return [error for one in self.tasks for error in one.errors]

    @property
    def statuses(self) -> dict[str, str]:
        """The status of each task, by the name of its step; if several share it, the last one's."""
        return {one.name: one.status for one in self.tasks}


class RunSeen(Tasks):
    """One rehearsed run of a workflow.

    Args:
        workflow_id: The id of the workflow.
        began: The fact that the run began.

    Attributes:
        workflow_id: The id of the workflow, as text.
        name: The name that the workflow was given, or None.
        mode: "sequential", "sequential_group", "background" or "parallel".
        status: "In progress", "Completed" or "Failed".
        error: What ended the run if no step failed (a storage that raised), or None.
        duration: Seconds from its beginning to its end; None until then.
    """

    def __init__(self, workflow_id: str, began: RunBegan) -> None:
        self.workflow_id = workflow_id
        self.name = began.name
        self.mode = began.mode
        self.status: str = WorkflowStatus.IN_PROGRESS
        self.error: Failure | None = None
        self.duration: float | None = None
        self.facts: list[Fact] = []
        self._by_id = {one.task_id: _planned(one) for one in began.plan}
        self._begun: list[str] = []

    @property
    def tasks(self) -> list[TaskSeen]:  # type: ignore[override] # made from what is known
        """The tasks, in the order of the plan."""
        return list(self._by_id.values())

    @property
    def ran(self) -> list[str]:
        """The names of the steps that ran, in the order in which they began."""
        return list(self._begun)

    @property
    def is_over(self) -> bool:
        """Whether the run has ended."""
        return self.status != WorkflowStatus.IN_PROGRESS

    def learn(self, fact: Fact, subject: Any) -> None:
        """Take note of a fact of this run."""
        self.facts.append(fact)
        if isinstance(fact, RunFailed):
            self.error = fact.error
        elif isinstance(fact, RunEnded):
            self.status, self.duration = fact.status, fact.duration
        elif not isinstance(fact, RunBegan):
            self._learn_of_task(fact, subject)

    def _learn_of_task(self, fact: Fact, task: TaskView) -> None:
        seen = self._by_id.get(task.task_id)
        if seen is None:
            planned = PlannedTask(task.task_id, task.step.name, str(task.group_name))
            seen = self._by_id[task.task_id] = _planned(planned)
        if isinstance(fact, TaskBegan):
            self._begun.append(seen.name)
        seen.learn(fact, task)

    def __repr__(self) -> str:
        tasks = ", ".join(f"{one.name}: {one.status}" for one in self.tasks)
        return f"<run of {self.name or self.workflow_id}: {self.status} ({tasks})>"


def _planned(task: PlannedTask) -> TaskSeen:
    return TaskSeen(task.task_id, task.name, str(task.group_name))


def flat(runs: Iterable[RunSeen]) -> list[TaskSeen]:
    """The tasks of several runs."""
    return [task for run in runs for task in run.tasks]
