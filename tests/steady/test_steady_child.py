"""What a child costs before its step begins, with all that reports on: a step that reports nothing
pays for nothing of that."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from steady_measure import _receivers

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

MOST = 540
"""Python calls: a fifth more than there are (446; there were 1,760, and a child of a run that
reports nowhere makes 160)."""


def test_a_child_of_a_reported_run_makes_few_calls_before_its_step():
    """It is counted, for seconds and page faults hang on the machine."""
    program = Path(__file__).with_name("steady_child_program.py")
    with _receivers("both") as (environment, _):
        done = subprocess.run(
            [sys.executable, program], env=environment, capture_output=True, text=True,
            timeout=120, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    calls = json.loads(done.stdout)
    most = sorted(calls.items(), key=lambda one: -one[1])[:20]
    assert 100 < sum(calls.values()) <= MOST, most
