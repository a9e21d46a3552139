"""Task: one entry of a workflow, with its step, its contexts and its status."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from dotflow.abc.facts import TaskAdded, next_number
from dotflow.constants import INITIAL_TASK_ID
from dotflow.core.config import Config, unreported
from dotflow.core.context import Context
from dotflow.core.resolve import flat, resolve_callback, resolve_step
from dotflow.core.task_error import TaskError, warn_of_error
from dotflow.core.task_fields import StepView, TaskInstance, know_names
from dotflow.core.types.status import TypeStatus
from dotflow.utils.basic_functions import basic_callback, basic_function

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from dotflow.abc.task import ContextView
    from dotflow.core.serializers.task import SerializerTask
    from dotflow.core.serializers.workflow import SerializerWorkflow

__all__ = ["Task", "TaskBuilder", "TaskError", "TaskInstance", "resolve_callback", "resolve_step"]


TOLD = (
    "task_id", "workflow_name", "group_name", "retry_count", "created_ns", "started_ns",
    "finished_ns", "restored", "run", "place", "_status", "_duration", "_errors",
)  # fmt: skip
"""What another process may know of a task that ended."""


class Task(TaskInstance):
    """One entry of a workflow: a step, its contexts, its status and its errors.

    `DotFlow.task.add()` makes tasks; callbacks and `DotFlow.result_task()` give them to you.

    Args:
        task_id: The number of the task in its workflow.
        step: An `@action`, or the import string of an action.
        callback: Called as `callback(task=task)` when the task has ended; a callable or an import
            string.
        initial_context: Any value for the step.
        workflow_id: The id of the workflow.
        config: The Config of the workflow; by default a Config that reports nowhere.
        group_name: The group of the task, for mode "sequential_group".
        workflow_name: The name that the workflow was given.

    Attributes:
        task_id: The number of the task in its workflow.
        workflow_id: The id of the workflow.
        group_name: The group of the task.
        retry_count: How many further attempts followed the first one.
        created_ns: When the task was made, in nanoseconds since the epoch.
        started_ns: When the task began, in nanoseconds since the epoch; None until then.
        finished_ns: When the task ended, in nanoseconds since the epoch; None until then.
        restored: Whether the result came from a checkpoint.
        run: The number of the run that the task is in; 0 before the first run.
        turn: For dotflow itself: what reports the task while it runs.
        place: Where an executor runs the task; None if that is not known.

    Raises:
        MissingActionDecorator: The step is not under `@action`.
        UnknownParameter: The step has a parameter for which a run passes nothing.
        NotCallableObject: The callback cannot be called.
        ImportModuleError: An import string leads to no object.
    """

    restored = False
    run = 0
    reports = True  # not in a child process: the parent does that

    def __init__(
        self,
        task_id: int,
        step: Any,
        callback: Any = basic_callback,
        initial_context: Any = None,
        workflow_id: str | UUID | None = None,
        config: Config | None = None,
        group_name: str = "default",
        workflow_name: str | None = None,
    ) -> None:
        self.config = config or unreported()
        self.group_name = group_name
        self.workflow_name = workflow_name
        self.task_id = task_id
        self.workflow_id = workflow_id
        self._step = resolve_step(step)
        if callback is not basic_callback:
            self._callback = resolve_callback(callback)
        if initial_context is not None:
            self._initial_context = Context(initial_context)
        self.created_ns = time.time_ns()
        self.status = TypeStatus.NOT_STARTED
        if (server := self.config.listener()) is not None:
            self.config.guard.report(server, TaskAdded(next_number(), task_id), self)

    def __repr__(self) -> str:
        return f"<task {self.task_id} ({self._step.name}): {self.status}>"

    @property
    def step(self) -> Any:
        """The action that the task runs."""
        return self._step

    @step.setter
    def step(self, value: Any) -> None:
        self._step = resolve_step(value)

    @property
    def callback(self) -> Callable[..., Any]:
        """What dotflow calls when the task has ended."""
        return self._callback

    @callback.setter
    def callback(self, value: Any) -> None:
        self._callback = resolve_callback(value)

    @property
    def initial_context(self) -> Context:
        """The value that the task was added with."""
        return self._initial_context if self._initial_context is not None else Context()

    @initial_context.setter
    def initial_context(self, value: Any) -> None:
        self._initial_context = Context(value)

    @property
    def previous_context(self) -> Context:
        """The result of the task before this one."""
        return self._previous_context if self._previous_context is not None else Context()

    @previous_context.setter
    def previous_context(self, value: Any) -> None:
        self._previous_context = Context.of(value)

    @property
    def current_context(self) -> Context:
        """The result. Setting it also keeps it in the storage."""
        return self._current_context if self._current_context is not None else Context()

    @current_context.setter
    def current_context(self, value: Any) -> None:
        self.keep(Context.of_task(value, self.task_id, self.workflow_id))

    def keep(self, result: Context) -> None:
        """Take a Context as the result, and keep it in the storage too."""
        self._current_context = result
        if self.reports:
            storage = self.config.storage
            storage.post(key=storage.key(task=self), context=result)

    def adopt(self, kept: ContextView) -> None:
        """Take a result that the storage has already."""
        self._current_context = Context.of_task(kept.storage, self.task_id, self.workflow_id)

    @property
    def status(self) -> str:
        """One of "Not started", "In progress", "Retry", "Completed" and "Failed".

        Setting it tells the providers for notify, log and metrics.
        """
        return self._status or TypeStatus.NOT_STARTED

    @status.setter
    def status(self, value: str) -> None:
        self._status = value
        if self.reports:
            self._tell(value)

    def _tell(self, status: str) -> None:
        config = self.config
        notify, log = config.notify, config.log
        # Called as they are, each in a `try` of its own: this is the way of every task. What does
        # nothing is not called.
        try:
            if getattr(notify.hook_status_task, "__func__", None) is not basic_function:
                notify.hook_status_task(task=self)
        except BaseException as error:  # noqa: BLE001 - a provider's fault is not the work's
            config.guard.failed(notify, "hook_status_task", error)
        if status == TypeStatus.FAILED:
            config.guard.call(log, "error", task=self)
            config.guard.call(config.metrics, "task_failed", task=self)
            return
        if status == TypeStatus.RETRY:
            config.guard.call(log, "warning", task=self)
            config.guard.call(config.metrics, "task_retried", task=self)
            return
        try:
            log.info(task=self)
        except BaseException as error:  # noqa: BLE001
            config.guard.failed(log, "info", error)
        if status == TypeStatus.COMPLETED:
            metrics = config.metrics
            try:
                if getattr(metrics.task_completed, "__func__", None) is not basic_function:
                    metrics.task_completed(task=self)
            except BaseException as error:  # noqa: BLE001
                config.guard.failed(metrics, "task_completed", error)

    @property
    def errors(self) -> list[TaskError]:
        """One TaskError for each failed attempt, in order.

        Setting an exception or a TaskError appends it.
        """
        if self._errors is None:
            self._errors = []
        return self._errors

    @errors.setter
    def errors(self, value: Any) -> None:
        if isinstance(value, list):
            self._errors = value
        elif isinstance(value, TaskError):
            self.errors.append(value)
        elif isinstance(value, BaseException):
            self.errors.append(TaskError(value))

    @property
    def error(self) -> TaskError:
        """The last error. Deprecated: use `errors`."""
        warn_of_error()
        return self._errors[-1] if self._errors else TaskError()

    @error.setter
    def error(self, value: Any) -> None:
        warn_of_error()
        self.errors = value

    @property
    def duration(self) -> float | None:
        """Seconds from the task's beginning to its end; None until the task has ended."""
        return self._duration

    @duration.setter
    def duration(self, value: float | None) -> None:
        self._duration = value

    def begin(self) -> None:
        """Take the time of the start."""
        self.started_ns = time.time_ns()

    def finish(self, finished_ns: int) -> None:
        """Set the time of the end, and the duration that follows from it."""
        started = self.started_ns if self.started_ns is not None else finished_ns
        # Another process may have read the clock, or the clock may have been set back.
        self.finished_ns = max(started, finished_ns)
        self._duration = (self.finished_ns - started) / 1e9

    def reset(self, run: int) -> None:
        """Forget the outcome of an earlier run; `run` is the number of the next."""
        is_new = not self.run and self._status is TypeStatus.NOT_STARTED
        self.run = run
        if is_new and not self._errors and self._current_context is None:
            return
        self.retry_count = 0
        self.started_ns = self.finished_ns = None
        self.restored = False
        self.turn = self.place = None
        self._status = TypeStatus.NOT_STARTED
        self._duration = self._errors = None
        self._previous_context = self._current_context = None

    def apart(self) -> Task:
        """What became of it, for another process: a copy that can be pickled whatever it held.

        It has neither Config nor callback nor contexts, and its step is a description.
        """
        wid, step = self.workflow_id, self.step
        copied = Task.__new__(Task)
        vars(copied).update(
            {name: getattr(self, name) for name in TOLD}, config=None, reports=False
        )
        copied.workflow_id = wid if type(wid) in (int, str) else str(wid)
        copied._step = StepView(step.name, step.retry, step.timeout, tuple(step.source))
        return copied

    def schema(self, max: int | None = None) -> SerializerTask:  # noqa: A002 - the contract's name
        """The task as a pydantic model.

        Args:
            max: How many characters the model's JSON may have; None for no limit.
        """
        # Here, for pydantic's models are slow to make, and few runs need them.
        from dotflow.core.serializers.task import SerializerTask

        return SerializerTask.of(self, max=max)

    def result(self, max: int | None = None) -> dict[str, Any]:  # noqa: A002
        """The task as a dict of JSON values.

        Args:
            max: How many characters the JSON may have; None for no limit.
        """
        return self.schema(max=max).result()


