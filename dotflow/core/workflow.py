"""Manager: one run of a workflow."""

from __future__ import annotations

import threading
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

from dotflow.abc.facts import PlannedTask, RunBegan, RunEnded, RunFailed, next_number
from dotflow.abc.server import WorkflowDescription
from dotflow.core import interrupt, rehearsal, unfinished
from dotflow.core.checkpoint import prepare, read_note, write_note
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
from dotflow.core.options import FLOWS, check_is_no_child, check_options, executor_for, mode_of
from dotflow.core.outcome import Outcome
from dotflow.core.reporter import listeners
from dotflow.core.task_error import TaskError
from dotflow.core.types import TypeExecution, TypeInputChange
from dotflow.process import workers
from dotflow.process.at_exit import close_here
from dotflow.utils.basic_functions import basic_callback

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from dotflow.abc.facts import WorkflowFact
    from dotflow.abc.flow import Flow
    from dotflow.abc.server import Server
    from dotflow.core.config import Config
    from dotflow.core.task import Task
    from dotflow.core.task_fields import Turn

__all__ = [
    "Background",
    "Manager",
    "Parallel",
    "Sequential",
    "SequentialGroup",
    "grouper",
]


def _conclude_turn(turn: Turn, error: BaseException) -> None:
    """End a task that is under way; a storage that fails once more keeps nothing else open."""
    try:
        turn.conclude(error)
    except BaseException as again:
        if is_ending(again):
            raise


