"""Descriptors of ours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dotflow.runlog.ownfile import HIGH

STATUS = Path("/proc/self/status")

PROGRAM = f"""
import dotflow.otel
with open({str(STATUS)!r}) as status:
    print([line.split()[1] for line in status if line.startswith("FDSize:")][0])
"""


@pytest.mark.skipif(not STATUS.exists(), reason="needs Linux")
def test_the_table_of_descriptors_reaches_up_to_ours_before_there_are_threads():
    """To enlarge it later, in a first run, takes 10 to 20 ms: Linux waits for all processors."""
    size = subprocess.check_output([sys.executable, "-c", PROGRAM], text=True, timeout=60)
    assert int(size) > max(HIGH)
