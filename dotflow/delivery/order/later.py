"""What waits for its time: records of units, by when something may be said of them."""

from __future__ import annotations

import heapq
import itertools
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dotflow.delivery.message import Key
    from dotflow.delivery.order.unit import Unit


class Later:
    """Records that wait for their time; the unit knows which of its own do. One thread calls it."""

    def __init__(self) -> None:
        self._waiting: list[tuple[float, int, Unit, Key, float]] = []
        self._numbers = itertools.count()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, unit: Unit, key: Key, delay: float, asked: float) -> None:
        """Have a record wait.

        Args:
            unit: The record's unit.
            key: The record.
            delay: Seconds.
            asked: Seconds that the server asked for: no hurry ends these.
        """
        now = time.monotonic()
        unit.delay(key)
        entry = (now + max(delay, asked), next(self._numbers), unit, key, now + asked)
        heapq.heappush(self._waiting, entry)

    def let_due(self) -> list[Unit]:
        """Let those go whose time has come; return their units."""
        now, found = time.monotonic(), []
        while self._waiting and self._waiting[0][0] <= now:
            _, _, unit, key, _ = heapq.heappop(self._waiting)
            unit.is_due(key)
            found.append(unit)
        return found

    def hurry(self) -> list[Unit]:
        """Let all go, but for what the server asked for; return their units."""
        now, waiting = time.monotonic(), self._waiting
        self._waiting = [entry for entry in waiting if entry[4] > now]
        heapq.heapify(self._waiting)
        found = []
        for _, _, unit, key, asked_until in waiting:
            if asked_until <= now:
                unit.is_due(key)
                found.append(unit)
        return found

    def due_in(self) -> float | None:
        """Seconds until the first one's time comes; None where none waits."""
        return max(0.0, self._waiting[0][0] - time.monotonic()) if self._waiting else None


def is_told(unit: Unit) -> bool:
    """Have a run wait no longer for its name; whether it did."""
    is_waiting = None in unit.delayed and None not in unit.tries
    if is_waiting:
        unit.is_due(None)
    return is_waiting
