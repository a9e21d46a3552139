"""Build the site: `python docs/site.py [FOLDER]`, by Zensical (`pip install '.[docs]'`).

A page may link to any file of the repository. The site has a copy of each such file below
`repository/`, and the changelog as a page, so no link leads out of it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
CHANGELOG = ROOT / "CHANGELOG.md"
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)\s#]+)")
FENCED = re.compile(r"(^```.*?^```)", re.MULTILINE | re.DOTALL)


def stage(folder: Path) -> None:
    """Copy what the site is made of into a folder: the docs, and what they link to."""
    shutil.copy(ROOT / "zensical.toml", folder)
    shutil.copytree(DOCS, folder / "docs", ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    shutil.copy(CHANGELOG, folder / "docs" / "changelog.md")
    for page in (folder / "docs").rglob("*.md"):
        name = page.relative_to(folder / "docs")
        origin = CHANGELOG if name.name == "changelog.md" else DOCS / name
        parts = FENCED.split(page.read_text(encoding="utf-8"))
        parts[::2] = [_with_copies(one, origin, page, folder / "docs") for one in parts[::2]]
        page.write_text("".join(parts), encoding="utf-8")


def _with_copies(text: str, origin: Path, page: Path, staged: Path) -> str:
    """A text whose links lead to files of the site."""

    def copied(link: re.Match[str]) -> str:
        target = (origin.parent / link[1]).resolve()
        if target == CHANGELOG:
            copy = staged / "changelog.md"
        elif target.is_relative_to(DOCS) and not target.is_dir() and target.suffix != ".py":
            copy = staged / target.relative_to(DOCS)
        else:
            copy = _copy(target, staged / "repository")
        return os.path.relpath(copy, page.parent)

    return LINK.sub(copied, text)


def _copy(target: Path, into: Path) -> Path:
    """Copy a file of the repository, as a text; of a folder, the list of what is in it."""
    copy = into / f"{target.relative_to(ROOT)}.txt"
    copy.parent.mkdir(parents=True, exist_ok=True)
    if target.is_dir():
        copy.write_text("".join(f"{one.name}\n" for one in sorted(target.iterdir())))
    else:
        shutil.copy(target, copy)
    return copy


class _Page(HTMLParser):
    """What a built page has, and where it leads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: set[str] = set()
        self.loads: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take note of an element."""
        for name, value in attrs:
            if name in ("id", "name") and value:
                self.ids.add(value)
            elif name in ("href", "src") and value is not None:
                (self.links if tag == "a" else self.loads).add(value)


def faults(site: Path) -> list[str]:
    """Links of a built site that lead nowhere, and what its pages load from others."""
    pages = {
        path: _Page(path.read_text(encoding="utf-8"))
        for path in site.rglob("*.html")
        if path.name != "404.html"  # served at any address
    }
    return [
        f"{path.relative_to(site)}: {link}"
        for path, page in pages.items()
        for link in sorted(page.links | page.loads)
        if not _is_well(path, link, pages, is_loaded=link in page.loads)
    ]


def _is_well(path: Path, link: str, pages: dict[Path, _Page], is_loaded: bool) -> bool:
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return not is_loaded
    file = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    file = file / "index.html" if file.is_dir() else file
    if file not in pages or not parts.fragment:
        return file.exists()
    return unquote(parts.fragment) in pages[file].ids | {"__top"}


def main(out: Path) -> int:
    """Build the site into a folder, and look at each of its links."""
    with tempfile.TemporaryDirectory() as made:
        stage(Path(made))
        zensical = Path(sys.executable).with_name("zensical")
        subprocess.run([zensical, "build", "--strict"], cwd=made, check=True)  # noqa: S603
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(Path(made) / "site", out)
    found = faults(out.resolve())
    sys.stderr.write("".join(f"{fault}\n" for fault in found))
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "site")))
