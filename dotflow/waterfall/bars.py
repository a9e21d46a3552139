"""The bars of a waterfall: what all its pictures are drawn from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

WORKFLOW, TASK, ATTEMPT, SPAN = "workflow", "task", "attempt", "span"
"""The kinds of bars."""


@dataclass(frozen=True)
class Bar:
    """Something that took time.

    Attributes:
        name: What people call it.
        kind: "workflow", "task", "attempt", or "span" for what the user's code has traced.
        depth: How deep it lies: the bar that it is part of is the last one before it that lies
            less deep.
        start: When it began; nanoseconds since 1970, 0 for what has not begun.
        end: When it ended, as `start`; None while it goes on, or has not begun.
        status: "Completed", "Failed", and the other states of tasks and runs.
        group: The task's group; empty where there is none.
        note: What else is worth a word: an error's class, how many attempts there were.
        task: The task's number; None for a bar that is part of no task.
    """

    name: str
    kind: str
    depth: int
    start: int
    end: int | None
    status: str
    group: str = ""
    note: str = ""
    task: int | None = None


def extent(bars: Sequence[Bar], now: int | None = None) -> tuple[int, int]:
    """From when to when the bars go; at least one nanosecond.

    Args:
        bars: Bars, in any order.
        now: When a bar that goes on is taken to end, in nanoseconds since 1970; without it such
            a bar ends with the last moment that any bar tells of.
    """
    begun = [bar for bar in bars if bar.start]
    start = min((bar.start for bar in begun), default=0)
    ends = [bar.start if bar.end is None else bar.end for bar in begun]
    if now is not None and any(bar.end is None for bar in begun):
        ends.append(now)
    return start, max([*ends, start + 1])


def place(bar: Bar, begin: int, end: int) -> tuple[float, float]:
    """Where a bar lies between two moments: its left edge and its width, as parts of one.

    A bar that goes on reaches the end. What a wrong clock says lies within all the same.
    """
    whole = max(1, end - begin)
    left = min(1.0, max(0.0, (bar.start - begin) / whole))
    right = 1.0 if bar.end is None else min(1.0, max(left, (bar.end - begin) / whole))
    return left, right - left
