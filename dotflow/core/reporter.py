"""What becomes of a task is written to the Task, kept, and told to its providers, in one place."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from dotflow.abc.facts import (
    AttemptBegan,
    AttemptEnded,
    Retried,
    TaskBegan,
    TaskEnded,
    TaskRestored,
    next_number,
)
from dotflow.core.context import Context
from dotflow.core.exception import ValueNotKept
from dotflow.core.forked import is_ending
from dotflow.core.jsonable import type_name
from dotflow.core.step_matching import forget
from dotflow.core.task_error import TaskError
from dotflow.core.types.status import TypeStatus
from dotflow.utils.basic_functions import basic_function

if TYPE_CHECKING:
    from dotflow.abc.facts import Carrier, TaskFact
    from dotflow.abc.server import Server
    from dotflow.core.config import Config
    from dotflow.core.task import Task

Leave = Callable[[], None]

FINAL = (TypeStatus.COMPLETED, TypeStatus.FAILED)

WHAT_PICKLE_GIVES = "return what pickle gives back as it is"

listeners: dict[int, tuple[Config, Server]] = {}
"""Who is told of a run that is under way, by its number, and whose Server that is: it is asked once
a run. A Server that is silent is asked for each task, for a hook may be put on it meanwhile."""

_last_prefix: tuple[Any, str] = (None, "None-_note-")
"""An id, and how the keys of its notes begin: the text of an id is slow to make."""


class Reporter(Protocol):
    """Takes note of each turn of one task. Times are nanoseconds since the epoch."""

    def start(self) -> None:
        """The task begins."""

    def activate(self) -> Leave | None:
        """Make the task's span current in this thread; return what undoes it, if anything does."""

    def start_attempt(self, attempt: int, time_ns: int) -> Leave | None:
        """A try begins; make its span current in this thread and return what undoes it."""

    def end_attempt(self, attempt: int, failure: TaskError | None, time_ns: int) -> None:
        """That try ended, with the error or None."""

    def retry(self, failure: TaskError, time_ns: int) -> None:
        """The task failed an attempt and will be tried again."""

    def end(self, failure: TaskError | None, finished_ns: int | None) -> None:
        """The task ended (now, if it is not said when), with the error that failed it or None."""

    def callback_raised(self, error: BaseException) -> None:
        """The task's callback raised, which changes nothing for the task."""

    def conclude(self, error: BaseException) -> None:
        """An exception came between a report and its end: see that the task has ended."""


