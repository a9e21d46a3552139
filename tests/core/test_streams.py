"""A child is forked while a thread of its parent writes to a stream."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from dotflow.core.children.streams import renew_streams

PROGRAM = Path(__file__).with_name("streams_program.py")


@pytest.mark.parametrize("streams", ["stdout", "stderr", "log", "stdout stderr log"])
def test_streams_that_are_written_to_at_the_fork(streams):
    """The step writes to them all the same, also by a handler that was made before, and ends."""
    # Unbuffered streams have no lock.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        [sys.executable, PROGRAM, *streams.split()],
        env=environment, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout.endswith("a step says\nCompleted\n")
    assert done.stderr.count("a step logs\n") == 2  # both handlers


def test_where_no_thread_is_to_be_had_nothing_is_changed(monkeypatch):
    """A step is not to fail for it."""

    def refuse(_):
        raise RuntimeError("can't start new thread")

    before = sys.stdout, sys.stderr
    monkeypatch.setattr(threading.Thread, "start", refuse)
    renew_streams()
    assert (sys.stdout, sys.stderr) == before
