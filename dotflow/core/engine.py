"""TaskEngine: one task, from its start to its end, in the process that runs the step."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from dotflow.core import interrupt, rehearsal
from dotflow.core.action import Action
from dotflow.core.forked import getpid, is_ending, leave_copy
from dotflow.core.reporter import Reporter, TaskReporter, keep
from dotflow.core.step_error import drop_frames
from dotflow.core.task_error import ERROR_TYPE, TaskError
from dotflow.utils.basic_functions import basic_callback

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from uuid import UUID

    from dotflow.core.context import Context
    from dotflow.core.task import Task


class TaskEngine:
    """Runs one task: `with engine.start(): engine.execute_with_retry()`, which is `engine.run()`.

    Args:
        task: The task.
        workflow_id: The id of the run.
        previous_context: The result of the task before.
        reporter: What takes note of each turn; by default the task's providers are told.
    """

    __slots__ = (
        "_attempts", "_began", "_began_ns", "_failure", "_outer", "_process", "_reporter",
        "_storage_error", "previous_context", "task", "workflow_id",
    )  # fmt: skip

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
        self._storage_error: BaseException | None = None
        self._process = getpid()
        self._outer = sys.exc_info()[1]  # which is the context of what the step raises
        self._began_ns = self._began = 0  # by the clock, and by one that nobody sets back

    def run(self) -> None:
        """Run the task from its start to its end, with its callback.

        An exception of the step fails the task and goes no further. One that ends the program
        (KeyboardInterrupt, SystemExit) fails the task and goes on. What the callback raises is
        counted.

        Raises:
            Exception: What the storage raised when the outcome was kept.
        """
        try:
            self._begin()
            self.execute_with_retry()
        except BaseException as error:
            if self._goes_on(error):
                raise
        else:
            self._reporter.end(None, self._now_ns())
        self.call_back()

    def start(self) -> Turn:
        """Report the start; on leaving the context, report how the task ended, as `run()` does."""
        return Turn(self)

    def call_back(self) -> None:
        """Call the task's callback; what it raises is counted, unless that ends the program."""
        callback = self.task.callback
        if callback is basic_callback:
            return
        try:
            with interrupt.window():
                callback(task=self.task)
        except BaseException as error:
            leave_copy(self._process, error)
            if is_ending(error):
                raise
            self._reporter.callback_raised(error)
        leave_copy(self._process)

    def execute(self) -> None:
        """Run the step once, without limit or retry, and keep its result."""
        leave = self._reporter.activate()
        try:
            result = self._alone(is_limited=False)
        finally:
            if leave is not None:
                leave()
        self._keep(result)

    def execute_with_retry(self) -> None:
        """Run the step until an attempt succeeds or none is left, and keep its result."""
        # What keeps is not within a try: a storage that fails is no reason to do the work again.
        self._keep(self._only_attempt() if self._attempts == 1 else self._attempts_in_turn())

    def _begin(self) -> None:
        task = self.task
        task.workflow_id = self.workflow_id
        task.previous_context = self.previous_context
        self._reporter.start()
        # The clock may have been set back since the start was reported.
        self._began_ns = max(time.time_ns(), task.started_ns or 0)
        self._began = time.perf_counter_ns()

    def _goes_on(self, error: BaseException) -> bool:
        """Report that an exception ended the task; return whether it leaves the engine too."""
        if getpid() != self._process:
            return True
        if not self._began:  # it came between the report of the start and its end
            self._reporter.conclude(error)
            return True
        if is_ending(error) or error is self._storage_error:
            self._reporter.end(self._failure_of(error), self._now_ns())
            return True
        self._tell_and_drop(error, self._reporter.end)
        return False

    def _tell_and_drop(self, error: BaseException, tell: Callable[[TaskError, int], None]) -> None:
        """Report an exception that goes no further, while a hook can see where it came from."""
        failure = self._failure_of(error)
        failure.hold(error)
        try:
            tell(failure, self._now_ns())
        finally:
            drop_frames(error, self._outer)

    def _now_ns(self) -> int:
        """Nanoseconds since the epoch: the beginning, and what has passed since."""
        return self._began_ns + time.perf_counter_ns() - self._began

    def _keep(self, result: Any) -> None:
        try:
            keep(self.task, result)
        except BaseException as error:
            self._storage_error = error
            raise

    def _only_attempt(self) -> Any:
        leave = self._reporter.activate()
        try:
            return self._alone()
        finally:
            if leave is not None:
                leave()

    def _attempts_in_turn(self) -> Any:
        step = self.task.step
        delay = step.retry_delay
        attempt = 1
        while True:
            try:
                return self._attempt(attempt)
            except BaseException as error:
                if attempt == self._attempts or is_ending(error):
                    raise
                self._tell_and_drop(error, self._reporter.retry)
            interrupt.sleep(0 if rehearsal.skips_delays else delay)
            delay *= 2 if step.backoff else 1
            attempt += 1

    def _attempt(self, attempt: int) -> Any:
        leave = self._reporter.start_attempt(attempt, self._now_ns())
        failure: TaskError | None = None
        try:
            return self._alone()
        except BaseException as error:
            failure = TaskError(error, attempt if attempt < self._attempts else None)
            self._failure = (error, failure)
            raise
        finally:
            ended = self._now_ns()
            if leave is not None:
                leave()
            if getpid() == self._process:
                self._reporter.end_attempt(attempt, failure, ended)

    def _failure_of(self, error: BaseException) -> TaskError:
        """The TaskError of an exception, the same one where its attempt was reported already."""
        if self._failure is not None and self._failure[0] is error:
            return self._failure[1]
        return TaskError(error)

    def _alone(self, is_limited: bool = True) -> Any:
        """What the step returns; a copy of this process that a fork in it made goes no further.

        Args:
            is_limited: Whether its time is limited.
        """
        step = self.task.step
        # No function is called to ask for what few runs have.
        is_used = interrupt.current is not None or interrupt.own.get() is not None
        try:
            if (is_limited and step.timeout) or is_used:
                result = self._in_window(step, is_limited)
            else:
                result = self._call_step(step)
        except BaseException as error:
            leave_copy(self._process, error)
            raise
        if getpid() != self._process:
            leave_copy(self._process)
        return result

    def _in_window(self, step: Any, is_limited: bool) -> Any:
        """What the step returns, which an interrupt may end, or its time."""

        def work() -> Any:
            with interrupt.window():
                return self._call_step(step)

        if is_limited and (step.timeout or interrupt.leaves_thread()):
            return _with_limit(work, step.timeout or None, step.name)
        return work()

    def _call_step(self, step: Any) -> Any:
        task = self.task
        if isinstance(step, Action):
            return step.run_for(task)
        return step(
            initial_context=task.initial_context, previous_context=task.previous_context, task=task
        )


