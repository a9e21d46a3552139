"""Steps on a Dask cluster of real processes over TCP."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections import Counter
from contextlib import suppress

import pytest
from cluster_steps import large, read, starts_another, third_time, too_long, truthful

from dotflow import Config, DotFlow, action
from dotflow.core.remote.failures import WORKER_LOST

pytestmark = pytest.mark.slow

KILLS = 3
STEPS = 24


@pytest.fixture(scope="module")
def ran(client, tmp_path_factory):
    """The tasks of a run of steps of each kind, by the names of their steps."""

    @action
    def local(initial_context):
        return initial_context.storage, os.getpid()

    @action
    def local_again(initial_context):
        return initial_context.storage, os.getpid()

    flow = DotFlow(config=Config(executor=client))
    tries = str(tmp_path_factory.mktemp("ran") / "tries")
    steps = [local, local_again, third_time, too_long, large, starts_another]
    flow.task.add(steps, initial_context=tries)
    manager = flow.start(mode="parallel", keep_going=True)
    return {task.step.name: task for task in manager.tasks}


def test_steps_run_on_the_workers(ran, client):
    """Also one that a function defines, and one whose result is large."""
    assert [ran[name].status for name in ("local", "local_again", "large")] == 3 * ["Completed"]
    workers = set(client.run(os.getpid).values())
    assert ran["local"].current_context.storage[1] in workers
    assert ran["local"].place.process in workers
    assert len(ran["large"].current_context.storage) == 17 * 1024 * 1024


def test_retry_and_timeout_happen_there(ran):
    """As they do in a child process."""
    third, late = ran["third_time"], ran["too_long"]
    assert (third.status, third.retry_count, third.current_context.storage) == (
        "Completed", 2, "at last",
    )  # fmt: skip
    assert (late.status, late.errors[-1].exception) == ("Failed", "TimeoutError")


def test_a_step_starts_no_workflow_on_its_own_cluster(ran):
    """It would hold the worker for which it waits."""
    error = ran["starts_another"].errors[-1]
    assert error.exception == "ClusterUnfit"
    assert 'mode="sequential"' in error.message


class Killer(threading.Thread):
    """Kills workers, one now and then, of which a file of truth says that they run a step."""

    def __init__(self, truth):
        super().__init__()
        self._truth = truth
        self._is_over = threading.Event()
        self.killed = []

    def run(self):
        chance = random.Random(1)
        while len(self.killed) < KILLS and not self._is_over.wait(chance.uniform(0.05, 0.2)):
            lines = read(self._truth)
            ended = {number for word, number, _ in lines if word == "ended"}
            running = [process for word, number, process in lines
                       if word == "began" and number not in ended]  # fmt: skip
            if running and running[-1] not in self.killed:
                with suppress(ProcessLookupError):
                    os.kill(int(running[-1]), signal.SIGKILL)
                    self.killed.append(running[-1])

    def __exit__(self, *_):
        self._is_over.set()
        self.join()

    def __enter__(self):
        self.start()
        return self


def test_workers_killed_at_random(client, truth):
    """A killed worker is one Failed task and nobody else's; every step runs once."""
    flow = DotFlow(config=Config(executor=client))
    for number in range(STEPS):
        flow.task.add(truthful, initial_context=(truth, number))
    with Killer(truth) as killer:
        manager = flow.start(mode="parallel", keep_going=True)

    lines = read(truth)
    process_of = {int(number): process for word, number, process in lines if word == "began"}
    ended = {int(number) for word, number, _ in lines if word == "ended"}
    assert Counter(word for word, *_ in lines)["began"] == STEPS == len(process_of)
    lost = []
    for number, task in enumerate(manager.tasks):
        if task.status == "Failed":
            assert task.errors[-1].error_type == WORKER_LOST
            lost.append(process_of[number])
        else:
            assert number in ended
            assert (task.status, task.current_context.storage) == ("Completed", number)
    # A worker may have been killed when its step's end was told already: then nothing is lost.
    assert len(lost) == len(set(lost))
    assert set(lost) <= set(killer.killed)
    assert STEPS - len(ended) <= len(lost)
    assert len(killer.killed) >= 2
