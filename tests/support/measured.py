"""Coverage of children that costs as little as may be: a run of the tests has thousands of them."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent

# With `source`, as pyproject.toml has it, each child looks for all files of dotflow and notes that
# they are there. The workers do so for all.
_settings = tempfile.NamedTemporaryFile("w", suffix=".ini", encoding="utf-8")  # noqa: SIM115 - as long as the process
_settings.write(f"""\
[run]
branch = true
concurrency = multiprocessing, thread
parallel = true
include = {ROOT}/dotflow/*
""")
_settings.flush()


def lighten_children() -> None:
    """Where coverage is measured, have children that multiprocessing forks begin it quickly.

    A child took 80 ms of processor for it, three quarters of what a test of forked steps costs, and
    takes 26: half of what is gone is the settings, half a stack that is noted for whoever debugs
    coverage, with the source of each frame.
    """
    if "COVERAGE_RCFILE" in os.environ:  # where children look; coverage has set it
        from coverage import collector

        os.environ["COVERAGE_RCFILE"] = _settings.name
        collector.short_stack = lambda *_, **__: ""