class Turn:
    """The context within which a task's step runs: reports the start, and how it ended."""

    def __init__(self, engine: TaskEngine) -> None:
        self._engine = engine

    def __enter__(self) -> TaskEngine:
        """Report the start."""
        self._engine._begin()
        return self._engine

    def __exit__(
        self, _cls: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> bool:
        """Report the end; an exception of the step goes no further."""
        if error is not None:
            return not self._engine._goes_on(error)
        self._engine._reporter.end(None, self._engine._now_ns())
        return False


def _with_limit(step: Callable[[], Any], timeout: float | None, name: str) -> Any:
    """Run a step in a thread and stop waiting for it when its time, or the run, is over.

    A thread cannot be stopped. It is a daemon, so that the interpreter's exit does not wait for
    it, and what it still does has no effect on the task.
    """
    # Here, for most steps have no limit.
    import threading
    from contextvars import copy_context

    from dotflow.core.threads import is_begun

    outcome: list[Any] = []
    raised: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(step())
        except BaseException as error:  # noqa: BLE001 - raised again in the engine's thread
            raised.append(error)

    thread = threading.Thread(
        target=copy_context().run, args=(run,), name=f"dotflow-{name}", daemon=True
    )
    if is_begun(thread):
        interrupt.join(thread, timeout)
    else:  # in an exit handler: better without a limit than not at all
        run()
    if raised:
        raise raised[0]
    if not outcome:
        error = TimeoutError(f"timed out after {timeout:g} s")
        setattr(error, ERROR_TYPE, "timeout")
        raise error
    return outcome[0]
