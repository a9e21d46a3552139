"""The rows of a waterfall: its bars, and a row above each group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dotflow.waterfall.bars import ATTEMPT, SPAN, TASK, WORKFLOW

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dotflow.waterfall.bars import Bar

NO_GROUP = ("", "default")

_INNER = (ATTEMPT, SPAN)


def rows(bars: Sequence[Bar]) -> Iterator[tuple[int, Bar | str]]:
    """The bars in order, each with how deep it lies, and each group's name above its bars."""
    group = ""
    for bar in bars:
        if bar.kind in (WORKFLOW, TASK) and bar.group != group:
            group = bar.group
            if group not in NO_GROUP:
                yield bar.depth, group
        is_in_group = bar.kind != WORKFLOW and group not in NO_GROUP
        yield bar.depth + is_in_group, bar


def by_group(bars: Sequence[Bar]) -> list[Bar]:
    """The bars of one run with the tasks of a group beside each other, in the order of the plan."""
    head: list[Bar] = []
    groups: dict[str, list[Bar]] = {}
    into = head
    for bar in bars:
        if bar.kind not in _INNER:
            into = head if bar.kind == WORKFLOW else groups.setdefault(bar.group, [])
        into.append(bar)
    return [*head, *(bar for group in sorted(groups.values(), key=_first) for bar in group)]


def _first(bars: list[Bar]) -> int:
    return min((bar.task for bar in bars if bar.task is not None), default=0)


def has_begun(bar: Bar) -> bool:
    """Whether there is anything to draw but a name."""
    return bar.status not in ("Not started", "New") and bar.start > 0
