"""Children end with the process that runs the workflow, however that ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(fcntl, "F_SETSIG"), reason="only Linux tells children")

TIME = 60
PROGRAM = """
import os, sys, time
from dotflow import DotFlow, action

def note(name):
    with open(name + ".part", "w") as file:
        file.write(str(os.getpid()))
    os.rename(name + ".part", name)

@action
def one():
    note("one")
    time.sleep(600)

@action
def two():
    if os.fork() == 0:  # a daemon that the step starts, for instance
        note("copy")
        time.sleep(600)
        os._exit(0)
    note("two")
    time.sleep(600)

if __name__ == "__main__":
    flow = DotFlow()
    flow.task.add([one, two])
    flow.start(mode="parallel", start_method=sys.argv[1])
"""

LATE = """
import multiprocessing.util, os, time
from dotflow import DotFlow, action

def late():
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(0.01)
    open("late", "w").close()

@action
def step():
    multiprocessing.util.Finalize(None, late, exitpriority=1)

flow = DotFlow()
flow.task.add(step)
flow.start(mode="parallel")
os._exit(0)
"""


def waits_for(condition):
    deadline = time.monotonic() + TIME
    while not (found := condition()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return found


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize(
    ("number", "method"),
    [
        (signal.SIGTERM, "fork"),
        pytest.param(signal.SIGKILL, "fork", marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, "spawn", marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, "fork", marks=pytest.mark.slow),
    ],
)
def test_a_step_ends_with_the_program(tmp_path, number, method):
    """A signal that ends the program alone ends its children's steps, not what these forked."""
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    names = ("one", "two", "copy")
    program = subprocess.Popen(
        [sys.executable, str(script), method], cwd=tmp_path,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    pids = {}
    try:
        assert waits_for(lambda: all((tmp_path / name).exists() for name in names))
        pids = {name: int((tmp_path / name).read_text()) for name in names}
        program.send_signal(number)
        program.wait(TIME)
        assert waits_for(lambda: not is_running(pids["one"]) and not is_running(pids["two"]))
        assert is_running(pids["copy"])
    finally:
        program.kill()
        program.wait(TIME)
        for pid in pids.values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def test_a_child_that_has_run_its_steps_ends_by_itself(tmp_path):
    """What it does at its end, as to send what is left, is not cut off by the program's end."""
    subprocess.run([sys.executable, "-c", LATE], cwd=tmp_path, timeout=TIME, check=True)
    assert waits_for((tmp_path / "late").exists)
