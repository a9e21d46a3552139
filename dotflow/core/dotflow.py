"""DotFlow: a workflow."""

from __future__ import annotations

import os
import sys
import weakref
from typing import TYPE_CHECKING, Any

from dotflow.abc.facts import WorkflowCreated, next_number
from dotflow.abc.server import WorkflowDescription
from dotflow.constants import INITIAL_TASK_ID
from dotflow.core.config import Config
from dotflow.core.exception import WorkflowFailed
from dotflow.core.options import check_options
from dotflow.core.task import Task, TaskBuilder
from dotflow.core.types import TypeExecution, TypeInputChange
from dotflow.core.workflow import Manager
from dotflow.logging import logger
from dotflow.utils.basic_functions import basic_callback
from dotflow.utils.error_handler import without_our_frames
from dotflow.utils.tools import hostname, unused_task_id

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from dotflow.core.context import Context

MAX_ID_LENGTH = 255


class DotFlow:
    """A workflow: add tasks with `task.add()`, then run them with `start()`.

    Args:
        config: The providers of the workflow; by default `Config()`.
        workflow_id: The id (a UUID, or any text of 1 to 255 characters), if you want to find the
            workflow again, for example to resume it. By default `WORKFLOW_ID` of the environment,
            else a new UUID.
        name: The name in traces, records and log lines. Without it, `result()` has the host's name.

    Attributes:
        workflow_id: The id: a new UUID, or the id that was given, unchanged.
        task: The `TaskBuilder`, which has the tasks.

    Raises:
        ValueError: The id is blank, or longer than 255 characters.
    """

    def __init__(
        self,
        config: Config | None = None,
        workflow_id: str | UUID | None = None,
        name: str | None = None,
    ) -> None:
        self.config = config or Config()
        external = workflow_id or os.environ.get("WORKFLOW_ID") or None
        _check_id(external)
        self.workflow_id = external or _new_id()
        storage, wid = self.config.storage, str(self.workflow_id)
        if external is None:
            weakref.finalize(self, self.config.guard.call, storage, "release", wid).atexit = False
        else:
            self.config.guard.call(storage, "retain", wid)
        name = None if name is None else str(name)
        self.name = name or hostname()
        self._description = WorkflowDescription(name=name, managed=external is not None)
        self.task = TaskBuilder(
            config=self.config,
            workflow_id=self.workflow_id,
            initial_task_id=self._announce(),
            workflow_name=self.name,
            given_name=name,
        )

    def __repr__(self) -> str:
        from dotflow.utils.masking import masked_by_default

        many = len(self.task.queue)
        name = masked_by_default(f"{self.name!r}, {self.workflow_id}")
        return f"<workflow {name}: {many} task{'' if many == 1 else 's'}, {self.config!r}>"

    def _repr_html_(self) -> str:
        """The tasks as a small waterfall, for notebooks; what looks like a credential is masked."""
        from dotflow.core.picture import of_workflow  # here, for only notebooks ask for it

        return of_workflow(self.name, self.workflow_id, self.task.queue)

    def start(
        self,
        *,
        mode: str = TypeExecution.SEQUENTIAL,
        keep_going: bool = False,
        resume: bool = False,
        on_success: Callable[..., Any] = basic_callback,
        on_failure: Callable[..., Any] = basic_callback,
        on_input_change: str = TypeInputChange.REUSE,
        fingerprint: str | None = None,
        start_method: str | None = None,
        raise_on_failure: bool = False,
        executor: Any = None,
    ) -> Manager:
        """Run the workflow, and return a Manager with the outcome.

        A failed task raises nothing here: read `Manager.ok` and `Manager.failed_tasks`, or ask for
        `raise_on_failure`. The calling thread runs the workflow, except in background mode.

        Args:
            mode: "sequential", "sequential_group", "background" or "parallel".
            keep_going: Whether the run goes on after a failed task.
            resume: Whether tasks that have a checkpoint are restored and not run again.
            on_success: Called as `on_success(tasks=tasks)` after a run in which no task failed.
            on_failure: Called as `on_failure(tasks=tasks)` after a run in which a task failed.
            on_input_change: What a resumed run does if its input differs: "reuse" the results,
                "reset" them, or "raise" InputChangedError.
            fingerprint: What stands for the input; by default a digest of the initial contexts.
            start_method: How child processes start: "fork", "forkserver" or "spawn"; by default
                `DOTFLOW_START_METHOD` decides.
            raise_on_failure: Whether a failed run raises WorkflowFailed once everything is
                reported; in background mode `wait()` raises it.
            executor: What runs the steps in the modes "parallel" and "sequential_group": a
                `concurrent.futures.Executor`, Dask's Client, or a
                `dotflow.abc.executor.TaskExecutor`; by default the executor of the Config, else
                child processes.

        Raises:
            WorkflowFailed: The run failed, and `raise_on_failure` is true.
            ExecutionModeNotExist: The mode does not exist.
            InvalidOnInputChange: `on_input_change` is not one of the three values.
            InputChangedError: The input differs, and `on_input_change` is "raise".
            AmbiguousResume: The run resumes, and it is unclear which of several equal steps is new.
            NotCallableObject: A callback cannot be called, or the executor is of another kind.
            ValueError: The system does not have this start method; or an executor is given with
                another mode or with a start method.
            RuntimeError: The workflow runs already, and a workflow runs once at a time; or a child
                process that only imports the program starts the run.
        """
        try:
            return Manager(
                tasks=self.task.queue,
                on_success=on_success,
                on_failure=on_failure,
                mode=mode,
                keep_going=keep_going,
                workflow_id=self.workflow_id,
                resume=resume,
                on_input_change=on_input_change,
                fingerprint=fingerprint,
                config=self.config,
                description=self._description,
                start_method=start_method,
                raise_on_failure=raise_on_failure,
                executor=executor,
            )
        except (KeyboardInterrupt, WorkflowFailed) as error:
            # It says where the work was, and not how the engine came there.
            error.__traceback__ = without_our_frames(error.__traceback__)
            if sys.version_info < (3, 11):  # where the next line would bring the rest back
                raise error.with_traceback(error.__traceback__)  # noqa: B904
            raise

    async def start_async(
        self,
        *,
        mode: str = TypeExecution.SEQUENTIAL,
        keep_going: bool = False,
        resume: bool = False,
        on_success: Callable[..., Any] = basic_callback,
        on_failure: Callable[..., Any] = basic_callback,
        on_input_change: str = TypeInputChange.REUSE,
        fingerprint: str | None = None,
        start_method: str | None = None,
        raise_on_failure: bool = False,
        executor: Any = None,
    ) -> Manager:
        """Run the workflow in a thread of its own while the event loop goes on.

        The thread calls the steps and the callbacks, with the context variables and the current
        span of the caller. If you cancel the call, no further step starts. The running tasks and
        the run are Failed ("interrupted by cancellation"), and CancelledError follows once that is
        reported; a second cancellation does not wait for the report. Python cannot stop a thread,
        so a running step goes on, without effect on the task.

        Args:
            mode: "sequential", "sequential_group" or "parallel".
            keep_going: As in `start`.
            resume: As in `start`.
            on_success: As in `start`.
            on_failure: As in `start`.
            on_input_change: As in `start`.
            fingerprint: As in `start`.
            start_method: As in `start`.
            raise_on_failure: As in `start`.
            executor: As in `start`.

        Raises:
            ValueError: The mode is "background".
            Exception: Any exception that `start` raises.
        """
        if mode == TypeExecution.BACKGROUND:
            raise ValueError(
                'start_async() takes no mode="background", for the event loop goes on anyway: '
                'leave it out, or call start(mode="background")'
            )
        from dotflow.core.event_loop import run_beside  # here, for most programs have no event loop

        return await run_beside(
            lambda: self.start(
                mode=mode,
                keep_going=keep_going,
                resume=resume,
                on_success=on_success,
                on_failure=on_failure,
                on_input_change=on_input_change,
                fingerprint=fingerprint,
                start_method=start_method,
                raise_on_failure=raise_on_failure,
                executor=executor,
            )
        )

    def schedule(
        self,
        *,
        mode: str = TypeExecution.SEQUENTIAL,
        keep_going: bool = False,
        resume: bool = False,
        on_success: Callable[..., Any] = basic_callback,
        on_failure: Callable[..., Any] = basic_callback,
        on_input_change: str = TypeInputChange.REUSE,
        fingerprint: str | None = None,
        start_method: str | None = None,
        raise_on_failure: bool = False,
        executor: Any = None,
    ) -> None:
        """Run the workflow at each time that the Config's scheduler says, until it is stopped.

        Args:
            mode: As in `start`; it holds for every run, and so do the others.
            keep_going: As in `start`.
            resume: As in `start`.
            on_success: As in `start`.
            on_failure: As in `start`.
            on_input_change: As in `start`.
            fingerprint: As in `start`.
            start_method: As in `start`.
            raise_on_failure: As in `start`; the scheduler logs the exception and goes on.
            executor: As in `start`; keep it open as long as the scheduler goes on.

        Raises:
            Exception: An argument is wrong, as for `start`.
        """
        check_options(mode, on_input_change, on_success, on_failure, start_method, executor)
        given = {
            "mode": mode, "keep_going": keep_going, "resume": resume, "on_success": on_success,
            "on_failure": on_failure, "on_input_change": on_input_change,
            "fingerprint": fingerprint, "start_method": start_method,
            "raise_on_failure": raise_on_failure, "executor": executor,
        }  # fmt: skip
        defaults = DotFlow.start.__kwdefaults__ or {}
        said = {name: value for name, value in given.items() if value is not defaults[name]}
        self.config.scheduler.start(workflow=self.start, **said)

    def result_task(self) -> list[Task]:
        """The tasks, in the order in which they were added."""
        return self.task.queue

    def result_context(self) -> list[Context]:
        """The result of each task as a Context; an empty Context for a task that did not run."""
        return [task.current_context for task in self.task.queue]

    def result_storage(self) -> list[Any]:
        """The value of each task's result; None for a task that did not run."""
        return [task.current_context.storage for task in self.task.queue]

    def result(self) -> dict[str, Any]:
        """The workflow and its tasks as a dict of JSON values."""
        return self.task.result()

    def _announce(self) -> int:
        """Tell the server of the workflow and return the number of its first task."""
        listener, call, wid = self.config.listener(), self.config.guard.call, self.workflow_id
        name, managed = self._description.name, self._description.managed
        if listener is not None:
            self.config.guard.report(listener, WorkflowCreated(next_number(), name, managed), wid)
        if not managed:
            return INITIAL_TASK_ID
        number = call(listener or self.config.server, "get_next_task_id", workflow=wid)
        if isinstance(number, int) and number >= 0:
            return number
        number = unused_task_id()
        logger.warning(
            "The server did not give the next task number of workflow %s: tasks are numbered from "
            "%d, which no earlier task can have.", wid, number,
        )  # fmt: skip
        return number


def _new_id() -> UUID:
    from uuid import uuid4  # here, for it is slow to load

    return uuid4()


def _check_id(workflow_id: Any) -> None:
    if isinstance(workflow_id, str) and not workflow_id.strip():
        raise ValueError("workflow_id is blank: give it 1 to 255 characters, or leave it out")
    if workflow_id is not None and len(str(workflow_id)) > MAX_ID_LENGTH:
        raise ValueError(
            f"workflow_id has {len(str(workflow_id))} characters: give it 1 to {MAX_ID_LENGTH}"
        )
