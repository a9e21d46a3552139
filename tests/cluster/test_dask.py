"""Steps on a Dask cluster of real processes over TCP."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
import requests
from cluster_steps import (
    large,
    read,
    starts_another,
    third_time,
    too_long,
    truthful,
    waits,
)
from distributed import Future
from support.otlp import OtlpReceiver

from dotflow import Config, DotFlow, action
from dotflow.api import ApiServer
from dotflow.core.remote.failures import WORKER_LOST
from dotflow.otel import ServerOtel

pytestmark = pytest.mark.slow

PROGRAM = Path(__file__).parent / "cluster_program.py"
TOKEN = "a-token-of-the-tests"
KILLS = 2
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


@pytest.fixture(scope="module")
def receiver():
    with OtlpReceiver() as one:
        yield one


@pytest.mark.parametrize("allowed_failures", [0, 3])
def test_workers_killed_at_random(allowed_failures, client, truth, receiver, tmp_path):
    """A killed worker is one Failed task and nobody else's; each step runs once.

    Dask would give up all that was assigned to the worker (0), or run its step anew (3).
    """
    receiver.clear()
    allow(client, allowed_failures)
    with ApiServer(f"sqlite:///{tmp_path}/api.db", TOKEN) as api:
        server = ServerOtel(api.url, TOKEN, endpoint=receiver.http_url, set_global=False)
        flow = DotFlow(config=Config(executor=client, server=server))
        for number in range(STEPS):
            flow.task.add(truthful, initial_context=(truth, number))
        with Killer(truth) as killer:
            manager = flow.start(mode="parallel", keep_going=True)
        server.close(60)
        path = f"{api.url}/workflows/{flow.workflow_id}/tasks"
        records = requests.get(path, headers={"X-User-Token": TOKEN}, timeout=60).json()["tasks"]

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
    assert killer.killed
    true = {str(task.task_id): task.status for task in manager.tasks}
    assert {str(one["task_id"]): one["status"] for one in records} == true
    completed = STEPS - len(lost)
    check_trace(receiver.wait_for(1 + STEPS + completed, 60), true)


def allow(client, many):
    """Have Dask give a task up when it has seen that many of its workers die."""
    client.run_on_scheduler(
        lambda dask_scheduler: vars(dask_scheduler).update(allowed_failures=many)
    )


def test_nobody_runs_it_again(client, truth, tmp_path):
    """Dask gives the step of a worker that died to an idle one, which refuses it."""
    until = tmp_path / "until"
    client.wait_for_workers(2, timeout=60)
    allow(client, 3)

    def kill():
        wait_until(lambda: read(truth))
        client.loop.add_callback(time.sleep, 1)  # it hears of the loss when the idle one has asked
        os.kill(int(read(truth)[0][1]), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    flow = DotFlow(config=Config(executor=client))
    flow.task.add(waits, initial_context=(truth, str(until)))
    [task] = flow.start(mode="parallel").tasks
    killer.join()
    until.touch()
    assert (task.status, task.errors[-1].error_type) == ("Failed", WORKER_LOST)
    wait_until(lambda: not any(client.processing().values()))
    assert client.submit(int).result(60) == 0  # by when the idle worker has had its turn
    assert [word for word, _ in read(truth)] == ["began"]


def check_trace(spans, true):
    """A trace has one root, each task once below it, and below that what its step has made."""
    [root] = [one for one in spans if not one.parent_id]
    tasks = [one for one in spans if "dotflow.task.id" in one.attributes]
    assert len(tasks) == len(true)
    completed = {one.span_id for one in tasks if one.attributes["dotflow.task.status"] != "Failed"}
    assert sorted(one.parent_id for one in spans if one.name == "inside") == sorted(completed)
    assert {one.parent_id for one in tasks} == {root.span_id}
    assert {
        str(one.attributes["dotflow.task.id"]): one.attributes["dotflow.task.status"]
        for one in tasks
    } == true


def test_a_module_is_uploaded(client, tmp_path, monkeypatch):
    """Without it the task is Failed, and says what is missing, and where."""
    (tmp_path / "late_steps.py").write_text(
        "from dotflow import action\n\n@action\ndef late():\n    return 'here'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    flow = DotFlow(config=Config(executor=client))
    flow.task.add("late_steps.late")
    [task] = flow.start(mode="parallel").tasks
    assert task.status == "Failed"
    assert "there is no module 'late_steps'" in task.errors[-1].message
    assert "can be imported where the workers run" in task.errors[-1].message
    client.upload_file(str(tmp_path / "late_steps.py"))
    flow = DotFlow(config=Config(executor=client))
    flow.task.add("late_steps.late")
    flow.start(mode="parallel")
    assert flow.result_storage() == ["here"]


_how_many = lambda dask_scheduler: len(dask_scheduler.tasks)  # noqa: E731 - it goes by value


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_script_that_is_ended(number, cluster, client, truth, tmp_path):
    """What waits is taken back and never begins; what runs goes on, and is told so."""
    client.wait_for_workers(2, timeout=60)
    until = tmp_path / "until"
    program = subprocess.Popen(
        [sys.executable, str(PROGRAM), cluster.address, truth, str(until)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    with program:
        wait_until(lambda: len(read(truth)) == 2)
        wait_until(lambda: client.run_on_scheduler(_how_many) >= 5)
        time.sleep(0.2)  # until the last one's submission has returned
        program.send_signal(number)
        lines = program.stdout.read().splitlines()
    assert program.returncode == -number
    if number == signal.SIGINT:
        said, tasks = json.loads(lines[-1])
        assert said == "by value"
        assert [status for status, _ in tasks] == 2 * ["Failed"] + 3 * ["Not started"]
        for _, [message] in tasks[:2]:
            assert message == "KeyboardInterrupt; its step may still run on a worker"
    wait_until(lambda: sum(map(len, client.processing().values())) <= 2)
    until.touch()
    wait_until(lambda: len(read(truth)) == 4)
    assert Counter(word for word, _ in read(truth)) == {"began": 2, "ended": 2}


def test_somebody_cancels_on_the_cluster(client, truth, tmp_path):
    """The steps that ran are lost; one that had not begun says that."""
    flow = DotFlow(config=Config(executor=client))
    flow.task.add([waits] * 3, initial_context=(truth, str(tmp_path / "until")))

    def cancel():
        wait_until(lambda: len(read(truth)) == 2)
        client.cancel([Future(key, client) for key in list(client.futures)])

    other = threading.Thread(target=cancel)
    other.start()
    manager = flow.start(mode="parallel", keep_going=True)
    other.join()
    (tmp_path / "until").touch()
    wait_until(lambda: len(read(truth)) == 4)
    said = sorted(task.errors[-1].message.partition(" ")[0] for task in manager.tasks)
    assert said == ["task", "worker", "worker"], [task.errors for task in manager.tasks]
    assert manager.status == "Failed"


def wait_until(is_so):
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)
