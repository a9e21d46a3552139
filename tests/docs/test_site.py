"""The docs build as a site: each page has its place there, and no link leads out of it."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import pytest

from dotflow import __version__

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
site = runpy.run_path(str(ROOT / "docs" / "site.py"))


def entries(nav):
    """The pages of a navigation, however deep."""
    for one in nav:
        if isinstance(one, str):
            yield one
        else:
            for below in one.values():
                yield from entries(below)


def test_the_navigation_has_every_page_once():
    """Whoever adds a page adds it to zensical.toml, and to nothing else."""
    project = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]
    named = sorted(entries(project["nav"]))
    pages = [str(one.relative_to(ROOT / "docs")) for one in (ROOT / "docs").rglob("*.md")]
    assert named == sorted([*pages, "changelog.md"])


def test_what_the_site_is_made_of_is_whole(tmp_path):
    """Every relative link of a page leads to a file that the site has, code and tests too."""
    site["stage"](tmp_path)
    pages = list((tmp_path / "docs").rglob("*.md"))
    links = [
        (page, link)
        for page in pages
        for link in site["LINK"].findall(
            site["FENCED"].sub("", page.read_text(encoding="utf-8")),
        )
    ]
    assert len(links) > 200
    lost = [
        (page.name, link)
        for page, link in links
        if not (target := (page.parent / link).resolve()).is_file()
        or not target.is_relative_to(tmp_path)
    ]
    assert not lost


@pytest.mark.parametrize(
    ("html", "found"),
    [
        ('<a href="../b/#there">', []),
        ('<a href="https://example.com/">', []),
        ('<a href="../b/#nowhere">', ["a/index.html: ../b/#nowhere"]),
        ('<a href="../c/">', ["a/index.html: ../c/"]),
        ('<img src="missing.png">', ["a/index.html: missing.png"]),
        (
            '<script src="https://cdn.example.com/x.js">',
            ["a/index.html: https://cdn.example.com/x.js"],
        ),
    ],
)
def test_a_fault_of_a_built_site_is_found(tmp_path, html, found):
    """A dead link, a dead anchor, and what would be loaded from somebody else."""
    for name, text in (("a", html), ("b", '<h2 id="there">There</h2>')):
        (tmp_path / name).mkdir()
        (tmp_path / name / "index.html").write_text(text, encoding="utf-8")
    assert site["faults"](tmp_path) == found


def test_the_docs_say_the_versions_that_they_were_run_with():
    """`python docs/versions.py` writes the line; it is of this version of dotflow."""
    page = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    assert re.search(
        rf"This text is that of dotflow {re.escape(__version__)}, run with Python 3\.", page
    )
    versions = runpy.run_path(str(ROOT / "docs" / "versions.py"))
    [said] = re.findall(r"<!-- versions -->\n(.*)\n", page)
    assert versions["page_with"](f"{said}\n") == page
    assert all(name in said for name in versions["PACKAGES"])
