"""A run's tasks by status, as a small bar."""

from collections.abc import Mapping
from typing import NamedTuple

WIDTH = 100
"""What a bar is wide, in units of its picture."""

ORDER = ("Completed", "Failed", "Retry", "In progress", "Paused", "Not started")
NARROWEST = 3
"""What a part is wide at least: one failed task of 10,000 is to be seen."""


class Share(NamedTuple):
    """A part of the bar."""

    status: str
    number: int
    x: float
    width: float


def shares(counts: Mapping[str, int], planned: int = 0) -> list[Share]:
    """Gives the parts of the bar, from left to right.

    Args:
        counts: Tasks by status.
        planned: How many tasks the plan has; those without a record are not started.
    """
    whole = dict(counts)
    missing = planned - sum(whole.values())
    if missing > 0:
        whole["Not started"] = whole.get("Not started", 0) + missing
    known = [(status, whole[status]) for status in ORDER if whole.get(status)]
    total = sum(count for _, count in known)
    if not total:
        return []
    widths = [max(NARROWEST, WIDTH * count / total) for _, count in known]
    scale = WIDTH / sum(widths)
    found: list[Share] = []
    x = 0.0
    for (status, count), width in zip(known, widths, strict=True):
        found.append(Share(status, count, round(x, 2), round(width * scale, 2)))
        x += width * scale
    return found