class TaskReporter:
    """Reports in the process that called `start()`: statuses, hooks, storage.

    Args:
        task: The task that is reported.
    """

    __slots__ = ("_began", "_has_told", "_in_doubt", "_server", "_tells", "task")

    def __init__(self, task: Task) -> None:
        self.task = task
        run = task.run
        config = task.config
        known = listeners.get(run)
        listener = known[1] if known and known[0] is config else config.listener(run)
        self._server = config.server if listener is None else listener
        self._tells = listener is not None
        self._in_doubt: TaskFact | None = None
        self._has_told = False
        self._began: int | None = None

    def _tell(self, fact: TaskFact) -> None:
        # An interrupt may come between the telling and its end: `conclude` then tells it again.
        self._in_doubt = fact
        try:
            self._server.happened(fact, self.task)
        except BaseException as error:  # noqa: BLE001 - a provider's fault is not the work's
            self.task.config.guard.failed(self._server, "happened", error)
        self._has_told = True
        self._in_doubt = None

    def start(self, at_ns: int | None = None) -> None:
        """The task begins, or began then; from here on `Task.turn` is this reporter."""
        task = self.task
        task.turn = self
        if at_ns is not None:  # a tracer that is told late has a true start, too
            task.started_ns = at_ns
        tracer = task.config.tracer
        try:
            if getattr(tracer.start_task, "__func__", None) is not basic_function:
                tracer.start_task(task=task)
        except BaseException as error:  # noqa: BLE001
            task.config.guard.failed(tracer, "start_task", error)
        task.started_ns = at_ns or time.time_ns()
        self._began = time.perf_counter_ns()
        task.status = TypeStatus.IN_PROGRESS
        if self._tells:
            self._tell(TaskBegan(next_number(), task.task_id, task.started_ns))

    def _now_ns(self) -> int:
        """Nanoseconds since the epoch: no less than have passed since the start.

        The clock may have been set back, and the one that nobody sets stands still while the
        machine sleeps.
        """
        began, started = self._began, self.task.started_ns
        if began is None or started is None:
            return time.time_ns()
        return max(time.time_ns(), started + time.perf_counter_ns() - began)

    def activate(self) -> Leave | None:
        """Make the task's span current in this thread; return what undoes it, if anything does."""
        config = self.task.config
        if config.tracer.activates:
            return self._activate_both(config)
        if not self._tells:
            return None
        server = self._server
        # Called as it is, in a `try` of its own: this is the way of every task.
        try:
            manager = server.activate(self.task)
            if manager is None:
                return None
            manager.__enter__()
        except BaseException as error:  # noqa: BLE001 - a provider's fault is not the work's
            config.guard.failed(server, "activate", error)
            return None

        def leave() -> None:
            try:
                manager.__exit__(None, None, None)
            except BaseException as error:  # noqa: BLE001
                config.guard.failed(server, "activate", error)

        return leave

    def _activate_both(self, config: Config) -> Leave:
        """The same where the Tracer has a span too: that of the Server is the inner one."""
        outer = config.guard.enter(config.tracer, "activate", self.task)
        if not self._tells:
            return outer
        inner = config.guard.enter(self._server, "activate", self.task)

        def leave() -> None:
            inner()
            outer()

        return leave

    def take(self, fact: AttemptBegan | AttemptEnded | Retried) -> None:
        """Write down and tell a fact about a try, perhaps one of another process."""
        if isinstance(fact, Retried):
            task = self.task
            task.retry_count = fact.retry_count
            task.errors = fact.error
            task.status = TypeStatus.RETRY
        if self._tells:
            self._tell(fact._replace(n=next_number()))

    def start_attempt(self, attempt: int, time_ns: int) -> Leave | None:
        """A try begins; make its span current in this thread and return what undoes it."""
        self.take(AttemptBegan(0, self.task.task_id, attempt, time_ns))
        return self.activate()

    def end_attempt(self, attempt: int, failure: TaskError | None, time_ns: int) -> None:
        """That try ended, with the error or None."""
        self.take(AttemptEnded(0, self.task.task_id, attempt, time_ns, failure))

    def retry(self, failure: TaskError, time_ns: int) -> None:
        """The task failed an attempt and will be tried again."""
        task = self.task
        self.take(Retried(0, task.task_id, time_ns, task.retry_count + 1, failure))

    def end(self, failure: TaskError | None, finished_ns: int | None) -> None:
        """The task ended (now, if it is not said when), with the error that failed it or None.

        Raises:
            Exception: What the storage raised, after all was reported.
        """
        task = self.task
        if finished_ns is None or finished_ns < (task.started_ns or 0):
            finished_ns = self._now_ns()
        task.finish(finished_ns)
        storage_error = None
        if failure is not None:
            storage_error = self._fail(failure)
        elif task.status in (TypeStatus.IN_PROGRESS, TypeStatus.RETRY):
            task.status = TypeStatus.COMPLETED
        self._tell_end(failure)
        if storage_error is not None:
            raise storage_error

    def callback_raised(self, error: BaseException) -> None:
        """Count that the task's callback raised."""
        self.count_callback(TaskError(error))

    def count_callback(self, failure: TaskError) -> None:
        """Count that the task's callback raised, perhaps in another process."""
        guard, name = self.task.config.guard, self.task.step.name
        guard.raised(f"{name}.callback", traceback=failure.traceback)

    def conclude(self, error: BaseException) -> None:
        """End the task, wherever its report was interrupted; nothing is told under two numbers.

        Args:
            error: What interrupted it.
        """
        task, fact = self.task, self._in_doubt
        if task.turn is None:
            return
        if fact is not None:
            self._tell(fact)
        elif self._tells and not self._has_told:
            task.started_ns = task.started_ns or time.time_ns()
            self._tell(TaskBegan(next_number(), task.task_id, task.started_ns))
        if isinstance(fact, TaskEnded):
            task.turn = None
        elif task.status not in FINAL:
            self.end(TaskError(error), None)
        else:
            if task.finished_ns is None:
                task.finish(self._now_ns())
            failed = task.status == TypeStatus.FAILED
            self._tell_end(task.errors[-1] if failed and task.errors else None)

    def _tell_end(self, failure: TaskError | None) -> None:
        task = self.task
        tracer = task.config.tracer
        try:
            if getattr(tracer.end_task, "__func__", None) is not basic_function:
                tracer.end_task(task=task)
        except BaseException as error:  # noqa: BLE001
            task.config.guard.failed(tracer, "end_task", error)
        if self._tells:
            self._tell_ended(task, failure)
        task.turn = None

    def _tell_ended(self, task: Task, failure: TaskError | None) -> None:
        fact = TaskEnded(
            next_number(), task.task_id, task.finished_ns or 0, task.duration or 0.0, task.status,
            task.retry_count, failure,
        )  # fmt: skip
        self._in_doubt = fact
        try:
            self._server.happened(fact, task)
        except BaseException as error:  # noqa: BLE001
            task.config.guard.failed(self._server, "happened", error)

    def _fail(self, failure: TaskError) -> BaseException | None:
        task = self.task
        task.errors = failure
        storage_error: BaseException | None = None
        try:
            task.current_context = None
        except BaseException as error:
            if is_ending(error):
                raise
            storage_error = error  # raised by end(), once the end is reported
        task.status = TypeStatus.FAILED
        return storage_error

    def restore(self, note: Carrier | None = None) -> None:
        """The task's result came from a checkpoint.

        Args:
            note: What the Server had noted of it when it was kept.
        """
        task = self.task
        task.restored = True
        task.status = TypeStatus.COMPLETED
        if self._tells:
            self._tell(TaskRestored(next_number(), task.task_id, time.time_ns(), note))