class Manager(Outcome):
    """One run of a workflow, and its outcome: `DotFlow.start()` makes and returns it.

    The constructor runs the tasks. It returns when the run has ended; in background mode it returns
    at once, and `wait()` waits for the end.

    Args:
        tasks: The tasks, in order.
        on_success: Called as `on_success(tasks=tasks)` after a run in which no task failed.
        on_failure: Called as `on_failure(tasks=tasks)` after a run in which a task failed.
        mode: "sequential", "sequential_group", "background" or "parallel".
        keep_going: Whether the run goes on after a failed task.
        workflow_id: The id of the run; without it, the run gets a new UUID.
        resume: Whether tasks that have a checkpoint are restored and not run again.
        on_input_change: What a resumed run does if its input differs: "reuse" the results, "reset"
            them, or "raise" InputChangedError.
        fingerprint: What stands for the input; by default a digest of the initial contexts.
        config: The Config whose providers the run uses; without it, nothing is reported.
        description: What the Server is told about the workflow.
        start_method: How child processes start: "fork", "forkserver" or "spawn". By default
            `DOTFLOW_START_METHOD` decides, else the first of the three that the system has.
        raise_on_failure: Whether a failed run raises WorkflowFailed once everything is reported; in
            background mode `wait()` raises it.
        executor: What runs the steps in the modes "parallel" and "sequential_group"; by default the
            executor of the Config, else child processes.

    Attributes:
        workflow_id: The id of the run.
        tasks: The tasks of the outcome: in sequential mode those that ran, else all.
        mode: How the tasks ran: "sequential_group" also where "sequential" was asked for and there
            are several groups.
        status: "In progress" until the run ends, then "Completed" or "Failed".
        started: When the run began (datetime, local, without a zone).
        duration: Seconds from the run's beginning to its end; None until the run ends.
        trace_id: The id of the run's trace (32 hex digits); None if the Server makes no trace.
        thread: The thread of a background run; other modes have no thread.

    Raises:
        WorkflowFailed: The run failed, and `raise_on_failure` is true.
        ExecutionModeNotExist: The mode does not exist.
        NotCallableObject: A callback cannot be called, or the executor is of another kind.
        InvalidOnInputChange: `on_input_change` is not one of the three values.
        InputChangedError: The input differs, and `on_input_change` is "raise".
        ValueError: The system does not have this start method; or an executor is given with another
            mode or with a start method.
        RuntimeError: Another run of these tasks goes on; or a child process that only imports the
            program starts the run.
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
        raise_on_failure: bool = False,
        executor: Any = None,
    ) -> None:
        self._start_method = check_options(
            mode, on_input_change, on_success, on_failure, start_method, executor
        )
        groups = grouper(tasks)
        self.mode = mode_of(mode, groups)
        flow = FLOWS[self.mode]
        self._executor = executor_for(flow, executor, config, start_method is not None)
        check_is_no_child(flow, self._start_method, self._executor)
        self.tasks = tasks
        self.on_success = on_success
        self.on_failure = on_failure
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
            mode=self.mode, resumed=resume
        )
        self._name = self._description.name
        self._planned = len(tasks)
        self._raises = raise_on_failure
        self._number = next_number()
        self.is_rehearsed = rehearsal.stand_in is not None
        if rehearsal.stand_in is not None:
            rehearsal.runs[self._number] = rehearsal.stand_in
        self._began_ns = self._began_at = 0
        self._process = getpid()
        self._listener: Server | None = None
        self._in_doubt: WorkflowFact | None = None
        self._told: WorkflowFact | None = None
        self._is_ended = False
        close_here()
        try:
            unfinished.take(self, tasks)
            self._prepare_storage(groups, resume)
            for task in tasks:
                task.reset(self._number)
            # A run within a step of another one is not to be interrupted while it reports, either.
            with interrupt.window(is_open=False):
                self._run(flow, groups, keep_going, resume)
        except BaseException:
            listeners.pop(self._number, None)
            unfinished.release(self, tasks)
            raise
        if raise_on_failure and mode != TypeExecution.BACKGROUND:
            self.raise_for_failure()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end of a background run; a run of another mode has already ended.

        Any thread may call this method, except the run's own.

        Args:
            timeout: How many seconds to wait; None for no limit.

        Returns:
            Whether the run has ended.

        Raises:
            WorkflowFailed: The run failed, and it was started with `raise_on_failure`.
            RuntimeError: A step or a callback of the run calls this method.
        """
        if self.mode == TypeExecution.BACKGROUND:
            unfinished.wait(self.thread, self._over, timeout)
        has_ended = self.mode != TypeExecution.BACKGROUND or self._over.is_set()
        if has_ended and self._raises:
            self.raise_for_failure()
        return has_ended

    def _repr_html_(self) -> str:
        """The run as a small waterfall, for notebooks; what looks like a credential is masked."""
        from dotflow.core.picture import of_run  # here, for only notebooks ask for it

        return of_run(self, self.started, self.tasks)

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
        more: dict[str, Any] = {}
        if issubclass(cls, InProcesses):
            more = {"start_method": self._start_method, "executor": self._executor}

        def run() -> None:
            self._begin()
            flow = cls(self.tasks, self.workflow_id, keep_going, groups, resume, **more)
            self.tasks = flow.get_tasks()

        self._guarded(run)

    def _run_in_background(
        self, groups: dict[str, list[Task]], keep_going: bool, resume: bool
    ) -> None:
        self._over = threading.Event()
        try:
            self._begin()
            unfinished.began(self)
            flow = Background(
                self.tasks, self.workflow_id, keep_going, groups, resume, around=self._aside
            )
        except BaseException as error:
            unfinished.ended(self)
            self._conclude(error)
            raise
        self.thread = flow.thread

    def _aside(self, run: Callable[[], None]) -> None:
        """Run in the thread of a background run."""
        try:
            self._guarded(run)
        finally:
            unfinished.ended(self)
            self._over.set()

    def _guarded(self, run: Callable[[], None]) -> None:
        """Run, and report the end, also where something other than a step has failed."""
        planned = self.tasks
        try:
            run()
            self._end()
        except BaseException as error:
            self._conclude(error, planned)
            raise
        finally:
            listeners.pop(self._number, None)
            unfinished.release(self, planned)
        self._call_back("on_success" if self.ok else "on_failure")

    def _call_back(self, name: str) -> None:
        """Call a callback of the run; what it raises is counted, unless that ends the program."""
        try:
            getattr(self, name)(tasks=self.tasks)
        except BaseException as error:
            if is_ending(error):
                raise
            self._guard.raised(f"DotFlow.{name}", traceback=TaskError(error).traceback)

    def _begin(self) -> None:
        if self.config is None:
            return
        call, wid, mode = self.config.guard.call, self.workflow_id, self.mode
        call(self.config.tracer, "start_workflow", workflow_id=wid, mode=mode,
             tasks_count=len(self.tasks))  # fmt: skip
        call(self.config.metrics, "workflow_started", workflow_id=wid, mode=mode)
        self._listener = self.config.listener(self._number)
        if self._listener is not None:
            listeners[self._number] = self.config, self._listener
            self._tell(self._began(self.config))
            self.trace_id = call(self._listener, "trace_id", wid)
        write_note(self.config, wid)

    def _began(self, config: Config) -> RunBegan:
        said = self._description
        # A list first: a generator would be entered once a task.
        plan = [PlannedTask(task.task_id, task.step.name, task.group_name) for task in self.tasks]
        earlier = read_note(config, self.workflow_id) if said.resumed else None
        self._began_ns, self._began_at = time.time_ns(), time.perf_counter_ns()
        return RunBegan(
            self._number, self._began_ns, said.name, said.managed, self.mode, said.resumed,
            tuple(plan), earlier,
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
                _conclude_turn(task.turn, error)
        if not (self._is_ended or isinstance(self._told, RunEnded)):
            failure = TaskError(error)
            if self._told is not None:
                self._tell(RunFailed(next_number(), self._number, failure))
            self._end(failure)

    def _end(self, error: TaskError | None = None) -> None:
        """Take note of the end, and report it; `error` is what ended the run where no task did."""
        duration = time.perf_counter() - self._started
        self._settle(duration, error)
        if self.config is None:
            return
        call, wid, failed = self.config.guard.call, self.workflow_id, not self.ok
        call(self.config.tracer, "end_workflow", workflow_id=wid, duration=duration, failed=failed)
        hook = "workflow_failed" if failed else "workflow_completed"
        call(self.config.metrics, hook, wid, duration)
        if self._told is not None:
            # The clock may have been set back meanwhile.
            now = max(time.time_ns(), self._began_ns + time.perf_counter_ns() - self._began_at)
            ended = RunEnded(next_number(), self._number, now, duration, self.status)
            self._tell(ended)
        self._is_ended = True
        call(self.config.notify, "hook_end_workflow", run=self)
        if (seconds := workers.wait()) and self._listener is not None:
            call(self._listener, "deliver", seconds)
