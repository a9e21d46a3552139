"""What a program that ends says of its runs: in a line, and by its exit status."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

ENDS = """
import sys, threading
from dotflow import Config, DotFlow, action
from dotflow.providers import LogDefault

@action
def stay():
    if "stay" in sys.argv:
        threading.Event().wait(60)

flow = DotFlow(config=Config(log=LogDefault(level="ERROR")), workflow_id="orders", name="etl")
flow.task.add(stay)
manager = flow.start(mode="background")
if "wait" in sys.argv:
    manager.wait(60)
if "fork" in sys.argv:
    import os
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
        os._exit(0)
"""


@pytest.mark.parametrize(("how", "lines"), [(["stay"], 1), (["wait"], 0), (["stay", "fork"], 0)])
def test_a_program_that_ends_without_waiting(how, lines):
    """One line says which run is cut off, and what to call; a copy of the process says nothing."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ENDS, *how],
        capture_output=True, text=True, timeout=60, check=True,
        env={**os.environ, "DOTFLOW_SERVER": "none"},
    )  # fmt: skip
    assert len(done.stderr.splitlines()) == lines
    assert done.stderr.count("workflow etl (orders). Call manager.wait() before") == lines


def test_a_failure_is_an_exit_status():
    """A script that asks for it ends with a status that is not 0, and shows the step's line."""
    program = (
        "from dotflow import DotFlow, action\n"
        "@action\ndef extract():\n    raise OSError('no route')\n"
        "flow = DotFlow()\nflow.task.add(extract)\nflow.start(raise_on_failure=True)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "DOTFLOW_SERVER": "none"},
    )  # fmt: skip
    assert done.returncode == 1
    assert "line 4, in extract" in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("dotflow.core.exception.WorkflowFailed: workflow ")
    assert last.endswith(" failed: task 1 (extract): OSError: no route")
