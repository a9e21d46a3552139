"""The page for those who carry the project on is true, and so are the words of all pages."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "contributing.md").read_text(encoding="utf-8")
LINK = re.compile(r"\]\((?![a-z]+:)([^)\s]+)\)")
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
EASY = ("simply", "easily", "obviously", "of course", "just", "please")
HARD = ("of which", "whom", "so named", "in order to")
"""What a reader has to read twice: name the thing, begin another sentence."""


def pages():
    """What people read, without code and without the pages that show other people's words."""
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        if path.name != "contributing.md":
            text = path.read_text(encoding="utf-8")
            yield path.relative_to(ROOT), re.sub(r"`[^`\n]*`", "", FENCED.sub("", text))


def unwanted():
    table = PAGE.partition("<!-- words -->")[2].partition("<!-- end of words -->")[0]
    rows = [line.split("|") for line in table.strip().splitlines()[2:]]
    assert len(rows) > 8
    return [word.strip() for row in rows for word in row[3].split(",")] + [*EASY, *HARD]


def test_the_house_is_drawn_as_it_is():
    """Whoever moves a room draws the picture anew: `python docs/house.py`."""
    house = runpy.run_path(str(ROOT / "docs" / "house.py"))
    assert house["page_with"](house["picture"]()) == PAGE


def test_the_rooms_that_the_page_names_are_there():
    """A path in code on the page is one of the repository, or of the package."""
    named = set(re.findall(r"`((?:[a-z_]+/)+(?:[a-z_]+\.py)?)`", PAGE))
    assert len(named) > 20
    missing = {
        one for one in named if not any((at / one).exists() for at in (ROOT, ROOT / "dotflow"))
    }
    assert not missing


def test_one_word_is_used_for_one_thing():
    """No page says a word that the list of words has another for."""
    pattern = re.compile(rf"\b({'|'.join(map(re.escape, unwanted()))})s?\b", re.IGNORECASE)
    found = [(str(path), hit[0]) for path, text in pages() for hit in pattern.finditer(text)]
    assert not found


def test_links_lead_somewhere():
    """A link to a file of the repository leads to a file, and one to a heading to a heading."""
    dead = [
        (str(path), target)
        for path in [*(one for one, _ in pages()), Path("docs/contributing.md")]
        for target in LINK.findall((ROOT / path).read_text(encoding="utf-8"))
        if not leads(ROOT / path, target)
    ]
    assert not dead


def leads(page, target):
    """Whether a relative link leads to something."""
    name, _, heading = target.partition("#")
    file = page.parent / name if name else page
    if not file.exists():
        return False
    return not heading or heading in anchors(file)


def anchors(file):
    """The anchors of a page's headings, as the repository's own page makes them."""
    text = FENCED.sub("", file.read_text(encoding="utf-8"))
    heads = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    plain = [re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", one) for one in heads]
    return {re.sub(r"[^\w\- ]", "", one).lower().replace(" ", "-") for one in plain}
