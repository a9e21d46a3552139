"""A Server's calls as they were before there were facts: each becomes its fact."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from dotflow.abc.facts import (
    AttemptBegan,
    AttemptEnded,
    Carrier,
    Fact,
    Retried,
    RunBegan,
    RunEnded,
    RunFailed,
    TaskAdded,
    TaskBegan,
    TaskEnded,
    TaskRestored,
    WorkflowCreated,
    next_number,
)
from dotflow.abc.server import Server, WorkflowDescription
from dotflow.core.types import TypeStatus, WorkflowStatus

if TYPE_CHECKING:
    from uuid import UUID

    from dotflow.abc.task import Failure, TaskView

MOST_DESCRIBED = 1000
"""Runs that were described and have not begun."""


class FactServer(Server):
    """A Server that knows facts; its old calls lead to the same place.

    A subclass has `report(fact, subject)`. If a subclass of that one, or an instance, overrides a
    call, the engine's facts go through that call.
    """

    def __init__(self) -> None:
        self._described: dict[str, WorkflowDescription] = {}
        self._begun: dict[str, list[tuple[int, float]]] = {}
        self._notes: dict[int, Carrier] = {}
        self._is_overridden = any(
            getattr(type(self), name) is not getattr(FactServer, name) for name in CALLS
        )

    def happened(self, fact: Fact, subject: Any) -> None:
        """Take a fact; called by the engine's thread."""
        if self._is_overridden or not CALLS.isdisjoint(self.__dict__):
            super().happened(fact, subject)
        else:
            self.report(fact, subject)

    def report(self, fact: Fact, subject: Any) -> None:
        """Report a fact.

        Args:
            fact: What happened.
            subject: The task, or the workflow's id.
        """
        raise NotImplementedError

    def create_workflow(self, workflow: str | UUID) -> None:
        """Report a new workflow."""
        if workflow is None:  # as upstream's own tests call it, here and below
            return
        described = self._described.get(str(workflow)) or WorkflowDescription()
        self.report(WorkflowCreated(next_number(), described.name, managed=False), workflow)

    def describe_workflow(self, workflow: str | UUID, description: WorkflowDescription) -> None:
        """Keep what is known of a run that is about to be reported."""
        self._described[str(workflow)] = description
        while len(self._described) > MOST_DESCRIBED:
            self._described.pop(next(iter(self._described)), None)  # another thread may have
        if description.managed and description.mode is None:
            self.report(WorkflowCreated(next_number(), description.name, managed=True), workflow)

    def update_workflow(self, workflow: str | UUID, status: str = "") -> None:
        """Report that a run began ("In progress") or ended ("Completed" or "Failed")."""
        if workflow is None:
            return
        wid = str(workflow)
        if status == WorkflowStatus.IN_PROGRESS:
            said = self._described.pop(wid, None) or WorkflowDescription()
            number = said.run or next_number()
            self._begun.setdefault(wid, []).append((number, time.monotonic()))
            self.report(
                RunBegan(
                    number, time.time_ns(), said.name, said.managed, said.mode or "", said.resumed,
                    tuple(said.tasks), said.earlier,
                ),
                workflow,
            )  # fmt: skip
        elif status in (WorkflowStatus.COMPLETED, WorkflowStatus.FAILED):
            runs = self._begun.get(wid) or [(0, time.monotonic())]
            number, began = runs.pop()
            if not runs:
                self._begun.pop(wid, None)
            duration = time.monotonic() - began
            ended = RunEnded(next_number(), number, time.time_ns(), duration, status)
            self.report(ended, workflow)

    def fail_workflow(self, workflow: str | UUID, error: Failure) -> None:
        """Learn what ended a run where it was no step."""
        runs = self._begun.get(str(workflow)) or [(0, 0.0)]
        self.report(RunFailed(next_number(), runs[-1][0], error), workflow)

    def create_task(self, task: TaskView) -> None:
        """Report a task that was added."""
        if task is None:
            return
        self.report(TaskAdded(next_number(), task.task_id), task)

    def update_task(self, task: TaskView) -> None:
        """Report a task that began, failed an attempt, ended, or was restored; see its status."""
        if task is None:
            return
        number, task_id = next_number(), task.task_id
        now = time.time_ns()
        if task.status == TypeStatus.IN_PROGRESS:
            self.report(TaskBegan(number, task_id, task.started_ns or now), task)
        elif task.status == TypeStatus.RETRY:
            if task.errors:
                error = task.errors[-1]
                self.report(Retried(number, task_id, now, task.retry_count, error), task)
        elif getattr(task, "restored", False):
            note = self._notes.pop(id(task), None)
            self.report(TaskRestored(number, task_id, now, note), task)
        elif task.status in (TypeStatus.COMPLETED, TypeStatus.FAILED):
            failed = task.status == TypeStatus.FAILED and task.errors
            ended = TaskEnded(
                number, task_id, task.finished_ns or now, task.duration or 0.0, task.status,
                task.retry_count, task.errors[-1] if failed else None,
            )  # fmt: skip
            self.report(ended, task)

    def start_attempt(self, task: TaskView, attempt: int, time_ns: int) -> None:
        """Report one try of a task."""
        self.report(AttemptBegan(next_number(), task.task_id, attempt, time_ns), task)

    def end_attempt(
        self, task: TaskView, attempt: int, error: Failure | None, time_ns: int
    ) -> None:
        """Report the end of that try."""
        self.report(AttemptEnded(next_number(), task.task_id, attempt, time_ns, error), task)

    def restored(self, task: TaskView, note: Carrier) -> None:
        """Keep what was noted of a task that is restored; `update_task` comes next."""
        self._notes[id(task)] = note


CALLS = frozenset({
    "create_workflow", "describe_workflow", "update_workflow", "fail_workflow", "create_task",
    "update_task", "start_attempt", "end_attempt", "restored",
})  # fmt: skip
"""The calls that a subclass may override."""
