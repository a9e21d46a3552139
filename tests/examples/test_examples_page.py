"""The page of examples."""

from __future__ import annotations

from examples_support import EXAMPLES


def test_the_page_names_every_example():
    """And no other: each file of the folder but the data is linked."""
    page = (EXAMPLES.parent / "docs" / "guides" / "examples.md").read_text(encoding="utf-8")
    files = [one for one in EXAMPLES.rglob("*") if one.suffix in (".py", ".ipynb", ".yaml")]
    assert len(files) == page.count("(../../examples/")
    for one in files:
        assert f"(../../examples/{one.relative_to(EXAMPLES)})" in page
