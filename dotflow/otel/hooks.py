"""The methods that a Server had before there were facts: they lead to the same place."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from dotflow.abc import facts
from dotflow.abc.facts import next_number
from dotflow.abc.server import Server, WorkflowDescription
from dotflow.otel.export.otlp.endpoint import shown

if TYPE_CHECKING:
    from uuid import UUID

    from dotflow.abc.facts import Carrier
    from dotflow.abc.task import Failure, TaskView
    from dotflow.delivery.dialect import Destination
    from dotflow.otel.export.otlp.endpoint import OtlpSettings
    from dotflow.otel.spans.open_runs import OpenRuns
    from dotflow.otel.spans.tasks import TaskTeller
    from dotflow.otel.spans.workflows import WorkflowTeller

HOOKS = frozenset({
    "create_workflow", "update_workflow", "create_task", "update_task", "start_attempt",
    "end_attempt", "fail_workflow", "restored", "describe_workflow",
})  # fmt: skip
"""Those methods: who overrides one has it called."""

MOST_TOLD = 1000
"""Runs that were described and have not begun. The engine has one: they begin next."""

IN_PROGRESS, RETRY = "In progress", "Retry"
OVER = frozenset({"Completed", "Failed"})


class HookedServer(Server):
    """Makes of each call of an older hook the fact that it stands for."""

    _otlp: OtlpSettings
    _destination: Destination | None
    _runs: OpenRuns
    _tasks: TaskTeller
    _workflows: WorkflowTeller

    def __init__(self) -> None:
        self._told: dict[str, WorkflowDescription] = {}

    def __repr__(self) -> str:
        """Where it reports to, as arguments say it; no token, user or password is said."""
        said, api = [], self._destination
        if api is not None:
            said += [f"base_url={api.url!r}", f"dialect={api.dialect.value!r}"]
        if self._otlp.endpoint is not None:
            said.append(f"endpoint={shown(self._otlp.endpoint)!r}")
        if self._otlp.protocol is not None:
            said.append(f"protocol={self._otlp.protocol!r}")
        return f"{type(self).__name__}({', '.join(said)})"

    def _begin_run(self, fact: facts.RunBegan, workflow: str) -> None:
        """Tell of a run that began."""
        raise NotImplementedError

    @classmethod
    def _is_overridden(cls, server: HookedServer) -> bool:
        """Whether a subclass, or this very object, has hooks of its own."""
        return bool(
            HOOKS & vars(server).keys()
            or any(getattr(type(server), name) is not getattr(cls, name) for name in HOOKS)
        )

    def describe_workflow(self, workflow: str | UUID, description: WorkflowDescription) -> None:
        """Keep what is known of a run that is about to start."""
        if description.mode is not None:
            self._told[str(workflow)] = description
            while len(self._told) > MOST_TOLD:  # of runs that never began
                self._told.pop(next(iter(self._told)), None)

    def create_workflow(self, workflow: str | UUID) -> None:
        """Nothing yet: the run's span begins when the run does."""

    def create_task(self, task: TaskView) -> None:
        """Nothing yet: the task is in the plan, and its span begins when it does."""

    def update_workflow(self, workflow: str | UUID, status: str = "") -> None:
        """Begin the run's span at "In progress", end it at "Completed" or "Failed"."""
        if workflow is None:  # as upstream's own tests call it
            return
        wid = str(workflow)
        if status == IN_PROGRESS:
            said = self._told.pop(wid, None)
            if said is None and self._runs.of_workflow(wid) is not None:
                return  # told twice: a run within a step of this one is described before it begins
            said = said or WorkflowDescription()
            began = facts.RunBegan(
                said.run or next_number(), time.time_ns(), said.name, said.managed,
                said.mode or "", said.resumed, tuple(said.tasks), said.earlier,
            )  # fmt: skip
            self._begin_run(began, wid)
        elif status in OVER:
            run = self._runs.of_workflow(wid)
            if run is not None:
                ended = facts.RunEnded(
                    next_number(), run.number, time.time_ns(), run.duration, status
                )
                self._workflows.ended(ended, wid)

    def fail_workflow(self, workflow: str | UUID, error: Failure) -> None:
        """Keep what ended a run, for its span to say."""
        run = self._runs.of_workflow(str(workflow))
        if run is not None:
            failed = facts.RunFailed(next_number(), run.number, error)
            self._workflows.failed(failed, str(workflow))

    def update_task(self, task: TaskView) -> None:
        """Begin the task's span when it begins, end it when it ends, report a retry between."""
        if task is None:
            return
        now, status = time.time_ns(), task.status
        if status == IN_PROGRESS:
            began = facts.TaskBegan(next_number(), task.task_id, task.started_ns or now)
            self._tasks.began(began, task)
        elif status == RETRY and task.errors:
            self._tasks.retried(
                facts.Retried(next_number(), task.task_id, now, task.retry_count, task.errors[-1]),
                task,
            )
        elif status in OVER:
            self._end_task(task, now)

    def _end_task(self, task: TaskView, now: int) -> None:
        error = task.errors[-1] if task.status == "Failed" and task.errors else None
        ended = facts.TaskEnded(
            next_number(), task.task_id, task.finished_ns or now, task.duration or 0.0,
            task.status, task.retry_count, error,
        )  # fmt: skip
        run = self._runs.of_task(task)
        if task.restored and (run is None or task.task_id not in run.tasks):
            self.restored(task, {})
        else:
            self._tasks.ended(ended, task)

    def start_attempt(self, task: TaskView, attempt: int, time_ns: int) -> None:
        """Begin the span of a try."""
        began = facts.AttemptBegan(next_number(), task.task_id, attempt, time_ns)
        self._tasks.attempt_began(began, task)

    def end_attempt(
        self, task: TaskView, attempt: int, error: Failure | None, time_ns: int
    ) -> None:
        """End the span of a try, with the error it failed with."""
        ended = facts.AttemptEnded(next_number(), task.task_id, attempt, time_ns, error)
        self._tasks.attempt_ended(ended, task)

    def restored(self, task: TaskView, note: Carrier) -> None:
        """Tell of a restored task, with a link to the span that did the work."""
        run = self._runs.of_task(task)
        if run is not None and task.task_id not in run.ended:
            fact = facts.TaskRestored(next_number(), task.task_id, time.time_ns(), note)
            self._tasks.restored(fact, task)
