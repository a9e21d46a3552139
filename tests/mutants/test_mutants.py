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
PATIENCE = 480  # seconds

KILL_LOOP = ["delivery/test_kill_loop.py::test_few_kills_lose_double_and_reorder_nothing"]

OTHERS = [
    "delivery/test_adoption.py::test_processes_that_start_at_once_share_what_is_left",
    "delivery/test_hostile_run.py::test_runs_through_all_that_a_server_may_do",
    "runlog/test_runlog_full_disk.py::test_a_run_whose_files_may_grow_no_further",
]

SUITES = {"kill loop": KILL_LOOP, "adoption, hostile server, full disk": OTHERS}
"""The tests that a fault in delivery cannot pass; those of one entry share an interpreter."""


def verdict(tests, mutant, folder):
    """Which tests failed and how many passed, with a mutant in dotflow or (with none) as it is."""
    done = subprocess.run(
        [
            sys.executable, "-m", "pytest", "-q", "--no-cov", "-n", "0", "-m", "not soak",
            "-rf", "-p", "no:cacheprovider", "--basetemp", folder / "tests",
            *(TESTS / one for one in tests),
        ],
        env={**os.environ, VARIABLE: mutant, "COLUMNS": "500"}, cwd=TESTS.parent, timeout=PATIENCE,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stdout + done.stderr  # else pytest itself has failed
    failed = re.findall(r"^FAILED tests/(\S+)(.*)", done.stdout, re.MULTILINE)
    # A fault that breaks the test itself has not been found by it.
    for test, why in failed:
        assert re.match(" - (AssertionError|assert )", why), f"{test}{why}"
    passed = re.search(r"(\d+) passed", last(done.stdout))
    return {test.partition("[")[0] for test, _ in failed}, int(passed[1]) if passed else 0


def last(text):
    return text.strip().rpartition("\n")[2]


@pytest.mark.parametrize("suite", SUITES)
def test_a_suite_passes_what_is_sound(suite, tmp_path):
    """With no mutant all that a suite is tried with here passes."""
    failed, passed = verdict(SUITES[suite], "", tmp_path)
    assert (failed, passed >= len(SUITES[suite])) == (set(), True)


@pytest.mark.parametrize("mutant", POINTS)
@pytest.mark.parametrize("suite", SUITES)
def test_a_suite_fails_on_a_planted_fault(suite, mutant, tmp_path):
    """With a mutant every one of the same tests fails."""
    failed, passed = verdict(SUITES[suite], mutant, tmp_path)
    assert (failed, passed) == (set(SUITES[suite]), 0)
