"""The clock is set back while a run is under way: lengths and ends are as if it were not."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time

import pytest

from dotflow import Config, DotFlow, action
from dotflow.abc.facts import AttemptEnded, RunBegan, RunEnded, TaskBegan, TaskEnded
from dotflow.abc.server import Server
from dotflow.core.types import TypeStatus
from dotflow.providers import LogDefault

HOUR = 3600 * 10**9
AT_LEAST = 0.05  # seconds that each step takes


class Facts(Server):
    def __init__(self, clock):
        self.facts = []
        self.clock = clock

    def happened(self, fact, subject):
        self.facts.append(fact)
        if isinstance(fact, TaskBegan):
            self.clock.set_back()

    def of(self, kind):
        return [fact for fact in self.facts if isinstance(fact, kind)]

    create_workflow = update_workflow = create_task = update_task = None


Facts.__abstractmethods__ = frozenset()


class Clock:
    """The wall clock, as whoever sets it back by an hour leaves it."""

    def __init__(self, monkeypatch):
        real, self._ahead = time.time_ns, multiprocessing.Value("q", lock=False)  # of children too
        monkeypatch.setattr(time, "time_ns", lambda: real() + self._ahead.value)

    def set_back(self):
        self._ahead.value -= HOUR


@action
def waits():
    threading.Event().wait(AT_LEAST)


@action(retry=2, retry_delay=0)
def fails():
    threading.Event().wait(AT_LEAST)
    raise ValueError("no luck")


@action
def is_killed():
    threading.Event().wait(AT_LEAST)
    os.kill(os.getpid(), signal.SIGKILL)


@action
def is_interrupted():
    threading.Event().wait(AT_LEAST)
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("mode", "steps"),
    [
        ("sequential", [waits, fails]),
        ("background", [waits, fails]),
        ("parallel", [waits, fails, is_killed]),
        ("sequential", [is_interrupted]),
    ],
)
def test_lengths_and_ends(mode, steps, monkeypatch):
    """Every task and the run end after they began, by as much as they took."""
    server = Facts(Clock(monkeypatch))
    flow = DotFlow(config=Config(server=server, log=LogDefault(level="CRITICAL")))
    flow.task.add(steps)
    began = time.perf_counter()
    try:
        manager = flow.start(mode=mode, keep_going=True)
    except KeyboardInterrupt:
        assert steps == [is_interrupted]
    if mode == "background":
        manager.thread.join()
    longest = time.perf_counter() - began
    (run,), (end,) = server.of(RunBegan), server.of(RunEnded)
    assert AT_LEAST <= (end.at_ns - run.at_ns) / 1e9 <= longest
    begins = {fact.task_id: fact.at_ns for fact in server.of(TaskBegan)}
    ends = server.of(TaskEnded)
    assert len(ends) == len(steps)
    for fact in ends:
        length = (fact.at_ns - begins[fact.task_id]) / 1e9
        assert AT_LEAST <= length <= longest
        assert fact.duration == pytest.approx(length)
    assert all(fact.at_ns >= begins[fact.task_id] for fact in server.of(AttemptEnded)
               if mode != "parallel")  # fmt: skip
    statuses = {task.status for task in flow.task.queue}
    assert statuses <= {TypeStatus.COMPLETED, TypeStatus.FAILED}
