"""Manager: one run of a workflow, and the four ways to run it."""

from __future__ import annotations

import contextlib
import threading
import time
from contextvars import copy_context
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from dotflow.abc.facts import PlannedTask, RunBegan, RunEnded, RunFailed, next_number
from dotflow.abc.flow import Flow
from dotflow.abc.server import WorkflowDescription
from dotflow.core import interrupt
from dotflow.core.checkpoint import (
    check_input,
    check_policy,
    first_context,
    number_tasks,
    read_back,
    read_note,
    restore,
    write_note,
)
from dotflow.core.children.lane import Lane, run_lanes
from dotflow.core.children.start_method import check_is_no_import, start_method_of
from dotflow.core.engine import TaskEngine
from dotflow.core.exception import ExecutionModeNotExist, Interrupted
from dotflow.core.task_error import TaskError
from dotflow.core.types import TypeExecution, TypeInputChange, TypeStatus, WorkflowStatus
from dotflow.settings import Settings
from dotflow.utils.basic_functions import basic_callback

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dotflow.core.config import Config
    from dotflow.core.task import Task


def grouper(tasks: list[Task]) -> dict[str, list[Task]]:
    """The tasks by the name of their group, in order of appearance."""
    groups: dict[str, list[Task]] = {}
    for task in tasks:
        groups.setdefault(task.group_name, []).append(task)
    return groups


class Sequential(Flow):
    """Runs tasks one after another in this process; `get_tasks()` are those that ran."""

    def setup_queue(self) -> None:
        """Begin with no task run."""
        self.queue = []

    def get_tasks(self) -> list[Task]:
        """The tasks that ran or were restored."""
        return list(self.queue)

    def run(self) -> None:
        """Run the tasks until one fails, or all with `ignore`."""
        previous = first_context(self.workflow_id)
        for task in self.tasks:
            interrupt.check()
            self.queue.append(task)
            kept = restore(task, self.workflow_id, previous) if self.resume else None
            if kept is not None:
                previous = kept
                continue
            engine = TaskEngine(task, self.workflow_id, previous)
            with engine.start():
                engine.execute_with_retry()
            with interrupt.window():
                task.callback(task=task)
            if task.status == TypeStatus.FAILED and not self.ignore:
                break
            previous = read_back(task)


class InProcesses(Flow):
    """Runs tasks in child processes.

    Args:
        tasks: As in Flow.
        workflow_id: As in Flow.
        ignore: As in Flow.
        groups: As in Flow.
        resume: As in Flow.
        start_method: How the processes come to be; without one as the settings say.
    """

    def __init__(
        self,
        tasks: list[Task],
        workflow_id: str | UUID | None,
        ignore: bool,
        groups: Mapping[str, list[Task]],
        resume: bool = False,
        start_method: str | None = None,
    ) -> None:
        self._start_method = start_method
        super().__init__(tasks, workflow_id, ignore, groups, resume)


class SequentialGroup(InProcesses):
    """Runs every group in a process of its own, all at once; in order within a group."""

    def setup_queue(self) -> None:
        """Make one lane a group."""
        self.queue = [
            Lane(tasks, self.workflow_id, self.ignore, self.resume, self._start_method)
            for tasks in self.groups.values()
        ]

    def get_tasks(self) -> list[Task]:
        """All tasks."""
        return self.tasks

    def run(self) -> None:
        """Run the groups; a failed task stops its own only."""
        run_lanes(self.queue, at_once=len(self.queue), stop_on_failure=False)


class Parallel(InProcesses):
    """Runs every task in a process of its own, `Settings.MAX_PROCESSES` of them at a time."""

    def setup_queue(self) -> None:
        """Make one lane a task."""
        self.queue = [
            Lane([task], self.workflow_id, ignore=True, start_method=self._start_method)
            for task in self.tasks
        ]

    def get_tasks(self) -> list[Task]:
        """All tasks."""
        return self.tasks

    def run(self) -> None:
        """Run the tasks; without `ignore` none is begun once another has failed."""
        run_lanes(self.queue, Settings.MAX_PROCESSES, stop_on_failure=not self.ignore)


