"""Retries, delays and time limits of one task."""

from __future__ import annotations

import contextvars
import subprocess
import sys
import threading
import time

import pytest

from dotflow import DotFlow, action
from dotflow.core import engine, interrupt
from dotflow.core.task import Task

TIMEOUT = 0.05
MODES = ["sequential", "sequential_group", "background", "parallel"]


def run(quiet, step, mode="sequential", **kwargs):
    flow = DotFlow(config=quiet)
    flow.task.add(step, **kwargs)
    manager = flow.start(mode=mode)
    if mode == "background":
        manager.thread.join()
    return flow.task.queue[0]


@pytest.fixture
def delays(monkeypatch):
    """The delays that the engine sleeps, without sleeping."""
    slept = []
    monkeypatch.setattr(interrupt.time, "sleep", slept.append)
    return slept


@pytest.mark.parametrize("retry", [-1, 0, 1, 3])
def test_attempts_in_all(quiet, delays, retry):
    """`retry` is the number of attempts; below 1 counts as 1."""
    calls = []

    @action(retry=retry)
    def step():
        calls.append(1)
        raise ValueError("x")

    task = run(quiet, step)
    attempts = max(1, retry)
    assert len(calls) == attempts
    assert (task.status, task.retry_count, len(task.errors)) == ("Failed", attempts - 1, attempts)
    assert len(delays) == attempts - 1


@pytest.mark.parametrize(("backoff", "expected"), [(False, [2, 2, 2]), (True, [2, 4, 8])])
def test_delays(quiet, delays, backoff, expected):
    """Between attempts `retry_delay` seconds pass, doubling with `backoff`; none after the last."""

    @action(retry=4, retry_delay=2, backoff=backoff)
    def step():
        raise ValueError("x")

    run(quiet, step)
    run(quiet, step)
    assert delays == expected * 2


def test_a_retry_saves_the_task(quiet, delays):
    """A task that a retry saves is Completed, with the error of the attempt that failed."""
    calls = []

    @action(retry=3)
    def step(initial_context):
        calls.append(1)
        if len(calls) < 2:
            raise ValueError("first")
        return initial_context.storage

    task = run(quiet, step, initial_context="v")
    assert (task.status, task.retry_count, task.current_context.storage) == ("Completed", 1, "v")
    assert [(error.attempt, error.message) for error in task.errors] == [(1, "first")]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "error",
    [
        ValueError("no initial_context here"),
        TypeError("step() missing 1 required positional argument: 'previous_context'"),
        AssertionError("wrong"),
        TimeoutError("the step's own"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_every_error_is_retried_and_kept_as_it_is(quiet, mode, error):
    """No error is masked or exempt from retries, whatever its class or text."""

    @action(retry=2, retry_delay=0)
    def step():
        raise error

    task = run(quiet, step, mode)
    assert task.status == "Failed"
    assert [one.exception for one in task.errors] == [type(error).__name__] * 2
    assert [one.message for one in task.errors] == [str(error)] * 2
    assert [one.error_type for one in task.errors] == [type(error).__name__] * 2


@pytest.mark.parametrize("mode", MODES)
def test_a_timeout_is_a_failed_attempt(quiet, mode):
    """A timed-out attempt is retried; its error names the limit and is marked as the engine's."""

    over = threading.Event()

    @action(retry=2, retry_delay=0, timeout=TIMEOUT)
    def step():
        over.wait(60)

    task = run(quiet, step, mode)
    over.set()
    assert (task.status, task.retry_count) == ("Failed", 1)
    assert [(one.exception, one.message, one.error_type) for one in task.errors] == [
        ("TimeoutError", "timed out after 0.05 s", "timeout")
    ] * 2


def test_what_a_timed_out_attempt_still_does_has_no_effect(quiet):
    """A late result or error of an attempt that timed out changes nothing."""
    over, late = threading.Event(), threading.Event()

    @action(timeout=TIMEOUT)
    def step():
        over.wait(60)
        late.set()
        return "late"

    task = run(quiet, step)
    over.set()
    assert late.wait(60)
    assert (task.status, task.current_context.storage) == ("Failed", None)
    assert len(task.errors) == 1


@pytest.mark.parametrize("limit", [0, 60])
def test_in_time(quiet, limit):
    """A step that is in time, or has no limit, gives its result."""

    @action(timeout=limit)
    def step(initial_context):
        return initial_context.storage

    assert run(quiet, step, initial_context=3).current_context.storage == 3


def test_an_error_within_the_limit_is_the_steps_own(quiet):
    """What the step raises in its thread fails the task with the step's traceback."""

    @action(timeout=60)
    def step():
        raise KeyError("own")

    task = run(quiet, step)
    assert task.errors[0].exception == "KeyError"
    assert 'raise KeyError("own")' in task.errors[0].traceback


def test_context_variables_in_the_thread_of_a_limit(quiet):
    """What is current where the engine runs is current in the thread of a time limit."""
    current = contextvars.ContextVar("current")

    @action(timeout=60)
    def step():
        return current.get()

    current.set("a span")
    assert run(quiet, step).current_context.storage == "a span"


def test_coroutine_with_a_limit(quiet):
    """A coroutine may have a time limit."""

    over = threading.Event()

    @action(timeout=TIMEOUT)
    async def step():
        import asyncio

        while not over.is_set():
            await asyncio.sleep(0.01)

    task = run(quiet, step)
    over.set()
    assert task.errors[0].message == "timed out after 0.05 s"


def test_a_timed_out_thread_does_not_hold_the_exit():
    """The interpreter ends although a timed-out step still runs."""
    program = (
        "import time\n"
        "from dotflow import DotFlow, action\n"
        "@action(timeout=0.05)\n"
        "def step(): time.sleep(60)\n"
        "flow = DotFlow()\n"
        "flow.task.add(step)\n"
        "flow.start()\n"
        "print(flow.task.queue[0].status)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "Failed\n"


def test_duration_covers_the_attempts_and_delays(quiet):
    """The duration runs from the start of the task to its end, dates and all."""

    @action(retry=2, retry_delay=0.05)
    def step():
        time.sleep(0.01)
        raise ValueError

    task = run(quiet, step)
    assert 0.07 <= task.duration < 60
    assert (task.finished_at - task.started_at).total_seconds() == pytest.approx(
        task.duration, abs=1e-4
    )


def test_retries_of_a_task_on_its_own():
    """TaskEngine works with a Task that belongs to no workflow."""

    @action(retry=2, retry_delay=0)
    def step():
        raise ValueError

    task = Task(task_id=1, step=step)
    with engine.TaskEngine(task=task, workflow_id=None).start() as running:
        running.execute_with_retry()
    assert (task.status, task.retry_count) == ("Failed", 1)
