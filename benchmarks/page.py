"""The table of the figures in Markdown, and its place in docs/performance.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.figures import Figure, Found, figure_of

if TYPE_CHECKING:
    from benchmarks.rows import Row

BEGIN = "<!-- Figures: from here on written by `python -m benchmarks`. -->"
END = "<!-- End of the figures. -->"
PICTURE = "![What reporting adds to a task](performance.svg)"
HEAD = ("what", "unit", "quiet", "spread", "busy", "spread", "budget")
MANY = 1000
"""From here on a figure has commas and no decimals."""


def table(rows: list[Row], found: Found) -> str:
    """The rows that were measured, as a Markdown table."""
    lines = [HEAD, ("---", "---", "--:", "--:", "--:", "--:", "--:")]
    for row in rows:
        quiet, busy = figure_of(row, found), figure_of(row, found, is_busy=True)
        if quiet is None:
            continue
        lines.append((row.title, row.unit, *_cells(quiet), *_cells(busy), row.budget))
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cells(figure: Figure | None) -> tuple[str, str]:
    if figure is None:
        return "", ""
    return number(figure.median), f"{number(figure.least)} to {number(figure.greatest)}"


def number(value: float) -> str:
    """A number with as many digits as it is worth."""
    if value == int(value) or abs(value) >= MANY:
        return f"{round(value):,}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def refreshed(page: str, conditions: str, table_text: str) -> str:
    """The page with these figures instead of those that it has.

    Raises:
        ValueError: The page has no place for figures.
    """
    above, begin, rest = page.partition(BEGIN)
    _, end, below = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no lines {BEGIN!r} and {END!r}")
    return f"{above}{BEGIN}\n\n{conditions}\n\n{PICTURE}\n\n{table_text}\n\n{END}{below}"
