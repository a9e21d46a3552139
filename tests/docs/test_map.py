"""docs/index.md is the map: whoever adds a page adds its row there."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_the_map_leads_to_every_page():
    """Each page is a row of the map; the decisions have a map of their own."""
    links = set(re.findall(r"\]\(([^)#]+)", (DOCS / "index.md").read_text(encoding="utf-8")))
    pages = {path.relative_to(DOCS) for path in DOCS.rglob("*.md")} - {Path("index.md")}
    assert Path("start.md") in pages
    assert {
        str(page)
        for page in pages
        if page.parts[0] != "decisions" or page.name == "README.md"
    } <= links  # fmt: skip
