"""A command line loads the command that it names, and no other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dotflow.cli import commands
from dotflow.cli.setup import COMMANDS, module_of

OTHERS = ("rich", "requests", "urllib3", "sqlite3", "opentelemetry", "asyncio", "dotflow.otel")


def test_each_command_has_its_module_and_that_its_first_line():
    modules = {one.stem for one in Path(commands.__file__).parent.glob("*.py")} - {"__init__"}
    assert modules == set(COMMANDS)
    said = {name: (module_of(name).__doc__ or "").strip().splitlines()[0] for name in COMMANDS}
    assert said == COMMANDS


@pytest.mark.parametrize(
    ("word", "loaded"), [("--help", []), ("doctor", ["dotflow.cli.commands.doctor"])]
)
def test_nothing_else_is_loaded(word, loaded):
    program = (
        "import sys\nfrom dotflow.cli.setup import Command\n"
        "try:\n    Command(sys.argv[1:]).run()\nexcept SystemExit:\n    pass\n"
        "print(sorted(one for one in sys.modules if one.startswith('dotflow.cli.commands.')))\n"
        f"print([one for one in {OTHERS} if one in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", program, *dict.fromkeys([word, "--help"])],
        env={}, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines()[-2:] == [str(loaded), "[]"]
