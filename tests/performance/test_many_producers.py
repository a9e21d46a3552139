"""The benchmark of many processes on one state folder runs, and says what it found."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
]


def test_a_table_is_printed():
    """Every figure of it is there, none below zero."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.many_producers",
         "--counts", "2", "--runs", "1", "--period", "0.5", "--print"],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    [line] = [one for one in done.stdout.splitlines() if one.startswith("| 2 |")]
    assert len(re.findall(r"(?<![-\d.])\d+(?:\.\d)? ?(?:ms|/s|\|)", line)) == 8, line
