"""A run in a terminal: one line a bar, beside its name, over a scale of time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from dotflow.cli.columns import cell, fit
from dotflow.waterfall.bars import WORKFLOW, extent, place
from dotflow.waterfall.colours import look_of
from dotflow.waterfall.rows import has_begun, rows
from dotflow.waterfall.texts import lasting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dotflow.waterfall.bars import Bar

SHORTEST_BAR, LONGEST_BAR = 10, 60
SHORTEST_NAME = 8
LONGEST_STATUS = 26
BESIDE = LONGEST_STATUS + 13  # and a time, with the gaps between
"""All of these are columns."""


def waterfall(bars: Sequence[Bar], width: int, now: int | None = None) -> Table:
    """Gives the bars as a table of the terminal; names are no markup, whatever they look like.

    Args:
        bars: What is drawn, in order; a group has a line of its own above its first bar.
        width: Columns of the terminal.
        now: Where bars end that go on, in nanoseconds since 1970; without it, at this moment.
    """
    drawn = list(rows(bars))
    longest = max((2 * depth + cell_len(_name(row)) for depth, row in drawn), default=0)
    room = max(SHORTEST_NAME, min(longest, width - BESIDE - SHORTEST_BAR))
    columns = max(SHORTEST_BAR, min(LONGEST_BAR, width - BESIDE - room))
    times = extent([bar for bar in bars if has_begun(bar)], time.time_ns() if now is None else now)
    table = Table(box=None, padding=(0, 1, 0, 0), show_header=False)
    table.add_column(width=room, no_wrap=True)
    table.add_column(width=columns, no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    for depth, row in drawn:
        if isinstance(row, str):
            table.add_row(cell(row, room, indent=2 * depth, style="bold"), "", "", "")
        else:
            table.add_row(
                cell(row.name, room, indent=2 * depth, style="bold" * (row.kind == WORKFLOW)),
                _bar(row, times, columns),
                lasting(row.end - row.start) if row.end is not None and has_begun(row) else "",
                _status(row),
            )
    return table


def _name(row: Bar | str) -> str:
    return row if isinstance(row, str) else row.name


def _bar(bar: Bar, times: tuple[int, int], columns: int) -> Text:
    if not has_begun(bar):
        return Text()
    left, width = (part * columns for part in place(bar, *times))
    begin = min(columns - 1, int(left))
    many = min(columns - begin, max(1, round(width)))
    stroke = "╍" if bar.end is None else "━"
    return Text(" " * begin + stroke * many, style=look_of(bar.status).terminal)


def _status(bar: Bar) -> Text:
    """What became of it; of a failure the error's class says enough."""
    look = look_of(bar.status)
    is_failure = look is look_of("Failed") and bar.note
    words = bar.note if is_failure or not bar.status else f"{bar.status}, {bar.note}".rstrip(", ")
    return Text(f"{look.mark} {fit(words, LONGEST_STATUS - 2)}", style=look.terminal)
