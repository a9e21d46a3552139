"""Where the examples are, and how long they may take."""

from __future__ import annotations

from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"
TIME = 120.0  # seconds, for a machine that is busy
