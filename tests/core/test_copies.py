"""A step forks, and its copy of the process comes back: only the run's own process has a say."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

HEAD = """
import os, sys, time
from dotflow import Config, DotFlow, action
from dotflow.abc.server import Server
from dotflow.process.at_exit import close_at_exit
from dotflow.providers import LogDefault, StorageDefault

def note(text):
    with open("notes", "a") as file:
        file.write(text + "\\n")

class Told(Server):
    def happened(self, fact, subject):
        note(f"{type(fact).__name__} {getattr(fact, 'task_id', '')}".strip())
    def close(self, timeout=None):
        note("closed")
    create_workflow = update_workflow = create_task = update_task = None
Told.__abstractmethods__ = frozenset()

class Kept(StorageDefault):
    def post(self, key, context, ttl=None, fingerprint=None):
        note(f"kept {context.storage}")
        super().post(key, context)

server = Told()
close_at_exit(server)
config = Config(server=server, storage=Kept(), log=LogDefault(level="CRITICAL"))

@action
def after(previous_context):
    note("after")
    return f"after {previous_context.storage}"
"""

TAIL = """
if __name__ == "__main__":
    mode = sys.argv[1]
    flow = DotFlow(config=config)
    flow.task.add(forks, callback=globals().get("callback", lambda task: None))
    flow.task.add(after)
    flow.task.add(after, group_name="other" if mode == "sequential_group" else "default")
    manager = flow.start(mode=mode)
    if mode == "background":
        manager.thread.join()
    print([task.status for task in flow.result_task()], flow.result_storage()[0])
"""

RETURNS = """
@action
def forks():
    if not os.fork():
        time.sleep(0.2)
        return "copy"
    return "own"
"""

RETURNS_FIRST = """
@action
def forks():
    pid = os.fork()
    if not pid:
        return "copy"
    os.waitpid(pid, 0)
    return "own"
"""

RAISES = """
@action(retry=2, retry_delay=0)
def forks():
    pid = os.fork()
    if not pid:
        raise ValueError("in the copy")
    os.waitpid(pid, 0)
    return "own"
"""

EXITS = """
@action
def forks():
    pid = os.fork()
    if not pid:
        sys.exit(0)
    os.waitpid(pid, 0)
    return "own"
"""

FORKS_TWICE = """
@action
def forks():
    pid = os.fork()
    if not pid:
        if os.fork():
            sys.exit(0)
        time.sleep(0.2)
        return "copy"
    os.waitpid(pid, 0)
    return "own"
"""

IN_A_THREAD = """
@action(timeout=10)
def forks():
    pid = os.fork()
    if not pid:
        return "copy"
    os.waitpid(pid, 0)
    return "own"
"""

CALLBACK = """
@action
def forks():
    return "own"

def callback(task):
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
"""

MODES = ["sequential", "sequential_group", "background", "parallel"]


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "step",
    [RETURNS, RETURNS_FIRST, RAISES, EXITS, FORKS_TWICE, IN_A_THREAD, CALLBACK],
    ids=["returns", "returns_first", "raises", "exits", "forks_twice", "in_a_thread", "callback"],
)
def test_a_copy_has_no_say(step, mode):
    """All is told, kept and closed once, by the process of the run; the copy's result is lost."""
    Path("program.py").write_text(textwrap.dedent(HEAD + step + TAIL))
    done = subprocess.run(
        [sys.executable, "program.py", mode],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout == "['Completed', 'Completed', 'Completed'] own\n"
    notes = Path("notes").read_text().splitlines()
    assert notes.count("RunBegan") == notes.count("RunEnded") == notes.count("closed") == 1
    for number in (1, 2, 3):
        assert notes.count(f"TaskBegan {number}") == notes.count(f"TaskEnded {number}") == 1
    assert notes.count("kept own") == 1
    assert notes.count("kept copy") == 0
    assert notes.count("after") == 2


def test_a_process_that_runs_closes_what_delivers():
    """A forked process that has a run of its own closes at its end, and its parent too."""
    Path("program.py").write_text(
        textwrap.dedent(
            HEAD
            + """
pid = os.fork()
flow = DotFlow(config=config)
flow.task.add(after)
flow.start()
if pid:
    os.waitpid(pid, 0)
"""
        )
    )
    subprocess.run([sys.executable, "program.py"], timeout=60, check=True)
    assert Path("notes").read_text().splitlines().count("closed") == 2
