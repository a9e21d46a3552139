"""Coverage of children that costs as little as may be: a run of the tests has thousands of them."""

from __future__ import annotations

import _thread
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

LONGEST_SAVE = 5.0
"""Seconds that a child may take to write its coverage, which are some milliseconds."""


def lighten_children() -> None:
    """Where coverage is measured, have children that multiprocessing forks begin it quickly.

    A child took 80 ms of processor for it, three quarters of what a test of forked steps costs, and
    takes 26: half of what is gone is the settings, half a stack that is noted for whoever debugs
    coverage, with the source of each frame.
    """
    if "COVERAGE_RCFILE" in os.environ:  # where children look; coverage has set it
        from coverage import Coverage, collector

        os.environ["COVERAGE_RCFILE"] = _settings.name
        collector.short_stack = lambda *_, **__: ""
        Coverage.save = _in_time(Coverage.save)


def _in_time(save):
    """Have a child that cannot write its coverage end without it, as if it had.

    SQLite, in which coverage is kept, waits for ever in a child that was forked as another thread
    of the parent was in SQLite: a dotflow-api of a test, for instance.
    """
    parent = os.getpid()

    def saved(coverage):
        if os.getpid() == parent:
            save(coverage)
            return
        is_saved = _thread.allocate_lock()
        is_saved.acquire()
        # Not by `threading`: what a test notes of a child's threads is to be the child's.
        _thread.start_new_thread(_end_unless, (is_saved,))
        save(coverage)
        is_saved.release()

    return saved


def _end_unless(is_saved):
    if not is_saved.acquire(timeout=LONGEST_SAVE):
        os._exit(0)
