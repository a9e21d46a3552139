"""The two kinds of lanes: steps in threads of this process, and steps in other processes."""

from __future__ import annotations

import pickle
import time
from typing import TYPE_CHECKING, Any

from dotflow.abc.facts import AttemptBegan, AttemptEnded, Retried
from dotflow.core import rehearsal
from dotflow.core.children.result import Reading, apart
from dotflow.core.children.wire import known_here, pickling_failure, server_class_for
from dotflow.core.remote import packing
from dotflow.core.remote.clock import Fitted
from dotflow.core.remote.here import LocalJob, Told, run_here
from dotflow.core.remote.job import Answer, RemoteJob, run_packed
from dotflow.core.remote.lane import RemoteLane

if TYPE_CHECKING:
    from collections.abc import Callable

    from dotflow.core.children.wire import Outcome
    from dotflow.core.remote.beginnings import Beginning
    from dotflow.core.remote.flights import Flight
    from dotflow.core.task import Task


class LocalLane(RemoteLane):
    """Steps run in threads: nothing is pickled, and each turn is told as it comes."""

    def _work(self, task: Task, flight: Flight) -> tuple[Callable[[Any], Any], Any]:
        assert self._reporter is not None  # noqa: S101 - a task is launched
        return run_here, LocalJob.of(
            task, self._workflow_id, flight, self._reporter, self._executor
        )

    def _take(self, fact: Any) -> None:
        super()._take(fact.fact if isinstance(fact, Told) else fact)
        if isinstance(fact, Told):
            fact.reported.set()

    def _arrive(self, flight: Flight, said: Outcome) -> bool:
        return self._take_outcome(flight, said)


class PackedLane(RemoteLane):
    """Steps run in other processes, from which all comes back with their ends."""

    _answer: Answer | None = None

    def _work(self, task: Task, flight: Flight) -> tuple[Callable[[Any], Any], Any]:
        knows_main, attempts = self._executor.knows_main, max(1, task.step.retry)
        load = packing.load_of(task, knows_main)
        server = pickle.dumps(server_class_for(task.config, is_forked=False), packing.PROTOCOL)
        job = RemoteJob(
            task.step.name, load, self._workflow_id, server,
            self._have("reserve", task, attempts) or (), flight.number, self._flights.fifo,
            knows_main, rehearsal.skips_delays,
        )  # fmt: skip
        try:
            return run_packed, pickle.dumps(job, packing.PROTOCOL)
        except Exception:  # noqa: BLE001 - a provider's carriers, for the rest is pickled already
            return run_packed, pickle.dumps(job._replace(carriers=()), packing.PROTOCOL)

    def _begin(self, flight: Flight, beginning: Beginning) -> None:
        has_begun = self._has_begun
        super()._begin(flight, beginning)
        task = self._task
        if task.step.retry > 1 and not has_begun:
            self._take(AttemptBegan(0, task.task_id, 1, task.started_ns or 0))

    def _arrive(self, flight: Flight, said: Any) -> bool:
        try:
            answer: Any
            answer, result = apart(said)
        except Exception as error:  # noqa: BLE001 - nothing that a worker of ours said
            what = f"the end of step {self._task.step.name!r} cannot be read in the parent process"
            return self._over(flight, None, pickling_failure(what, error))
        self._answer = answer
        self.reading = Reading(answer.outcome, result, self._task.step.name) if result else None
        return self.read()

    def read(self) -> bool:
        """Take the outcome whose result is being read; return whether that goes on."""
        flight, answer, reading = self.flight, self._answer, self.reading
        assert flight is not None  # noqa: S101 - a task is under way
        assert answer is not None  # noqa: S101 - its end is here
        if reading is not None and not reading.is_over:
            return True
        outcome = answer.outcome if reading is None else reading.outcome()
        self._answer = None
        task, beginning = self._task, answer.beginning
        known_here(outcome.failure)
        low = task.started_ns if self._has_begun else flight.submitted_ns
        clock = Fitted(
            beginning.at_ns, outcome.finished_ns, low or flight.submitted_ns, time.time_ns()
        )
        self._begin(flight, beginning._replace(at_ns=clock(beginning.at_ns)))
        self._place(flight, beginning)  # which a word on the time alone has not told
        if answer.noted:
            self._have("gathered", task, answer.noted)
        for fact in answer.facts:
            self._take_later(fact, clock)
        finished_ns = clock(outcome.finished_ns)
        return self._take_outcome(flight, outcome._replace(finished_ns=finished_ns))

    def _take_later(self, fact: AttemptBegan | AttemptEnded | Retried, clock: Fitted) -> None:
        if isinstance(fact, AttemptBegan):
            if fact.attempt == 1:  # told with the beginning of the task
                return
        else:
            known_here(fact.error)  # type: ignore[arg-type] # as the worker made it
        self._take(fact._replace(at_ns=clock(fact.at_ns)))

    def _have(self, hook: str, task: Task, *args: Any) -> Any:
        """Have the Server of a task do something, if nobody else is told of the run."""
        server = task.config.listener(task.run)
        return None if server is None else task.config.guard.call(server, hook, task, *args)
