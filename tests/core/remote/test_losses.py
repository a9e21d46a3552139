"""Workers that are lost: what was running is lost with them, and nothing runs twice."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from remote_steps import dies, says_and_waits

from dotflow import DotFlow
from dotflow.testing import rehearsal

FORK = multiprocessing.get_context("fork")
LONG = 60  # seconds


def test_a_killed_worker_fails_what_was_running(processes, tmp_path):
    """Each that ran is Failed as lost, each that did not says so, and each ran once at most."""
    flow = DotFlow()
    flow.task.add(says_and_waits, initial_context=(str(tmp_path), 1))
    flow.task.add(dies, initial_context=str(tmp_path / "ran.1"))
    flow.task.add([says_and_waits] * 2, initial_context=(str(tmp_path), 3))
    with rehearsal() as seen:
        manager = flow.start(mode="parallel", keep_going=True, executor=processes)
    errors = [task.errors[-1] for task in manager.tasks]
    assert [error.error_type for error in errors[:2]] == ["worker_lost"] * 2
    assert all(error.message.startswith("worker lost: ") for error in errors[:2])
    assert all("the executor takes no work" in error.message for error in errors[2:])
    assert [name.name for name in tmp_path.glob("ran.*")] == ["ran.1"]
    assert len((tmp_path / "ran.1").read_text().splitlines()) == 1
    ends = [fact.task_id for fact in seen.facts if type(fact).__name__ == "TaskEnded"]
    assert sorted(ends) == [1, 2, 3, 4]


def test_what_had_not_begun_says_so(tmp_path):
    """A pool that others use too breaks before a step begins: it is not said to be lost."""
    with ProcessPoolExecutor(1, mp_context=FORK) as pool:
        theirs = pool.submit(wait_and_die, str(tmp_path / "submitted"))
        flow = DotFlow()
        flow.task.add(says_and_waits, initial_context=(str(tmp_path), 1))
        pool_submit = pool.submit

        def submit(*args):
            future = pool_submit(*args)
            (tmp_path / "submitted").touch()
            return future

        pool.submit = submit
        manager = flow.start(mode="parallel", executor=pool)
    assert theirs.exception() is not None
    (task,) = manager.tasks
    assert "task 1 ('says_and_waits') was not begun" in task.errors[-1].message
    assert task.errors[-1].error_type == "worker_lost"
    assert not list(tmp_path.glob("ran.*"))


def wait_and_die(path):
    end = time.monotonic() + LONG
    while not Path(path).exists() and time.monotonic() < end:
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)
