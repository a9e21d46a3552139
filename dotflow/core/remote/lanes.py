"""Lanes of an executor, side by side: how many run at a time, and who is heard next."""

from __future__ import annotations

from collections import deque
from queue import Empty
from typing import TYPE_CHECKING, Any

from dotflow.core import interrupt
from dotflow.core.children.lanes import LOOK_AT_RESULTS, LOOK_EVERY
from dotflow.core.exception import CANCELLED, Interrupted
from dotflow.core.remote.flights import Flights
from dotflow.core.remote.kinds import LocalLane, PackedLane

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dotflow.abc.executor import TaskExecutor
    from dotflow.core.remote.lane import RemoteLane
    from dotflow.core.task import Task


def run_remote(
    executor: TaskExecutor,
    chains: Iterable[Sequence[Task]],
    workflow_id: Any,
    ignore: bool,
    resume: bool,
    stop_on_failure: bool,
) -> None:
    """Run chains of tasks side by side on an executor until all have ended.

    Args:
        executor: The executor; as many chains run at a time as it says.
        chains: The chains; the tasks of one run one after another.
        workflow_id: The id of the run.
        ignore: Go on with a chain after a failed task.
        resume: Restore tasks that have a checkpoint.
        stop_on_failure: Begin no further task once one has failed: what has not begun is taken
            back, and what runs is waited for.

    Raises:
        BaseException: The first error of a storage, when all have ended.
    """
    kind = LocalLane if executor.in_process else PackedLane
    flights = Flights(executor)
    try:
        lanes = [kind(chain, workflow_id, ignore, resume, executor, flights) for chain in chains]
        run = _Run(lanes, flights, executor.most_in_flight or len(lanes), stop_on_failure)
        run.to_its_end()
    finally:
        flights.close()


class _Run:
    def __init__(
        self, lanes: Sequence[RemoteLane], flights: Flights, at_once: int, stop_on_failure: bool
    ) -> None:
        self._waiting = deque(lanes)
        self._active: dict[RemoteLane, None] = {}  # in the order in which they began
        self._reading: set[RemoteLane] = set()  # results that take their time
        self._flights = flights
        self._at_once = at_once
        self._stop_on_failure = stop_on_failure
        self._errors: list[BaseException] = []

    def to_its_end(self) -> None:
        try:
            while self._waiting or self._active:
                self._turn()
        except BaseException as error:
            self._abort(error)
            raise
        if self._errors:
            raise self._errors[0]

    def _abort(self, error: BaseException) -> None:
        """Take back what has not begun, and report of all else what is known."""
        self._withdraw()
        is_signal = isinstance(error, Interrupted) and error.number != CANCELLED
        is_killed = False
        for lane in self._active:
            is_killed = is_killed or (is_signal and lane.kill())
            lane.abort(error, is_killed)

    def _withdraw(self) -> None:
        for lane in [lane for lane in self._active if lane.withdraw()]:
            del self._active[lane]

    def _turn(self) -> None:
        """Begin a lane where there is room, then hear what was told."""
        has_room = bool(self._waiting) and len(self._active) < self._at_once
        if has_room:
            lane = self._waiting.popleft()
            self._active[lane] = None
            self._go_on(lane)
        # Between two launches too: a thread may wait for its span.
        told = self._next(wait=not has_room)
        if told is not None:
            flight, what = told
            self._after(flight.lane, flight.lane.hear(flight, what))
        for lane in list(self._reading):
            self._after(lane, lane.read())

    def _after(self, lane: RemoteLane, is_under_way: bool) -> None:
        if lane.reading is not None:
            self._reading.add(lane)
            return
        self._reading.discard(lane)
        if not is_under_way:
            self._go_on(lane)

    def _go_on(self, lane: RemoteLane) -> None:
        """Begin the next task of a lane; without one it has ended."""
        if lane.advance():
            return
        del self._active[lane]
        if lane.error is not None:
            self._errors.append(lane.error)
        if lane.failed and self._stop_on_failure:
            self._waiting.clear()
            self._withdraw()

    def _next(self, wait: bool) -> tuple[Any, Any] | None:
        """What was told next; None if nothing was for a while."""
        timeout = LOOK_EVERY if wait and self._active else 0.0
        if interrupt.is_out_of_reach():
            timeout = min(timeout, interrupt.LOOK_EVERY)
        if self._reading:
            timeout = min(timeout, LOOK_AT_RESULTS)
        try:
            with interrupt.window():
                return self._flights.heard.get(timeout=timeout)  # type: ignore[no-any-return]
        except Empty:
            return None
