"""Manager: one run of a workflow."""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

from dotflow.abc.facts import PlannedTask, RunBegan, RunEnded, RunFailed, next_number
from dotflow.abc.server import WorkflowDescription
from dotflow.core import interrupt
from dotflow.core.checkpoint import check_policy, prepare, read_note, write_note
from dotflow.core.children.start_method import check_is_no_import, start_method_of
from dotflow.core.exception import ExecutionModeNotExist
from dotflow.core.flows import (
    Background,
    InProcesses,
    Parallel,
    Sequential,
    SequentialGroup,
    grouper,
)
from dotflow.core.forked import getpid, is_ending
from dotflow.core.guard import Guard
from dotflow.core.task_error import TaskError
from dotflow.core.types import TypeExecution, TypeInputChange, TypeStatus, WorkflowStatus
from dotflow.process.at_exit import close_here
from dotflow.utils.basic_functions import basic_callback

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from uuid import UUID

    from dotflow.abc.facts import WorkflowFact
    from dotflow.abc.flow import Flow
    from dotflow.abc.server import Server
    from dotflow.core.config import Config
    from dotflow.core.task import Task

__all__ = [
    "Background",
    "Manager",
    "Parallel",
    "Sequential",
    "SequentialGroup",
    "grouper",
]

FLOWS: dict[str, type[Flow]] = {
    TypeExecution.SEQUENTIAL: Sequential,
    TypeExecution.SEQUENTIAL_GROUP: SequentialGroup,
    TypeExecution.BACKGROUND: Background,
    TypeExecution.PARALLEL: Parallel,
}