class Background(Flow):
    """Runs tasks one after another in a daemon thread; the constructor returns at once.

    Args:
        tasks: As in Flow.
        workflow_id: As in Flow.
        ignore: As in Flow.
        groups: As in Flow; they make no difference.
        resume: As in Flow.
        around: Called in the thread with what runs the tasks.
    """

    def __init__(
        self,
        tasks: list[Task],
        workflow_id: str | UUID | None,
        ignore: bool,
        groups: Mapping[str, list[Task]],
        resume: bool = False,
        around: Callable[[Callable[[], None]], None] | None = None,
    ) -> None:
        self._around = around
        super().__init__(tasks, workflow_id, ignore, groups, resume)

    def setup_queue(self) -> None:
        """Make the thread; it begins where the caller is, with what is current there."""
        self.thread = threading.Thread(
            target=copy_context().run, args=(self._work,), name="dotflow-background", daemon=True
        )

    def get_tasks(self) -> list[Task]:
        """All tasks."""
        return self.tasks

    def run(self) -> None:
        """Start the thread."""
        self.thread.start()

    def _work(self) -> None:
        # Who interrupted the run knows of it, and it is reported: no news for the thread's hook.
        with contextlib.suppress(Interrupted):
            if self._around is None:
                self._run_tasks()
            else:
                self._around(self._run_tasks)

    def _run_tasks(self) -> None:
        Sequential(self.tasks, self.workflow_id, self.ignore, self.groups, self.resume)


FLOWS: dict[str, type[Flow]] = {
    TypeExecution.SEQUENTIAL: Sequential,
    TypeExecution.SEQUENTIAL_GROUP: SequentialGroup,
    TypeExecution.BACKGROUND: Background,
    TypeExecution.PARALLEL: Parallel,
}


def _flow_of(mode: str, tasks: list[Task]) -> type[Flow]:
    """What runs these tasks in a mode: several groups are never run one after the other."""
    cls = FLOWS[mode]
    return SequentialGroup if cls is Sequential and len(grouper(tasks)) > 1 else cls


