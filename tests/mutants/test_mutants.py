"""The suites that hold delivery to its word find small faults that are planted in it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.mutants import POINTS, VARIABLE

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
]

TESTS = Path(__file__).parent.parent
PATIENCE = 240  # seconds

SUITES = {
    "kill loop": "test_kill_loop.py::test_60_kills_lose_double_and_reorder_nothing",
    "adoption": "test_adoption.py::test_processes_that_start_at_once_share_what_is_left",
    "full disk": "../runlog/test_runlog_full_disk.py::test_a_run_whose_files_may_grow_no_further",
    "hostile server": "test_hostile_run.py::test_runs_through_all_that_a_server_may_do",
}
"""The test of each suite that a fault in delivery cannot pass."""


def verdict(test, mutant, folder):
    """How many tests failed and passed, with a mutant in dotflow or (with none) as it is."""
    done = subprocess.run(
        [
            sys.executable, "-m", "pytest", "-q", "--no-cov", "-n", "0", "-m", "not soak",
            "-rf", "-p", "no:cacheprovider", "--basetemp", folder / "tests",
            TESTS / "delivery" / test,
        ],
        env={**os.environ, VARIABLE: mutant, "COLUMNS": "500"}, cwd=TESTS.parent, timeout=PATIENCE,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    counted = {what: int(number) for number, what in re.findall(r"(\d+) (\w+)", last(done.stdout))}
    assert done.returncode in (0, 1), done.stdout + done.stderr  # else pytest itself has failed
    # A fault that breaks the test itself has not been found by it.
    for line in re.findall("^FAILED.*", done.stdout, re.MULTILINE):
        assert re.search(" - (AssertionError|assert )", line), line
    return counted.get("failed", 0), counted.get("passed", 0)


def last(text):
    return text.strip().rpartition("\n")[2]


@pytest.mark.parametrize("suite", SUITES)
def test_a_suite_passes_what_is_sound(suite, tmp_path):
    """With no mutant all that a suite is tried with here passes."""
    failed, passed = verdict(SUITES[suite], "", tmp_path)
    assert (failed, passed > 0) == (0, True)


@pytest.mark.parametrize("mutant", POINTS)
@pytest.mark.parametrize("suite", SUITES)
def test_a_suite_fails_on_a_planted_fault(suite, mutant, tmp_path):
    """With a mutant every one of the same tests fails."""
    failed, passed = verdict(SUITES[suite], mutant, tmp_path)
    assert (failed > 0, passed) == (True, 0)
