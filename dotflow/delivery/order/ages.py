"""How old what waits is."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dotflow.delivery.order.unit import Unit


def oldest(units: Iterable[Unit]) -> int | None:
    """When that happened which the oldest message of some units is about.

    Returns:
        Nanoseconds since the epoch; None where nothing waits, or nothing says when it was.
    """
    return min((at for unit in units if (at := _of_first(unit)) is not None), default=None)


def _of_first(unit: Unit) -> int | None:
    """The same of the message that a unit has owed for longest."""
    head = unit.head
    if unit.owes_first:
        return head.began_at
    for task in unit.owing:  # in the order in which they came to owe something
        record = unit.tasks.get(task)
        if record is None:  # messages of the version before say no time
            return None
        at = record.ended_at if record.posted and record.ended_at else record.began_at
        return at or head.began_at  # a task that is only planned has no time of its own
    return head.ended_at if unit.owes_end else None
