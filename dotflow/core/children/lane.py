"""A lane of child processes."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import time
from typing import TYPE_CHECKING, Any

from dotflow.abc.facts import AttemptBegan, AttemptEnded, Retried
from dotflow.core import interrupt, rehearsal
from dotflow.core.children import child
from dotflow.core.children.failures import failure_of_death, failure_of_start
from dotflow.core.children.result import Reading, apart
from dotflow.core.children.start_method import (
    CHILD_NAME,
    FORK,
    parenthood,
    start_method_of,
)
from dotflow.core.children.wire import (
    AttemptCarrier,
    Job,
    Load,
    Outcome,
    Ready,
    Said,
    Unsendable,
    known_here,
    load_of,
    pickling_failure,
    server_class_for,
)
from dotflow.core.exception import Interrupted
from dotflow.core.lane import Lane
from dotflow.core.reporter import TaskReporter
from dotflow.core.task_error import TaskError
from dotflow.logging import logger

if TYPE_CHECKING:
    from collections.abc import Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

    from dotflow.core.context import Context
    from dotflow.core.task import Task

REAP_WAIT = 0.5
"""Seconds to wait for children that have told their last outcome: they may still flush spans."""


class ProcessLane(Lane):
    """Tasks that run one after another in one child process, seen from the parent.

    Args:
        tasks: The tasks, in order.
        workflow_id: The id of the run.
        ignore: Go on after a failed task.
        resume: Restore tasks that have a checkpoint.
        start_method: How the process comes to be; without one as the settings say.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        workflow_id: Any,
        ignore: bool,
        resume: bool = False,
        start_method: str | None = None,
    ) -> None:
        super().__init__(tasks, workflow_id, ignore, resume)
        self.connection: Connection | None = None
        self._start_method = start_method_of(start_method)
        self._is_forked = self._start_method == FORK
        self._process: BaseProcess | None = None
        self._leaving: list[BaseProcess] = []
        self._is_up = False  # whether the process has come as far as to ask for a task
        self._is_replaced = False  # whether it is the second one, for the first did not
        self._load: Load | None = None  # of the task that is begun next
        self.reading: Reading | None = None  # of a result; until then the child is not heard
        self._maker: BaseProcess | None = None  # the process that made the last result, and has it

    @property
    def is_gone(self) -> bool:
        """Whether the child has ended without being let go."""
        if self._process is None or self.reading is not None:
            return False
        return not self._process.is_alive()

    @property
    def waitables(self) -> list[Any]:
        """What becomes ready when the child has something to tell, or is gone."""
        if self._process is None or self.connection is None or self.reading is not None:
            return []
        return [self.connection, self._process.sentinel]

    def handle(self) -> bool:
        """Take what the child has told; return whether its task is still under way."""
        return self._hear() if self.reading is None else self._read(self.reading)

    def _hear(self) -> bool:
        assert self.connection is not None  # noqa: S101 - the lane is one that waits
        if not self.connection.poll():
            # Gone, though a process of its own may hold its end of the connection open.
            return self._replace()
        try:
            payload = self.connection.recv_bytes()
        except (EOFError, OSError):  # at the end of what was sent, or in the middle of it
            return self._replace()
        try:
            said, result = apart(payload)
        except Exception as error:  # noqa: BLE001 - nothing that our child said
            name = self.tasks[self._index].step.name
            what = f"the end of step {name!r} cannot be read in the parent process"
            self._end(None, pickling_failure(what, error), None)
            return False
        if not self._is_own(said):
            return True
        if isinstance(said.what, Outcome) and result:
            self.reading = Reading(said.what, result, self.tasks[self._index].step.name)
            return self._read(self.reading)
        return self._take(said.what)

    def _read(self, reading: Reading) -> bool:
        """Take the outcome whose result is being read; return whether that goes on."""
        if not reading.is_over:
            return True
        self.reading = None
        return self._take(reading.outcome())

    def _is_own(self, said: Said) -> bool:
        """Whether it is the word of the lane's process about its job, not of a copy of either."""
        assert self._process is not None  # noqa: S101 - it is heard
        if said.process != self._process.pid:
            return False
        return said.job == (None if isinstance(said.what, Ready) else self._index)

    def _replace(self) -> bool:
        """Start another child, once, for one that died as it was forked; else its task failed.

        What crashes there is no work of the task's: libraries have handlers of their own for a fork
        (gRPC has), which run before ours.
        """
        failure = self._death()
        if not self._is_forked or self._is_up or self._is_replaced:
            self._end(None, failure, None)
            return False
        self._is_replaced = True
        logger.warning("%s: another one is started.", failure.message)
        try:
            self._start_process()
        except Exception as error:  # noqa: BLE001 - no process is to be had
            self._end(None, self._start_failure(error), None)
            return False
        return True

    def _take(self, what: AttemptBegan | AttemptEnded | Retried | Ready | Outcome) -> bool:
        assert self._reporter is not None  # noqa: S101 - a task was launched
        if isinstance(what, Ready):
            self._is_up = True
            return self._begin(self._reporter.task)
        if isinstance(what, Outcome):
            known_here(what.failure)
            if what.last:
                self.finish()
            reporter = self._reporter
            self._end(what.context, what.failure, what.finished_ns, what.kind)
            if what.callback_error is not None:
                reporter.count_callback(what.callback_error)
            return False
        if isinstance(what, (AttemptEnded, Retried)):
            known_here(what.error)  # type: ignore[arg-type] # as the child made it
        self._reporter.take(what)
        if isinstance(what, AttemptBegan) and (carrier := self._carrier()):
            self._send(AttemptCarrier(what.attempt, carrier))
        return True

    def finish(self) -> None:
        """Let the child go; it ends by itself when nobody talks to it any more."""
        if self.connection is not None:
            self._send(None)  # others may hold copies of this end
            self.connection.close()
            self.connection = None
        if self._process is not None:
            self._leaving.append(self._process)
            self._process = None

    def reap(self, deadline: float = 0.0) -> bool:
        """Wait for the children that were let go; return whether all have ended.

        One that takes longer (a flush to a slow backend) ends by itself: the run does not wait.

        Args:
            deadline: A time of the monotonic clock.
        """
        for process in self._leaving:
            process.join(max(0.0, deadline - time.monotonic()))
        ended = [process for process in self._leaving if not process.is_alive()]
        for process in ended:
            self._leaving.remove(process)
            process.close()
        return not self._leaving

    def dismiss(self) -> None:
        """Kill the children that were let go and are still there."""
        for process in self._leaving:
            process.kill()

    def abort(self, error: BaseException) -> None:
        """Kill the child, and report its task as failed."""
        if self._process is not None:
            self._process.kill()
        self.finish()
        self.reading = None
        if self._reporter is not None and self._has_begun:
            if isinstance(error, Interrupted):  # where the parent was says nothing of the step
                error = Interrupted(error.number)
            self._end(None, TaskError(error), None)

    def _launch(self, task: Task) -> bool:
        """See to a child for a task, and begin it there; False where that failed, and the task."""
        task.workflow_id = self._workflow_id
        task.previous_context = self._previous
        self._reporter = TaskReporter(task)
        try:
            is_there = self._process is not None and self._process.is_alive()
            has_previous = is_there and self._maker is self._process
            self._load = load_of(task, self._is_forked, has_previous)
            if is_there:
                return self._begin(task)
            # The task begins when the child is ready: the milliseconds until then are no step's.
            self._is_replaced = False
            self._start_process()
        except Unsendable as error:
            self._end(None, error.failure, None)
            return False
        except Exception as error:  # noqa: BLE001 - no process is to be had
            self._end(None, self._start_failure(error), None)
            return False
        return True

    def _begin(self, task: Task) -> bool:
        """Report the start of a task and send it to the child; False where that cannot be."""
        assert self._reporter is not None  # noqa: S101 - the task was launched
        self._reporter.start()
        self._has_begun = True
        carrier, first_attempt = self._carrier(), None
        if task.step.retry > 1:
            began = AttemptBegan(0, task.task_id, 1, task.started_ns or time.time_ns())
            self._reporter.take(began)
            first_attempt = self._carrier()
        load, self._load = self._load, None
        assert load is not None  # noqa: S101 - the task was launched
        job = Job(
            self._index, task.step.name, load, task.started_ns, carrier, first_attempt,
            rehearsal.skips_delays,
        )  # fmt: skip
        try:
            self._send(job)
        except Exception:  # noqa: BLE001 - a provider's carrier, for the rest is pickled already
            self._send(job._replace(carrier={}, first_attempt=None))
        return True

    def _start_process(self) -> None:
        self.finish()
        self.reap()
        self._is_up = False
        context: Any = multiprocessing.get_context(self._start_method)
        ours, theirs = context.Pipe()
        for end in (ours, theirs):  # gevent's sockets do not, and connections know no other kind
            os.set_blocking(end.fileno(), True)
        child.parent_ends.add(ours)
        process = context.Process(
            target=child.serve_under_lead if interrupt.is_used() else child.serve,
            args=(
                theirs, self.tasks if self._is_forked else [], self._workflow_id,
                server_class_for(self.tasks[0].config, self._is_forked),
            ),
            name=f"{CHILD_NAME}{self.tasks[self._index].step.name}",
        )  # fmt: skip
        with parenthood(process):
            process.start()
        theirs.close()
        self.connection, self._process = ours, process

    def _start_failure(self, error: Exception) -> TaskError:
        return failure_of_start(self.tasks[self._index], error, self._is_forked)

    def _send(self, message: Any) -> None:
        assert self.connection is not None  # noqa: S101 - a process was started
        # Where the child is gone, whoever reads its end of the story will say so.
        with contextlib.suppress(OSError):
            self.connection.send(message)

    def _restored(self) -> None:
        self._maker = None

    def _end(
        self,
        context: Context | None,
        failure: TaskError | None,
        finished_ns: int | None,
        kind: str = "",
    ) -> None:
        super()._end(context, failure, finished_ns, kind)
        self._maker = None if context is None else self._process

    def _death(self) -> TaskError:
        """See to a child that ended without a word."""
        assert self._process is not None  # noqa: S101 - it was there to end
        self._process.join(REAP_WAIT)
        code = self._process.exitcode
        self.finish()
        has_a_remedy = not self._is_up and not self._is_forked
        return failure_of_death(self.tasks[self._index], code, has_a_remedy)
