"""Draw the house: which rooms there are, and which of them imports which.

`python docs/house.py` writes the picture between the marks of docs/contributing.md.
"""

from __future__ import annotations

import ast
import sys
from collections import Counter
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "contributing.md"
BEGIN, END = "<!-- house -->\n", "<!-- end of house -->"
LAYERS = ("cli", "api", "providers", "otel", "history", "delivery", "runlog", "core", "abc")
"""The rooms of the picture, as in the import contracts, the highest first."""


def promise(path: Path) -> str:
    """The first line of a module's docstring."""
    said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return said.splitlines()[0] if said else ""


def rooms() -> list[tuple[str, str]]:
    """Each folder of the package, and what its `__init__` promises."""
    package = ROOT / "dotflow"
    return [(one.parent.name, promise(one)) for one in sorted(package.glob("*/__init__.py"))]


def edges() -> list[tuple[str, str]]:
    """Which layer imports which, without what follows from others."""
    graph = grimp.build_graph("dotflow")
    counts: Counter[tuple[str, str]] = Counter()
    for module in graph.modules:
        for other in graph.find_modules_directly_imported_by(module):
            one, two = _layer(module), _layer(other)
            if one != two and one in LAYERS and two in LAYERS:
                counts[one, two] += 1
    direct = {pair for pair in counts if LAYERS.index(pair[0]) < LAYERS.index(pair[1])}
    return sorted(pair for pair in direct if not _is_through(pair, direct))


def _layer(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def _is_through(pair: tuple[str, str], direct: set[tuple[str, str]]) -> bool:
    """Whether one layer reaches the other by way of a third."""
    return any((pair[0], one) in direct and (one, pair[1]) in direct for one in LAYERS)


def picture() -> str:
    """The picture, and the table of the rooms."""
    arrows = "\n".join(f"    {one} --> {two}" for one, two in edges())
    table = "\n".join(f"| `{name}/` | {said} |" for name, said in rooms())
    return (
        f"```mermaid\nflowchart TD\n{arrows}\n```\n\n"
        f"| folder of `dotflow/` | what is in it |\n| --- | --- |\n{table}\n"
    )


def page_with(drawn: str) -> str:
    """The page with a picture between its marks."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{drawn}{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page_with(picture()), encoding="utf-8")
    sys.exit(0)