know_names(Task, (
    *TOLD, "config", "workflow_id", "_step", "_callback", "_initial_context", "_previous_context",
    "_current_context", "turn",
))  # fmt: skip


class TaskBuilder:
    """The tasks of a workflow: `DotFlow.task` is one.

    Args:
        config: The Config of the workflow.
        workflow_id: The id of the workflow.
        initial_task_id: The number of the first task.
        workflow_name: The name of the workflow in `result()`.
        given_name: The name that the workflow was given, or None.
    """

    def __init__(
        self,
        config: Config,
        workflow_id: str | UUID | None = None,
        initial_task_id: int = INITIAL_TASK_ID,
        workflow_name: str | None = None,
        given_name: str | None = None,
    ) -> None:
        self.queue: list[Task] = []
        self._given_name = given_name
        self.workflow_id = workflow_id
        self.workflow_name = workflow_name
        self.config = config
        self._next_id = initial_task_id

    def add(
        self,
        step: Any,
        callback: Any = basic_callback,
        initial_context: Any = None,
        group_name: str = "default",
    ) -> TaskBuilder:
        """Add a task for a step, or one for each of a list of steps, and return this builder.

        If one step is refused, no task is added.

        Args:
            step: An action, its import string, or a list of these (lists may nest).
            callback: Called as `callback(task=task)` when the task has ended.
            initial_context: Any value for the step.
            group_name: The group of the task, for mode "sequential_group".

        Raises:
            MissingActionDecorator: A step is not under `@action`.
            UnknownParameter: A step has a parameter for which a run passes nothing.
            NotCallableObject: The callback cannot be called.
            ImportModuleError: An import string leads to no object.
        """
        steps = [resolve_step(one) for one in flat(step)]
        if callback is not basic_callback:
            callback = resolve_callback(callback)
        for one in steps:
            task = Task(
                task_id=self._next_id,
                step=one,
                callback=callback,
                initial_context=initial_context,
                workflow_id=self.workflow_id,
                config=self.config,
                group_name=group_name,
                workflow_name=self._given_name,
            )
            self._next_id += 1
            self.queue.append(task)
        return self

    def count(self) -> int:
        """How many tasks are in the queue."""
        return len(self.queue)

    def clear(self) -> None:
        """Empty the queue; numbers go on where they were."""
        self.queue.clear()

    def reverse(self) -> None:
        """Turn the queue round; every task keeps its number."""
        self.queue.reverse()

    def schema(self) -> SerializerWorkflow:
        """The workflow as a pydantic model."""
        from dotflow.core.serializers.workflow import SerializerWorkflow

        return SerializerWorkflow(
            workflow_id=self.workflow_id,
            workflow_name=self.workflow_name,
            tasks=[task.schema() for task in self.queue],
        )

    def result(self) -> dict[str, Any]:
        """The workflow as a dict of JSON values."""
        return self.schema().result()
