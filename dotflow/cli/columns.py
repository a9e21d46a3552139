"""Names in columns: however long or odd they are, what stands beside them keeps its place."""

from __future__ import annotations

from rich.cells import cell_len, set_cell_size
from rich.text import Text

LONGEST_NAME = 60
"""Columns that a name takes in a line of text."""


def fit(name: object, columns: int) -> str:
    """A name in one line of at most so many columns; a wide character takes two of them."""
    text = "".join(one if one.isprintable() else " " for one in str(name))
    text = " ".join(text.split())
    if cell_len(text) <= columns:
        return text
    return f"{set_cell_size(text, max(0, columns - 1)).rstrip()}…"


def cell(name: object, columns: int, indent: int = 0, style: str = "") -> Text:
    """The same, as the cell of a table; it is no markup, whatever it looks like."""
    return Text(" " * indent + fit(name, max(1, columns - indent)), style=style, no_wrap=True)