class Manager:
    """One run of a workflow; the constructor runs it.

    Args:
        tasks: The tasks, in order.
        on_success: Called as `on_success(tasks=tasks)` after a run in which no task failed.
        on_failure: Called as `on_failure(tasks=tasks)` after a run in which one did.
        mode: "sequential", "sequential_group", "background" or "parallel".
        keep_going: Go on after a failed task.
        workflow_id: The id of the run; a fresh UUID without one.
        resume: Restore tasks that have a checkpoint instead of running them.
        on_input_change: What a resumed run does with another input: "reuse" what is there,
            "reset" it, or "raise".
        fingerprint: What stands for the input; by default that of the initial contexts.
        config: Who is told of the run; nobody is without one.
        description: What a Server may want to know of the run.
        start_method: How child processes come to be: "fork", "forkserver" or "spawn"; without one
            what `DOTFLOW_START_METHOD` says, else the first of them that the system has.

    Attributes:
        tasks: The tasks of the outcome: in sequential mode those that ran, else all.
        started: When the run began (datetime, local, without a zone).
        thread: The thread of a background run; other modes have none.

    Raises:
        ExecutionModeNotExist: There is no such mode.
        InvalidOnInputChange: There is no such policy.
        InputChangedError: The input is another one, and the policy is "raise".
        ValueError: There is no such start method here.
        RuntimeError: A child process that only imports the program starts the run.
    """

    thread: threading.Thread

    def __init__(
        self,
        tasks: list[Task],
        on_success: Callable[..., Any] = basic_callback,
        on_failure: Callable[..., Any] = basic_callback,
        mode: str = TypeExecution.SEQUENTIAL,
        keep_going: bool = False,
        workflow_id: str | UUID | None = None,
        resume: bool = False,
        on_input_change: str = TypeInputChange.REUSE,
        fingerprint: str | None = None,
        config: Config | None = None,
        description: WorkflowDescription | None = None,
        start_method: str | None = None,
    ) -> None:
        if mode not in list(FLOWS):  # which, unlike a dict, may be asked for anything
            raise ExecutionModeNotExist
        check_policy(on_input_change)
        flow = _flow_of(mode, tasks)
        self._start_method = start_method_of(start_method)
        check_is_no_import(self._start_method, issubclass(flow, InProcesses))
        self.tasks = tasks
        self.on_success = on_success
        self.on_failure = on_failure
        self.mode = mode
        self.workflow_id = workflow_id if workflow_id is not None else uuid4()
        self.on_input_change = on_input_change
        self.fingerprint = fingerprint
        self.config = config
        self.started = datetime.now()  # noqa: DTZ005 - the contract's dates are naive
        self._started = time.perf_counter()
        self._description = replace(description or WorkflowDescription(), mode=mode, resumed=resume)
        self._number = next_number()
        self._prepare_storage(resume)
        for task in tasks:
            task.reset()
            task.run = self._number
        # A run within a step of another one is not to be interrupted while it reports, either.
        with interrupt.window(is_open=False):
            self._begin()
            self._run(keep_going, resume)

    def _prepare_storage(self, resume: bool) -> None:
        if self.config is None:
            return
        storage, policy = self.config.storage, self.on_input_change
        if resume:
            check_input(storage, self.workflow_id, self.tasks, policy, self.fingerprint)
        if self._description.managed:
            number_tasks(storage, self.workflow_id, self.tasks, resume)

    def _run(self, keep_going: bool, resume: bool) -> None:
        groups = grouper(self.tasks)
        if self.mode == TypeExecution.BACKGROUND:
            flow = Background(
                self.tasks, self.workflow_id, keep_going, groups, resume, around=self._guarded
            )
            self.thread = flow.thread
            return
        cls = _flow_of(self.mode, self.tasks)
        more = {"start_method": self._start_method} if issubclass(cls, InProcesses) else {}

        def run() -> None:
            flow = cls(self.tasks, self.workflow_id, keep_going, groups, resume, **more)
            self.tasks = flow.get_tasks()

        self._guarded(run)

    def _guarded(self, run: Callable[[], None]) -> None:
        """Run, and report the end, also where something other than a step has failed."""
        try:
            run()
        except BaseException as error:
            self._fail(error)
            self._end(failed=True)
            raise
        failed = any(task.status == TypeStatus.FAILED for task in self.tasks)
        self._end(failed)
        (self.on_failure if failed else self.on_success)(tasks=self.tasks)

    def _begin(self) -> None:
        if self.config is None:
            return
        call, wid, mode = self.config.guard.call, self.workflow_id, self.mode
        server = self.config.server
        call(self.config.tracer, "start_workflow", workflow_id=wid, mode=mode,
             tasks_count=len(self.tasks))  # fmt: skip
        call(self.config.metrics, "workflow_started", workflow_id=wid, mode=mode)
        said = self._description
        plan = tuple(
            PlannedTask(task.task_id, task.step.name, task.group_name) for task in self.tasks
        )
        earlier = read_note(self.config, wid) if said.resumed else None
        began = RunBegan(
            self._number, time.time_ns(), said.name, said.managed, mode, said.resumed, plan, earlier
        )
        self.config.guard.report(server, began, wid)
        write_note(self.config, wid)

    def _fail(self, error: BaseException) -> None:
        if self.config is not None:
            failed = RunFailed(next_number(), self._number, TaskError(error))
            self.config.guard.report(self.config.server, failed, self.workflow_id)

    def _end(self, failed: bool) -> None:
        if self.config is None:
            return
        call, wid = self.config.guard.call, self.workflow_id
        duration = time.perf_counter() - self._started
        call(self.config.tracer, "end_workflow", workflow_id=wid, duration=duration, failed=failed)
        hook = "workflow_failed" if failed else "workflow_completed"
        call(self.config.metrics, hook, wid, duration)
        status = WorkflowStatus.FAILED if failed else WorkflowStatus.COMPLETED
        ended = RunEnded(next_number(), self._number, time.time_ns(), duration, status)
        self.config.guard.report(self.config.server, ended, wid)
