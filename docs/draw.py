"""Draw docs/demo.svg: what `dotflow demo` shows of a real run."""

from __future__ import annotations

import io
import os
import re
import sys
import tempfile
from html import unescape
from pathlib import Path

WIDTH = 118  # columns

UNITS = ("ms", "s")


def main() -> None:
    """Write the picture beside this file."""
    at = Path(__file__).resolve().with_name("demo.svg")  # before the folder changes
    at.write_text(picture(), encoding="utf-8")


def picture() -> str:
    """Run the demo in a folder that goes; the picture of what it shows."""
    with tempfile.TemporaryDirectory() as place:
        os.environ["DOTFLOW_STATE_DIR"] = f"{place}/state"
        os.chdir(place)
        from rich.console import Console
        from rich.terminal_theme import MONOKAI

        from dotflow.cli.commands.demo import run_demo
        from dotflow.cli.demo_page import show

        sys.argv = ["dotflow"]
        console = Console(
            record=True, width=WIDTH, highlight=False, file=io.StringIO(), force_terminal=True
        )
        console.print("$ dotflow demo", style="bold")
        show(run_demo(), console)
        drawn = console.export_svg(title="dotflow demo", theme=MONOKAI, unique_id="demo")
    # A picture that is opened from anywhere loads no font from elsewhere.
    drawn = re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL)
    return drawn.replace("Fira Code, monospace", "monospace").replace(place, ".")


def words(drawn: str) -> list[str]:
    """What a picture says whenever it is drawn: no times, ids and bars."""
    said = re.findall(r"<text[^>]*>([^<]*)</text>", drawn)
    plain = [one for one in unescape(" ".join(said)).replace("\xa0", " ").split() if one.isascii()]
    return [one for one in plain if one.isalpha() and one not in UNITS]


if __name__ == "__main__":
    main()
