"""Settings, and the library's own logger."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dotflow.logging import logger
from dotflow.settings import Settings


def _in_a_fresh_process(expression, **environment):
    done = subprocess.run(
        [sys.executable, "-c", f"from dotflow.settings import Settings; print({expression})"],
        capture_output=True, text=True, timeout=20, check=True, env={**os.environ, **environment},
    )  # fmt: skip
    return done.stdout.strip(), done.stderr


def test_values():
    """The paths, marks and layouts of the contract."""
    assert Path(".output") == Settings.START_PATH
    assert Settings.LOG_PATH == Settings.START_PATH / "flow.log"
    assert Path("flow.log") == Settings.LOG_FILE_NAME
    assert Path(".gitignore") == Settings.GITIGNORE
    assert Settings.LOG_PROFILE == "dotflow"
    assert Settings.LOG_FORMAT == "%(asctime)s - %(levelname)s [%(name)s]: %(message)s"
    for word in ("Error", "Info", "Warning", "Question"):
        assert f"{word}:" in getattr(Settings, f"{word.upper()}_ALERT")
    assert Settings.ICON != Settings.STEP_ICON


def test_the_start_path_comes_from_the_environment():
    """DOTFLOW_OUTPUT_PATH is read at import."""
    found, _ = _in_a_fresh_process("Settings.LOG_PATH", DOTFLOW_OUTPUT_PATH="/somewhere")
    assert found == "/somewhere/flow.log"


@pytest.mark.parametrize(
    ("value", "expected"), [("3", 3), ("", None), ("0", None), ("-1", None), ("many", None)]
)
def test_processes_at_once(value, expected):
    """DOTFLOW_MAX_PROCESSES is a number above 0; else, warned of, the processors, at least 4."""
    found, said = _in_a_fresh_process("Settings.MAX_PROCESSES", DOTFLOW_MAX_PROCESSES=value)
    assert int(found) == (expected or max(4, os.cpu_count()))
    assert ("DOTFLOW_MAX_PROCESSES" in said) is (expected is None and value != "")


def test_the_librarys_logger():
    """It is the stdlib's "dotflow", at INFO, with one stream handler."""
    assert logger is logging.getLogger("dotflow")
    assert logger.level == logging.INFO
    assert [type(handler) for handler in logger.handlers] == [logging.StreamHandler]
