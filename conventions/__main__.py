"""Makes what is made from the registry; with `--check` it only says what is stale."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from conventions import code, page
from conventions.registry import FOLDER, Registry, read

if TYPE_CHECKING:
    from pathlib import Path

ROOT = FOLDER.parent
CODE = ROOT / "dotflow" / "otel" / "attributes.py"
PAGE = ROOT / "docs" / "reference" / "telemetry.md"


def made(registry: Registry) -> dict[Path, str]:
    """The files that are made from the registry, each with the text that it is to have."""
    return {
        CODE: code.text_of(registry),
        PAGE: page.text_of(registry, PAGE.read_text("utf-8")),
    }


def main() -> int:
    """Write what is stale, or only name it; the exit status."""
    stale = {file: text for file, text in made(read()).items() if file.read_text("utf-8") != text}
    for file, text in stale.items():
        if "--check" not in sys.argv:
            file.write_text(text, "utf-8")
        sys.stdout.write(f"{file.relative_to(ROOT)}\n")
    return int(bool(stale) and "--check" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())
