"""Say on docs/index.md which versions the blocks of the docs were run with.

`python docs/versions.py` writes the line anew; run it after `pytest -m '' tests/docs`, in the same
environment.
"""

from __future__ import annotations

import platform
import sys
from importlib.metadata import version
from pathlib import Path

PAGE = Path(__file__).resolve().parent / "index.md"
BEGIN, END = "<!-- versions -->\n", "<!-- end of versions -->\n"
PACKAGES = ("opentelemetry-sdk", "fastapi", "distributed", "celery", "s3fs", "apprise")


def line() -> str:
    """The versions that are installed here."""
    found = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        "The tests run every block of these pages. "
        f"This text is that of dotflow {version('dotflow')}, run with "
        f"Python {platform.python_version()}, {found}.\n"
    )


def page_with(said: str) -> str:
    """The page with the line between its marks, at its end at first."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before.rstrip()}\n\n{BEGIN}{said}{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page_with(line()), encoding="utf-8")
    sys.exit(0)
