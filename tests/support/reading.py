"""What a piece of work reads: a measure that no load of the machine changes."""

from __future__ import annotations

from pathlib import Path

import pytest

COUNTERS = Path("/proc/thread-self/io")

needs_counters = pytest.mark.skipif(
    not COUNTERS.exists(), reason="needs a system that counts what is read"
)


def bytes_read():
    """How many bytes this thread has read so far."""
    lines = COUNTERS.read_text(encoding="ascii").splitlines()
    return int(dict(line.split(": ") for line in lines)["rchar"])
