"""Tasks on their way, from when they are given to an executor to the ends that come back."""

from __future__ import annotations

import itertools
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from dotflow.core import interrupt
from dotflow.core.exception import CANCELLED
from dotflow.core.remote.beginnings import Beginning, Beginnings

if TYPE_CHECKING:
    from concurrent.futures import Future

    from dotflow.abc.executor import TaskExecutor


class Flight:
    """What is known of a task that was given to an executor; every thread may tell of it.

    Args:
        number: Its number among those of the run.
        lane: The lane that it is of.
        heard: Where the thread that runs the workflow hears of it.

    Attributes:
        future: What the executor gave for it; None before.
        submitted_ns: When it was given to the executor, in nanoseconds since the epoch; 0 before.
        beginning: Where and when it began; None as long as nobody has told.
        attempts: When its further tries began, as far as that was told.
        is_reported: Set once it is reported that it began.
        interrupts: What ends it between steps once nobody waits for it any more.
    """

    def __init__(self, number: int, lane: Any, heard: SimpleQueue[Any]) -> None:
        self.number = number
        self.lane = lane
        self.future: Future[Any] | None = None
        self.submitted_ns = 0
        self.beginning: Beginning | None = None
        self.attempts: list[Beginning] = []
        self.is_reported = threading.Event()
        self.interrupts = interrupt.Interrupts(thread=interrupt.NO_THREAD)
        self._heard = heard

    def began(self, beginning: Beginning) -> None:
        """Tell that it began; the first word counts. A further try is told if its end is not."""
        if beginning.attempt:
            self.attempts.append(beginning)
        elif self.beginning is None:
            self.beginning = beginning
            self.tell(beginning)

    def started(self, time_ns: int) -> None:
        """The same for who knows no more than when."""
        self.began(Beginning(time_ns))

    def tell(self, what: Any) -> None:
        """Tell something: a Beginning, a fact of a try, its future once that is done."""
        self._heard.put((self, what))

    def drop(self) -> None:
        """Wait for it no more, and hold nothing that it held."""
        self.interrupts.ask(CANCELLED)
        self.future = None
        self.is_reported.set()


class Flights:
    """Numbers the flights of a run, and hears of them.

    Args:
        executor: What they are given to.
    """

    def __init__(self, executor: TaskExecutor) -> None:
        self.heard: SimpleQueue[Any] = SimpleQueue()
        self._next_number = itertools.count(1).__next__
        self._by_number: WeakValueDictionary[int, Flight] = WeakValueDictionary()
        self._beginnings = None if executor.in_process else Beginnings(self._began)

    @property
    def fifo(self) -> str:
        """Where a worker on this machine tells that a step began; empty for nowhere."""
        return self._beginnings.path if self._beginnings is not None else ""

    def next(self, lane: Any) -> Flight:
        """The flight of a lane's next task."""
        flight = Flight(self._next_number(), lane, self.heard)
        self._by_number[flight.number] = flight
        return flight

    def hears_all(self, executor: TaskExecutor) -> bool:
        """Whether nothing begins that is not told."""
        return executor.in_process or (executor.is_here and bool(self.fifo))

    def catch_up(self) -> None:
        """Return once all that workers of this machine have told is known."""
        if self._beginnings is not None:
            self._beginnings.catch_up()

    def close(self) -> None:
        """Hear no more."""
        if self._beginnings is not None:
            self._beginnings.close()

    def _began(self, number: int, beginning: Beginning) -> None:
        flight = self._by_number.get(number)
        if flight is not None:
            flight.began(beginning)
