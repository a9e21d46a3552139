"""Waiting for what other processes do."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

PATIENCE = 60.0  # seconds; nothing takes so long but on a machine that is stuck


def wait_for(condition):
    """Wait until something is so, and return it."""
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, "it never was so"
        time.sleep(0.01)
    return found


def pids(name="slow"):
    """The processes that have noted that they run a step."""
    return [int(file.suffix[1:]) for file in Path().glob(f"{name}.*") if file.suffix[1:].isdigit()]


def summary(said):
    """The line that says what came of a run, and what the lines after it name."""
    lines = said.splitlines()
    (number,) = [n for n, line in enumerate(lines) if line.startswith(("completed: ", "failed: "))]
    return lines[number], dict(line.split(None, 1) for line in lines[number + 1 :])


def is_gone(pid):
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("Z")
    return True
