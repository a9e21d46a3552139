"""A run as a part of a page, as notebooks show it: the picture, and a table with the same."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from dotflow.waterfall.bars import WORKFLOW
from dotflow.waterfall.colours import look_of
from dotflow.waterfall.rows import has_begun
from dotflow.waterfall.svg import to_svg
from dotflow.waterfall.texts import cut, lasting, said

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dotflow.waterfall.bars import Bar

MOST = 40
"""Bars that are shown; of more, what failed or goes on is shown before the rest."""

LONGEST_CELL = 120  # letters

_FIRST = {"Failed": 0, "Retry": 1, "In progress": 1}


def to_html(
    bars: Sequence[Bar],
    *,
    width: int = 760,
    title: str = "",
    most: int = MOST,
    now: int | None = None,
) -> str:
    """Gives the bars as a piece of HTML without script, style or link.

    Args:
        bars: What is drawn, in order.
        width: Pixels of the picture.
        title: What is written above.
        most: How many bars are drawn; how many there are beyond them is said below.
        now: Where bars end that go on, in nanoseconds since 1970; without it, at this moment.

    Any thread may call it.
    """
    shown = _shown(bars, most)
    now = time.time_ns() if now is None else now
    left_out = len(bars) - len(shown)
    words = f"{left_out:,} more {'row is' if left_out == 1 else 'rows are'} not shown."
    picture = to_svg(shown, width=width, title=title, now=now, is_inline=True)
    return (
        f'<figure class="dotflow">{picture}'
        f"<figcaption>{words if left_out else ''}<details><summary>The same as a table</summary>"
        f"<table><thead><tr><th>name</th><th>group</th><th>status</th><th>took</th><th>note</th>"
        f"</tr></thead><tbody>{''.join(_lines(shown))}</tbody></table></details></figcaption></figure>"
    )


def _shown(bars: Sequence[Bar], most: int) -> Sequence[Bar]:
    """The bars that there is room for, in their order: first the run, then what failed."""
    if len(bars) <= most:
        return bars
    by_weight = sorted(range(len(bars)), key=lambda one: (_weight(bars[one]), one))
    return [bars[one] for one in sorted(by_weight[:most])]


def _weight(bar: Bar) -> int:
    return -1 if bar.kind == WORKFLOW else _FIRST.get(bar.status, 2)


def _lines(bars: Sequence[Bar]) -> Iterator[str]:
    for bar in bars:
        is_over = bar.end is not None and has_begun(bar)
        took = lasting(bar.end - bar.start) if is_over and bar.end is not None else ""
        group = "" if bar.group == "default" else bar.group
        cells = (bar.name, group, f"{look_of(bar.status).mark} {bar.status}", took, bar.note)
        fields = (f"<td><bdi>{said(cut(one, LONGEST_CELL))}</bdi></td>" for one in cells)
        yield f"<tr>{''.join(fields)}</tr>"
