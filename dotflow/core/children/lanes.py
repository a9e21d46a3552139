"""Lanes side by side: how many run at a time, and who is heard next."""

from __future__ import annotations

import time
from collections import deque
from multiprocessing.connection import wait
from typing import TYPE_CHECKING

from dotflow.core import interrupt
from dotflow.core.children.lane import REAP_WAIT, ProcessLane

if TYPE_CHECKING:
    from collections.abc import Iterable

LOOK_EVERY = 1.0
"""Seconds after which silent children are looked at: one that is gone may leave a process behind
that keeps open what would tell of its death."""

LOOK_AT_RESULTS = 0.02
"""Seconds after which a result that takes long to be read is looked at."""

MOST_LEAVING = 64
"""How many children may be busy with nothing but their flush; of more the oldest are killed: with a
collector that is away each takes seconds, and a long parallel run would fill the machine."""


def run_lanes(lanes: Iterable[ProcessLane], at_once: int, stop_on_failure: bool) -> None:
    """Run lanes side by side until all have ended.

    Args:
        lanes: The lanes.
        at_once: How many may run at a time.
        stop_on_failure: Start no further lane once one has failed.

    Raises:
        BaseException: The first error of a storage, when all lanes have ended.
    """
    waiting, active = deque(lanes), list[ProcessLane]()
    leaving: list[ProcessLane] = []
    errors: list[BaseException] = []
    try:
        while waiting or active:
            ended = _turn(waiting, active, at_once)
            # As soon as they are gone, for each holds file descriptors.
            leaving = [lane for lane in (*leaving, *ended) if not lane.reap()]
            while len(leaving) > MOST_LEAVING:
                leaving[0].dismiss()
                leaving.pop(0).reap(time.monotonic() + REAP_WAIT)
            errors += [lane.error for lane in ended if lane.error is not None]
            if stop_on_failure and any(lane.failed for lane in ended):
                waiting.clear()
    except BaseException as error:
        for lane in active:
            lane.abort(error)
        raise
    finally:
        deadline = time.monotonic() + REAP_WAIT
        for lane in (*active, *leaving):
            lane.reap(deadline)
    if errors:
        raise errors[0]


def _turn(
    waiting: deque[ProcessLane], active: list[ProcessLane], at_once: int
) -> list[ProcessLane]:
    """Begin a lane where there is room, then hear what children tell; return what ended."""
    ended: list[ProcessLane] = []
    room = bool(waiting) and len(active) < at_once
    if room:
        lane = waiting.popleft()
        active.append(lane)
        if not lane.advance():
            ended.append(lane)
    # Between two launches too: a child may wait to hear of its attempt's span.
    ended += [
        lane
        for lane in _ready(active, timeout=0 if room else LOOK_EVERY)
        if not (lane.handle() or lane.advance())
    ]
    for lane in ended:
        active.remove(lane)
    return ended


def _ready(active: list[ProcessLane], timeout: float) -> list[ProcessLane]:
    """The lanes whose child has something to tell, or is gone."""
    if interrupt.is_out_of_reach():
        timeout = min(timeout, interrupt.LOOK_EVERY)
    if any(lane.reading is not None for lane in active):
        timeout = min(timeout, LOOK_AT_RESULTS)
    with interrupt.window():
        ready = set(wait([one for lane in active for one in lane.waitables], timeout))
    return [
        lane
        for lane in active
        if (lane.reading is not None and lane.reading.is_over)
        or (lane.is_gone if not ready and timeout else not ready.isdisjoint(lane.waitables))
    ]
