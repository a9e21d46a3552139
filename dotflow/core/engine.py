"""TaskEngine: one task, from its start to its end, in the process that runs the step."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from dotflow.core import interrupt
from dotflow.core.checkpoint import keep
from dotflow.core.reporter import Reporter, Stopwatch, TaskReporter
from dotflow.core.task_error import ERROR_TYPE, TaskError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from dotflow.core.context import Context
    from dotflow.core.task import Task


class TaskEngine:
    """Runs one task: `with engine.start(): engine.execute_with_retry()`.

    Args:
        task: The task.
        workflow_id: The id of the run.
        previous_context: The result of the task before.
        reporter: What takes note of each turn; by default the task's providers are told.
    """

    def __init__(
        self,
        task: Task,
        workflow_id: str | UUID | None,
        previous_context: Context | None = None,
        reporter: Reporter | None = None,
    ) -> None:
        self.task = task
        self.workflow_id = workflow_id
        self.previous_context = previous_context
        self._reporter = reporter or TaskReporter(task)
        self._attempts = max(1, task.step.retry)
        self._failure: tuple[BaseException, TaskError] | None = None
        self._storage_error: Exception | None = None
        self._watch: Stopwatch

    @contextmanager
    def start(self) -> Iterator[TaskEngine]:
        """Report the start; on leaving, report how the task ended.

        An exception of the step fails the task and goes no further. One that is no `Exception`
        (KeyboardInterrupt, SystemExit) fails the task and goes on.

        Raises:
            Exception: What the storage raised when the outcome was kept.
        """
        self.task.workflow_id = self.workflow_id
        self.task.previous_context = self.previous_context
        self._reporter.start()
        watch = self._watch = Stopwatch()
        try:
            yield self
        except BaseException as error:
            self._reporter.end(self._failure_of(error), watch.now_ns())
            if not isinstance(error, Exception) or error is self._storage_error:
                raise
        else:
            self._reporter.end(None, watch.now_ns())

    def execute(self) -> None:
        """Run the step once, without limit or retry, and keep its result."""
        leave = self._reporter.activate()
        try:
            result = self._step()
        finally:
            leave()
        self._keep(result)

    def execute_with_retry(self) -> None:
        """Run the step until an attempt succeeds or none is left, and keep its result."""
        step = self.task.step
        delay = step.retry_delay
        for attempt in range(1, self._attempts + 1):
            try:
                result = self._attempt(attempt)
            except Exception as error:  # noqa: PERF203 - that is what an attempt is
                if attempt == self._attempts:
                    raise
                self._reporter.retry(self._failure_of(error))
                interrupt.sleep(delay)
                delay *= 2 if step.backoff else 1
            else:
                # Not within the try: a storage that fails is no reason to do the work again.
                self._keep(result)
                return

    def _keep(self, result: Any) -> None:
        try:
            keep(self.task, result)
        except Exception as error:
            self._storage_error = error
            raise

    def _attempt(self, attempt: int) -> Any:
        if self._attempts == 1:
            leave = self._reporter.activate()
            try:
                return self._step_in_time()
            finally:
                leave()
        watch = self._watch
        leave = self._reporter.start_attempt(attempt, watch.now_ns())
        try:
            result = self._step_in_time()
        except BaseException as error:
            ended = watch.now_ns()
            leave()
            failure = TaskError(error, attempt if attempt < self._attempts else None)
            self._failure = (error, failure)
            self._reporter.end_attempt(attempt, failure, ended)
            raise
        ended = watch.now_ns()
        leave()
        self._reporter.end_attempt(attempt, None, ended)
        return result

    def _failure_of(self, error: BaseException) -> TaskError:
        """The TaskError of an exception, the same one where its attempt was reported already."""
        if self._failure is not None and self._failure[0] is error:
            return self._failure[1]
        return TaskError(error)

    def _step(self) -> Any:
        task = self.task
        with interrupt.window():
            return task.step(
                initial_context=task.initial_context,
                previous_context=task.previous_context,
                task=task,
            )

    def _step_in_time(self) -> Any:
        timeout = self.task.step.timeout
        if timeout or interrupt.is_out_of_reach():
            return self._step_with_limit(timeout or None)
        return self._step()

    def _step_with_limit(self, timeout: float | None) -> Any:
        """Run the step in a thread and stop waiting for it when its time, or the run, is over.

        A thread cannot be stopped. It is a daemon, so that the interpreter's exit does not wait
        for it, and what it still does has no effect on the task.
        """
        outcome: list[Any] = []
        raised: list[BaseException] = []

        def run() -> None:
            try:
                outcome.append(self._step())
            except BaseException as error:  # noqa: BLE001 - raised again in the engine's thread
                raised.append(error)

        thread = threading.Thread(
            target=copy_context().run, args=(run,), name=f"dotflow-{self.task.step.name}",
            daemon=True,
        )  # fmt: skip
        thread.start()
        interrupt.join(thread, timeout)
        if raised:
            raise raised[0]
        if not outcome:
            error = TimeoutError(f"timed out after {timeout:g} s")
            setattr(error, ERROR_TYPE, "timeout")
            raise error
        return outcome[0]
