"""Draw docs/demo.svg: what `dotflow demo` shows of a real run."""

from __future__ import annotations

import io
import os
import re
import sys
import tempfile
from pathlib import Path

WIDTH = 118  # columns


def main() -> None:
    """Run the demo in a folder that goes, and write the picture beside this file."""
    folder = Path(__file__).resolve().parent
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
        picture = console.export_svg(title="dotflow demo", theme=MONOKAI, unique_id="demo")
    # A picture that is opened from anywhere loads no font from elsewhere.
    picture = re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL)
    picture = picture.replace("Fira Code, monospace", "monospace").replace(place, ".")
    (folder / "demo.svg").write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    main()
