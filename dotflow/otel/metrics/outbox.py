"""What waits for each destination, and what became of what was sent there."""

from __future__ import annotations

import time
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from opentelemetry.metrics import Observation

from dotflow.delivery.channel import relays
from dotflow.otel.attributes import OUTBOX_DESTINATION
from dotflow.otel.export.leaving.outgoing import processors

if TYPE_CHECKING:
    from collections.abc import Iterator


def all_of(held: weakref.WeakSet[Any]) -> list[Any]:
    """What is held weakly, also while another thread adds to it."""
    while True:
        with suppress(RuntimeError):  # it changed its size meanwhile
            return list(held)


class Box(NamedTuple):
    """What there is to say of one destination.

    Attributes:
        pending: What waits.
        age: Seconds since that happened which the oldest of it is about.
        delivered: What was delivered, by this process.
        dead: What was refused for good, or is lost.
    """

    pending: int
    age: float
    delivered: int
    dead: int


class Outboxes:
    """The outboxes of this process; called by readers that collect.

    What relays and exporters have counted goes with them: so it is added up here.
    """

    def __init__(self) -> None:
        self._totals: dict[str, list[int]] = {}
        self._seen: weakref.WeakKeyDictionary[Any, tuple[int, int]] = weakref.WeakKeyDictionary()

    def observed(self, what: str) -> list[Observation]:
        """One number of each destination.

        Args:
            what: Which: a field of `Box`.
        """
        return [
            Observation(getattr(box, what), {OUTBOX_DESTINATION: name})
            for name, box in self._boxes().items()
        ]

    def _boxes(self) -> dict[str, Box]:
        waiting = dict.fromkeys(self._totals, (0, 0.0))
        now = time.time()
        for name, counts, pending, oldest in self._found():
            before, age = waiting.get(name, (0, 0.0))
            if pending and oldest is not None:
                age = max(age, now - oldest / 1e9)
            waiting[name] = before + pending, age
            self._add(name, *counts)
        return {name: Box(*found, *self._totals[name]) for name, found in waiting.items()}

    def _found(self) -> Iterator[tuple[str, tuple[Any, int, int], int, int | None]]:
        for relay in relays():
            counts = relay.counts()
            yield (
                relay.name, (relay, counts.delivered, counts.dead), counts.pending, counts.oldest
            )  # fmt: skip
        for one in all_of(processors):
            spans, pending = one.counts, 0 if one.has_ended else one.waiting
            yield one.name, (spans, spans.exported, spans.failed), pending, one.oldest

    def _add(self, name: str, source: Any, delivered: int, dead: int) -> None:
        totals = self._totals.setdefault(name, [0, 0])
        before = self._seen.get(source, (0, 0))
        self._seen[source] = delivered, dead
        totals[0] += max(0, delivered - before[0])
        totals[1] += max(0, dead - before[1])
