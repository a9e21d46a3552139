"""The figures as a picture: bars with their spread, in SVG."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from benchmarks.figures import Figure, Found, figure_of
from benchmarks.page import number

if TYPE_CHECKING:
    from benchmarks.rows import Row

WIDTH, LABELS, MARGIN = 860, 300, 70
BAR, LINE, HEAD = 14, 22, 40
QUIET, BUSY, INK = "#2a6f97", "#e08e45", "#222222"
WITH_BUSY = ", with one busy thread of the user's"
PANELS = {
    "engine": "The engine, µs a no-op task",
    "added": "What reporting adds to it, µs a task",
}


def draw(rows: list[Row], found: Found) -> str:
    """The picture: a panel each for the engine and for what reporting adds, quiet and busy.

    Each panel has a scale of its own: what is busy is many times what is quiet.
    """
    parts: list[str] = []
    top = 10.0
    for key, title in PANELS.items():
        for is_busy, color in ((False, QUIET), (True, BUSY)):
            bars = {
                row.title.removesuffix(": adds").removesuffix(" adds"): figure
                for row in rows
                if row.picture == key and (figure := figure_of(row, found, is_busy))
            }
            if bars:
                parts += _panel(title + WITH_BUSY * is_busy, bars, color, top)
                top += HEAD + LINE * len(bars) + 14
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top:.0f}" '
        f'width="{WIDTH}" height="{top:.0f}" font-family="sans-serif" font-size="12">'
    )
    return "\n".join([head, _box(0, 0, WIDTH, top, "#ffffff"), *parts, "</svg>\n"])


def _panel(title: str, bars: dict[str, Figure], color: str, top: float) -> list[str]:
    """A title and a bar for each figure, the greatest as long as there is room."""
    most = max(figure.greatest for figure in bars.values())
    scale = (WIDTH - LABELS - MARGIN) / max(most, 1e-9)
    parts = [_text(10, top + 18, title, ' font-weight="bold" font-size="14"')]
    for place, (name, figure) in enumerate(bars.items()):
        y = top + HEAD + place * LINE
        parts.append(_text(LABELS - 8, y + BAR - 3, name, ' text-anchor="end"'))
        parts += _bar(y, figure, scale, color)
    return parts


def _bar(y: float, figure: Figure, scale: float, color: str) -> list[str]:
    """A bar as long as the median, with a line from the least to the greatest."""
    length, middle = max(figure.median, 0) * scale, y + BAR / 2
    least, greatest = (LABELS + max(one, 0) * scale for one in (figure.least, figure.greatest))
    ends = f'x1="{least:.1f}" x2="{greatest:.1f}" y1="{middle:.1f}" y2="{middle:.1f}"'
    return [
        _box(LABELS, y, length, BAR, color),
        f'<line {ends} stroke="{INK}"/>',
        _text(max(greatest, LABELS + length) + 5, middle + 4, number(figure.median), ""),
    ]


def _box(x: float, y: float, width: float, height: float, color: str) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
    return f'<rect {place} fill="{color}"/>'


def _text(x: float, y: float, text: str, more: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{INK}"{more}>{escape(text)}</text>'
