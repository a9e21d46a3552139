"""What the page on performance says of a task's path is what the table has."""

from __future__ import annotations

import re
from pathlib import Path

from steady_table import read_table

PAGE = Path(__file__).resolve().parents[2] / "docs" / "performance.md"


def test_the_page_says_what_the_table_has():
    """Calls, writes and files of a task with both exports on."""
    figures = read_table().cases["both"].cost.figures
    found = re.search(
        r"both exports on it is (\d+) calls \(budget \d+\) and (\d+) writes \(budget \d+\), "
        r"in (\d+) files",
        " ".join(PAGE.read_text(encoding="utf-8").split()),
    )
    assert found is not None
    assert [int(one) for one in found.groups()] == [
        round(figures[name]) for name in ("calls", "writes", "files")
    ]
