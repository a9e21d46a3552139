"""A lane whose tasks run on an executor."""

from __future__ import annotations

import time
from abc import abstractmethod
from concurrent.futures import CancelledError, Future
from typing import TYPE_CHECKING, Any

from dotflow.abc.executor import Place
from dotflow.abc.facts import AttemptBegan
from dotflow.core.children.wire import Outcome, Unsendable
from dotflow.core.lane import Lane
from dotflow.core.remote import failures
from dotflow.core.remote.beginnings import Beginning
from dotflow.core.reporter import TaskReporter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dotflow.abc.executor import TaskExecutor
    from dotflow.core.children.result import Reading
    from dotflow.core.context import Context
    from dotflow.core.remote.flights import Flight, Flights
    from dotflow.core.task import Task
    from dotflow.core.task_error import TaskError


class RemoteLane(Lane):
    """Tasks that run one after another on an executor, seen from the process that reports.

    Args:
        tasks: The tasks, in order.
        workflow_id: The id of the run.
        ignore: Go on after a failed task.
        resume: Restore tasks that have a checkpoint.
        executor: What runs them.
        flights: What numbers and hears them.

    Attributes:
        flight: That of the task under way; None between two.
        reading: Of a result, which may take its time; None where there is none.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        workflow_id: Any,
        ignore: bool,
        resume: bool,
        executor: TaskExecutor,
        flights: Flights,
    ) -> None:
        super().__init__(tasks, workflow_id, ignore, resume)
        self.flight: Flight | None = None
        self.reading: Reading | None = None
        self._executor = executor
        self._flights = flights

    @property
    def _task(self) -> Task:
        return self.tasks[self._index]

    def hear(self, flight: Flight, what: Any) -> bool:
        """Take what was told of a flight; return whether the lane's task is still under way."""
        if flight is not self.flight:  # of one that is over
            return True
        if isinstance(what, Future):
            return self._land(flight, what)
        if isinstance(what, Beginning):
            self._begin(flight, what)
        else:
            self._take(what)
        return True

    def read(self) -> bool:
        """Take the outcome whose result is being read; return whether that goes on."""
        return self.reading is not None

    def withdraw(self) -> bool:
        """Take back a task that has not begun; whether it never will."""
        flight = self.flight
        if flight is None or flight.future is None or flight.beginning is not None:
            return False
        if not self._ask("cancel", flight.future):
            return False
        self._leave(flight)
        self._reporter = None
        return True

    def abort(self, error: BaseException, is_killed: bool) -> None:
        """Wait for the task no more, and report what is known of it.

        Args:
            error: What ends the run.
            is_killed: Whether its worker was ended too.
        """
        flight = self.flight
        if flight is None:
            return
        is_in_doubt = not self._has_begun and self._task.turn is not None
        if is_in_doubt or not flight.submitted_ns:  # the error came in its report, or before
            self._leave(flight)
            return
        if flight.beginning is not None:
            self._begin(flight, flight.beginning)
        self._tell_attempts(flight)
        self._leave(flight)
        self._end(None, failures.of_abort(error, is_killed), None)

    def kill(self) -> bool:
        """End all workers; whether nothing runs any more."""
        return bool(self._ask("kill"))

    def finish(self) -> None:
        """Nothing: the executor is of whoever made it."""

    @abstractmethod
    def _work(self, task: Task, flight: Flight) -> tuple[Callable[[Any], Any], Any]:
        """What the executor is to call, and with what.

        Raises:
            Unsendable: The task cannot go there.
        """

    @abstractmethod
    def _arrive(self, flight: Flight, said: Any) -> bool:
        """Take what the call returned; return whether the task is still under way."""

    def _take(self, fact: Any) -> None:
        """Report a fact of a try."""
        assert self._reporter is not None  # noqa: S101 - a task is under way
        self._reporter.take(fact)

    def _launch(self, task: Task) -> bool:
        """Give a task to the executor; False where that failed, and the task with it."""
        task.workflow_id = self._workflow_id
        task.previous_context = self._previous
        self._reporter = TaskReporter(task)
        self.flight = flight = self._flights.next(self)
        try:
            call, job = self._work(task, flight)
            flight.submitted_ns = time.time_ns()
            future = self._executor.submit(call, job, task.step.name, flight.started)
            failures.check_future(future)
        except Unsendable as error:
            return self._over(flight, None, error.failure)
        except Exception as error:  # noqa: BLE001 - an engine may say no as it likes
            return self._over(flight, None, failures.of_refusal(task, error))
        flight.future = future
        future.add_done_callback(flight.tell)
        return True

    def _begin(self, flight: Flight, beginning: Beginning) -> None:
        """Report that the task began, once."""
        if self._has_begun:
            return
        assert self._reporter is not None  # noqa: S101 - a task is under way
        self._place(flight, beginning)
        # The clock may be another one's, or may have been set back.
        at_ns = min(max(flight.submitted_ns, beginning.at_ns), time.time_ns())
        self._reporter.start(max(flight.submitted_ns, at_ns))
        self._has_begun = True
        flight.is_reported.set()

    def _place(self, flight: Flight, beginning: Beginning) -> None:
        place = Place(beginning.host, beginning.process, flight.submitted_ns)
        self._task.place = place

    def _land(self, flight: Flight, future: Future[Any]) -> bool:
        try:
            said = future.result()
        except BaseException as error:  # noqa: BLE001 - the engine's, or what ended the worker
            return self._crash(flight, error)
        if flight.beginning is not None:  # which is told beside it
            self._begin(flight, flight.beginning)
        self._ask("release", future)
        return self._arrive(flight, said)

    def _crash(self, flight: Flight, error: BaseException) -> bool:
        """End a task whose call did not return."""
        executor, task = self._executor, self._task
        is_lost = self._ask("is_worker_lost", error)
        if is_lost:
            self._flights.catch_up()
        if flight.beginning is not None:
            self._begin(flight, flight.beginning)
        self._tell_attempts(flight)
        if is_lost:
            never_began = self._flights.hears_all(executor) and not self._has_begun
            failure = failures.of_loss(task, error, never_began)
        elif isinstance(error, CancelledError):
            failure = failures.of_cancel(task, error)
        else:
            failure = failures.of_engine(task, error)
        return self._over(flight, None, failure)

    def _ask(self, hook: str, *args: Any) -> Any:
        """What the executor says; None where its adapter raises, which is no fault of the work."""
        return self._task.config.guard.call(self._executor, hook, *args)

    def _tell_attempts(self, flight: Flight) -> None:
        """Report the tries that began, for their ends do not come."""
        for one in flight.attempts if self._has_begun else ():
            at_ns = min(max(self._task.started_ns or 0, one.at_ns), time.time_ns())
            self._take(AttemptBegan(0, self._task.task_id, one.attempt, at_ns))

    def _take_outcome(self, flight: Flight, outcome: Outcome) -> bool:
        reporter = self._reporter
        assert reporter is not None  # noqa: S101 - a task is under way
        self._over(flight, outcome.context, outcome.failure, outcome.finished_ns, outcome.kind)
        if outcome.callback_error is not None:
            reporter.count_callback(outcome.callback_error)
        return False

    def _over(
        self,
        flight: Flight,
        context: Context | None,
        failure: TaskError | None,
        finished_ns: int | None = None,
        kind: str = "",
    ) -> bool:
        """Report the end of a task; it is under way no more."""
        self._leave(flight)
        self._end(context, failure, finished_ns, kind)
        return False

    def _leave(self, flight: Flight) -> None:
        flight.drop()
        self.flight = self.reading = None
