"""An exception at any instant of a run leaves no task and no run open."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from dotflow import Config, DotFlow, action
from dotflow.abc.facts import RunBegan, RunEnded, TaskBegan, TaskEnded
from dotflow.abc.server import Server
from dotflow.core import unfinished
from dotflow.providers import LogDefault, StorageDefault

PACKAGE = f"{os.sep}dotflow{os.sep}core{os.sep}"


class Facts(Server):
    """Keeps the facts it is told."""

    def __init__(self):
        self.facts = []

    def happened(self, fact, subject):
        self.facts.append(fact)

    def create_workflow(self, workflow): ...
    def update_workflow(self, workflow, status=""): ...
    def create_task(self, task): ...
    def update_task(self, task): ...


class Interrupter:
    """Raises KeyboardInterrupt at the n-th instruction of the engine."""

    def __init__(self, number):
        self.left = number
        self.where = None

    def __call__(self, frame, event, argument):
        if PACKAGE not in frame.f_code.co_filename:
            return None
        frame.f_trace_opcodes = True
        return self.step

    def step(self, frame, event, argument):
        if event == "opcode":
            self.left -= 1
            if self.left == 0:
                self.where = (frame.f_code.co_name, frame.f_lineno)
                raise KeyboardInterrupt
        return self.step


@action
def one():
    return 1


@action(retry=2, retry_delay=0)
def fails():
    raise ValueError("on purpose")


def run_interrupted(config, number, **how):
    """Run two tasks and interrupt the run; return where that was, None if it ended before.

    In a thread of its own: at some instructions, where no signal is noticed, an exception leaves
    behind what the thread handles, and all that is raised there later would be chained with it.
    """
    found = []
    thread = threading.Thread(target=lambda: found.append(_run_interrupted(config, number, how)))
    thread.start()
    thread.join()
    return found[0]


def _run_interrupted(config, number, how):
    flow = DotFlow(config=config)
    flow.task.add([one, fails])
    interrupter = Interrupter(number)
    before = sys.gettrace()
    gc.disable()  # a finalizer is no part of the run
    sys.settrace(interrupter)
    try:
        flow.start(keep_going=True, **how)
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(before)
        gc.enable()
    return interrupter.where, flow


def open_records(facts):
    """What began and has not ended, or was told twice as two facts."""
    distinct = Counter(type(fact) for fact in set(facts))
    began = {fact.task_id for fact in facts if isinstance(fact, TaskBegan)}
    ended = [fact.task_id for fact in set(facts) if isinstance(fact, TaskEnded)]
    runs = (distinct[RunBegan], distinct[RunEnded])
    return (began ^ set(ended), len(ended) - len(set(ended)), runs[0] - runs[1])


@pytest.mark.parametrize(
    ("every", "threads"),
    [
        (17, 0),
        pytest.param(1, 0, marks=pytest.mark.slow),
        pytest.param(67, 2, marks=pytest.mark.slow),
    ],
)
def test_wherever_it_is_interrupted(every, threads):
    """At each instruction: every task and run that began has ended, each with one fact."""
    with ThreadPoolExecutor(max(1, threads)) as pool:
        interrupt_often(every, {"mode": "parallel", "executor": pool} if threads else {})


def interrupt_often(every, how):
    server = Facts()
    config = Config(server=server, log=LogDefault(level="CRITICAL"), storage=StorageDefault())
    config.log._level = 100
    number, places, wrong = 0, set(), []
    while True:
        number += every
        server.facts.clear()
        where, flow = run_interrupted(config, number, **how)
        if where is None:
            break
        places.add(where)
        statuses = {task.status for task in flow.task.queue}
        if open_records(server.facts) != (set(), 0, 0) or "In progress" in statuses:
            wrong.append((*where, open_records(server.facts), statuses))
        if unfinished._taken:  # it could never be started again
            wrong.append((*where, "taken"))
            unfinished._taken.clear()
    assert len(places) > 50
    assert wrong == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_a_plain_script(number, tmp_path):
    """A program that is interrupted between two reports has ended all that it opened."""
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent(
            """
            import os, signal, sys
            from dotflow import Config, DotFlow, action
            from dotflow.abc.server import Server
            from dotflow.providers import LogDefault

            signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))

            class Told(Server):
                def happened(self, fact, subject):
                    if type(fact).__name__ in ("RunBegan", "TaskBegan", "TaskEnded", "RunEnded"):
                        task = getattr(fact, "task_id", 0)
                        os.write(1, f"{type(fact).__name__} {task} {fact.n}\\n".encode())
                create_workflow = update_workflow = create_task = update_task = None
            Told.__abstractmethods__ = frozenset()

            @action
            def one(): return 1

            config = Config(server=Told(), log=LogDefault(level="ERROR"))
            parent = os.getppid()
            while os.getppid() == parent:
                flow = DotFlow(config=config)
                flow.task.add([one] * 20)
                flow.start()
            """
        )
    )
    for turn in range(5):
        process = subprocess.Popen(
            [sys.executable, program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        lines = [process.stdout.readline() for _ in range(50 + 7 * turn)]
        process.send_signal(number)
        lines += process.stdout.readlines()
        process.stdout.close()
        assert process.wait(30) != 0
        words = {tuple(line.decode().split()) for line in lines}
        kinds = Counter(kind for kind, *_ in words)
        assert kinds["TaskBegan"] == kinds["TaskEnded"] > 0
        assert kinds["RunBegan"] == kinds["RunEnded"] > 0
