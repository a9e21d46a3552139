"""How much of what waits is in memory. The rest stays on disk, however much it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dotflow.delivery.order.lanes import Lanes
    from dotflow.delivery.order.unit import Unit

READY = 400
"""Records that are held in memory to be sent: enough for a few bulks under way."""

READY_BYTES = 8 * 2**20
"""Bytes of the log that those may come from."""

MOST = 2500
"""Records that are held at most, with those that wait for their time, or for another record."""

MOST_BYTES = 8 * READY_BYTES


def is_full(lanes: Lanes) -> bool:
    """Whether nothing more is to be read before something of what waits is sent.

    What waits for something else counts little: it holds up no other workflow, unless it is very
    much. What waits for a line that was not read must not keep it from being read.
    """
    ready = ready_bytes = held = held_bytes = 0
    for unit in lanes:
        held += len(unit.owing)
        held_bytes += unit.size
        if _is_ready(unit, lanes):
            ready += len(unit.owing) + unit.owes
            ready_bytes += unit.size
    return ready >= READY or ready_bytes >= READY_BYTES or held >= MOST or held_bytes >= MOST_BYTES


def _is_ready(unit: Unit, lanes: Lanes) -> bool:
    """Whether a unit can be said without anything else."""
    is_apart = unit.outer is None and not unit.inner
    waits = unit.log is not None or unit.delayed or unit.source.workflow in lanes.blocked
    return is_apart and not waits