def keep(task: Task, result: Any, kind: str = "") -> None:
    """Keep the result of a task, and what its Server notes of it.

    The note first: a process that is killed between the two leaves a note without a result, which
    nobody reads, and no result without its note.

    A value that the storage cannot keep is said and counted, and goes on to the next step.

    Args:
        task: The task.
        result: What its step returned, or a Context that holds it.
        kind: The name of the type that it had in a child process.

    Raises:
        Exception: What else the storage raised when the result was kept.
    """
    if type(result) is not Context:
        result = Context.of_task(result, task.task_id, task.workflow_id)
    # Nothing is restored from an empty result.
    if task.reports and task.config.server.keeps_notes is True and result.storage is not None:
        workflow_id, (known, prefix) = task.workflow_id, _last_prefix
        if known is not workflow_id:
            prefix = _prefix_of(workflow_id)
        keep_note(task.config, f"{prefix}{task.task_id}", workflow_id, task)
    try:
        if kind:
            _check_kind(task, result, kind)
        task.keep(result)
    except ValueNotKept as error:
        forget(task)  # what an earlier run has kept there is not this result
        storage = task.config.storage
        task.config.guard.lost(
            storage, "post", f"Task {task.task_id} ({task.step.name!r}) of workflow "
            f"{task.workflow_id}: {error} The next step has the value; a resumed run runs the step "
            "again.",
        )  # fmt: skip


def _prefix_of(workflow_id: Any) -> str:
    """How the keys of the notes of a run's tasks begin; the next task has the same one."""
    global _last_prefix  # noqa: PLW0603 - one tuple, which any thread may replace
    from uuid import UUID  # here, once a run, for it is slow to load

    prefix = f"{workflow_id}-_note-"
    if isinstance(workflow_id, (UUID, str)):  # whose text stays the same
        _last_prefix = (workflow_id, prefix)
    return prefix


def _check_kind(task: Task, result: Context, kind: str) -> None:
    """Raise ValueNotKept if a result is of another type than in the process that it came from."""
    here = type_name(result.storage)
    if here != kind:
        task.adopt(result)
        raise ValueNotKept(kind, f"is of type {here} once it was pickled", WHAT_PICKLE_GIVES)


def keep_note(config: Config, key: str, workflow_id: Any, task: Task | None = None) -> None:
    """Keep what the Server notes of a run, or of a task; a note that fails costs itself."""
    # Called as they are, each in a `try` of its own: this is the way of every task.
    server, storage = config.server, config.storage
    try:
        note = server.note(workflow_id, task)
        context = Context.of_task(dict(note), 0, None) if note else None
    except BaseException as error:  # noqa: BLE001 - a provider's fault is not the work's
        config.guard.failed(server, "note", error)
        return
    if context is not None:
        try:
            storage.post(key=key, context=context)
        except BaseException as error:  # noqa: BLE001
            config.guard.failed(storage, "post", error)