def _flow_of(mode: str, groups: dict[str, list[Task]]) -> type[Flow]:
    """What runs tasks in a mode: several groups are never run one after the other."""
    cls = FLOWS[mode]
    return SequentialGroup if cls is Sequential and len(groups) > 1 else cls


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
        groups = grouper(tasks)
        flow = _flow_of(mode, groups)
        self._start_method = start_method_of(start_method)
        check_is_no_import(self._start_method, issubclass(flow, InProcesses))
        self.tasks = tasks
        self.on_success = on_success
        self.on_failure = on_failure
        self.mode = mode
        if workflow_id is None:
            from uuid import uuid4  # here, for a DotFlow gives its own id

            workflow_id = uuid4()
        self.workflow_id = workflow_id
        self.on_input_change = on_input_change
        self.fingerprint = fingerprint
        self.config = config
        self._guard = config.guard if config is not None else Guard()
        self.started = datetime.now()  # noqa: DTZ005 - the contract's dates are naive
        self._started = time.perf_counter()
        self._description = (description or WorkflowDescription())._replace(
            mode=mode, resumed=resume
        )
        self._number = next_number()
        self._process = getpid()
        self._listener: Server | None = None
        self._in_doubt: WorkflowFact | None = None
        self._told: WorkflowFact | None = None
        self._is_ended = False
        close_here()
        self._prepare_storage(groups, resume)
        for task in tasks:
            task.reset(self._number)
        # A run within a step of another one is not to be interrupted while it reports, either.
        with interrupt.window(is_open=False):
            self._run(flow, groups, keep_going, resume)

    def _prepare_storage(self, groups: dict[str, list[Task]], resume: bool) -> None:
        if self.config is None:
            return
        prepare(
            self.config,
            self.workflow_id,
            self.tasks,
            groups,
            self.mode,
            self._description.managed,
            resume,
            self.on_input_change,
            self.fingerprint,
        )

    def _run(
        self, cls: type[Flow], groups: dict[str, list[Task]], keep_going: bool, resume: bool
    ) -> None:
        if self.mode == TypeExecution.BACKGROUND:
            self._run_in_background(groups, keep_going, resume)
            return
        more = {"start_method": self._start_method} if issubclass(cls, InProcesses) else {}

        def run() -> None:
            self._begin()
            flow = cls(self.tasks, self.workflow_id, keep_going, groups, resume, **more)
            self.tasks = flow.get_tasks()

        self._guarded(run)

    def _run_in_background(
        self, groups: dict[str, list[Task]], keep_going: bool, resume: bool
    ) -> None:
        try:
            self._begin()
            flow = Background(
                self.tasks, self.workflow_id, keep_going, groups, resume, around=self._guarded
            )
        except BaseException as error:
            self._conclude(error)
            raise
        self.thread = flow.thread

    def _guarded(self, run: Callable[[], None]) -> None:
        """Run, and report the end, also where something other than a step has failed."""
        planned = self.tasks
        try:
            run()
            failed = any(task.status == TypeStatus.FAILED for task in self.tasks)
            self._end(failed)
        except BaseException as error:
            self._conclude(error, planned)
            raise
        self._call_back("on_failure" if failed else "on_success")

    def _call_back(self, name: str) -> None:
        """Call a callback of the run; what it raises is counted, unless that ends the program."""
        try:
            getattr(self, name)(tasks=self.tasks)
        except BaseException as error:
            if is_ending(error):
                raise
            self._guard.raised(f"DotFlow.{name}", error)

    def _begin(self) -> None:
        if self.config is None:
            return
        call, wid, mode = self.config.guard.call, self.workflow_id, self.mode
        call(self.config.tracer, "start_workflow", workflow_id=wid, mode=mode,
             tasks_count=len(self.tasks))  # fmt: skip
        call(self.config.metrics, "workflow_started", workflow_id=wid, mode=mode)
        self._listener = self.config.listener()
        if self._listener is not None:
            self._tell(self._began(self.config))
        write_note(self.config, wid)

    def _began(self, config: Config) -> RunBegan:
        said = self._description
        plan = tuple(
            PlannedTask(task.task_id, task.step.name, task.group_name) for task in self.tasks
        )
        earlier = read_note(config, self.workflow_id) if said.resumed else None
        return RunBegan(
            self._number, time.time_ns(), said.name, said.managed, self.mode, said.resumed, plan,
            earlier,
        )  # fmt: skip

    def _tell(self, fact: WorkflowFact) -> None:
        assert self.config is not None  # noqa: S101 - who has none has nobody to tell
        # An interrupt may come between the telling and its end: `_conclude` then tells it again.
        self._in_doubt = fact
        self.config.guard.report(self._listener, fact, self.workflow_id)
        self._told = fact
        self._in_doubt = None

    def _conclude(self, error: BaseException, planned: list[Task] | None = None) -> None:
        """End each task that is under way, and the run, wherever it was interrupted.

        Nothing of it is done in a copy of the process that a step has made.
        """
        if getpid() != self._process:
            return
        for _ in range(2):  # the second time if Ctrl-C comes once more
            try:
                self._conclude_once(error, planned or self.tasks)
            except KeyboardInterrupt:
                continue
            break

    def _conclude_once(self, error: BaseException, planned: list[Task]) -> None:
        if self._in_doubt is not None:
            self._tell(self._in_doubt)
        for task in planned:
            if task.turn is not None:
                task.turn.conclude(error)
        if not (self._is_ended or isinstance(self._told, RunEnded)):
            self._fail(error)
            self._end(failed=True)

    def _fail(self, error: BaseException) -> None:
        if self._told is not None:
            self._tell(RunFailed(next_number(), self._number, TaskError(error)))

    def _end(self, failed: bool) -> None:
        if self.config is None:
            return
        call, wid = self.config.guard.call, self.workflow_id
        duration = time.perf_counter() - self._started
        call(self.config.tracer, "end_workflow", workflow_id=wid, duration=duration, failed=failed)
        hook = "workflow_failed" if failed else "workflow_completed"
        call(self.config.metrics, hook, wid, duration)
        status = WorkflowStatus.FAILED if failed else WorkflowStatus.COMPLETED
        if self._told is not None:
            ended = RunEnded(next_number(), self._number, time.time_ns(), duration, status)
            self._tell(ended)
        self._is_ended = True
