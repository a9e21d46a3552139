"""Tracebacks begin at the user's code, however its step was run."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading

import pytest

import dotflow
from dotflow import Config, DotFlow, WorkflowFailed, action
from dotflow.providers import LogDefault

OURS = dotflow.__file__.removesuffix("__init__.py")


def boom():
    raise ValueError("boom")


@action
def plain():
    boom()


@action(timeout=60)
def limited():
    boom()


@action(retry=2, retry_delay=0)
def tried():
    boom()


@action
async def coroutine():
    await asyncio.sleep(0)
    boom()


@action
class Methods:
    @action
    def method(self):
        boom()


@action
def inner_step():
    boom()


@action
def nested():
    inner_step(task=None)


@action
def chained():
    try:
        boom()
    except ValueError as error:
        raise KeyError("outer") from error


@action
def own_thread():
    """What a user's own thread or context manager does is the user's."""
    raised = []

    def run():
        with contextlib.ExitStack() as stack:
            stack.callback(boom)

    def target():
        try:
            run()
        except ValueError as error:
            raised.append(error)

    thread = threading.Thread(target=target)
    thread.start()
    thread.join()
    raise raised[0]


@action(timeout=0.05)
def too_slow():
    threading.Event().wait(2)


def failure_of(step, mode="sequential"):
    workflow = DotFlow(config=Config(log=LogDefault(level="CRITICAL")))
    workflow.task.add(step)

    def run():
        manager = workflow.start(mode=mode)
        if mode == "background":
            manager.thread.join()

    # A thread of its own: another test may have left this one in the midst of an exception, by
    # raising one at an instruction at which none is raised.
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    (task,) = workflow.result_task()
    assert task.status == "Failed"
    return task.errors[-1]


def frames(text):
    """The function of each frame, in order."""
    return [line.rsplit(" in ", 1)[1] for line in text.splitlines() if line.startswith("  File ")]


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (plain, ["plain", "boom"]),
        (limited, ["limited", "boom"]),
        (tried, ["tried", "boom"]),
        (coroutine, ["coroutine", "boom"]),
        (Methods, ["method", "boom"]),
        (nested, ["nested", "inner_step", "boom"]),
        (chained, ["chained", "boom", "chained"]),
    ],
)
@pytest.mark.parametrize("mode", ["sequential", "background", "parallel"])
def test_frames_of_ours_are_left_out(step, expected, mode):
    """The frames are the user's alone, in every mode, in children, threads and event loops."""
    text = failure_of(step, mode).traceback
    assert frames(text) == expected
    assert OURS not in text
    assert text.count("Traceback (most recent call last):") == (2 if step is chained else 1)


def test_frames_of_a_users_own_machinery_stay():
    """Frames of the standard library that the step itself went through are there."""
    found = frames(failure_of(own_thread).traceback)
    assert found[0] == "own_thread"
    assert {"target", "run", "__exit__", "boom"} <= set(found)


def test_a_timeout_shows_no_frame_of_ours():
    """What the engine raises has its class and its words, and no frame."""
    error = failure_of(too_slow)
    assert error.traceback == "TimeoutError: timed out after 0.05 s\n"


@pytest.mark.skipif(sys.version_info < (3, 11), reason="there are no groups before")
def test_groups_keep_their_exceptions():
    """Each exception of a group has a traceback of its own, which begins at the user's code."""

    async def one():
        boom()

    @action
    async def grouped():
        async with asyncio.TaskGroup() as group:
            group.create_task(one())
            group.create_task(one())

    text = failure_of(grouped).traceback
    assert text.count("ValueError: boom") == 2
    assert text.count("in one") == 2
    assert "in grouped" in text
    assert OURS not in text


def test_what_is_all_ours_stays():
    """A fault without any frame of a user's can be looked into."""
    try:
        dotflow.Config(log=5)
    except Exception as error:
        ours = error.with_traceback(error.__traceback__.tb_next)
    text = dotflow.utils.traceback_error(ours)
    assert OURS in text


def test_a_failed_run_that_is_raised():
    """What start() raises of a failed run has no frame of ours (before Python 3.11, its own)."""
    workflow = DotFlow(config=Config(log=LogDefault(level="CRITICAL")))
    workflow.task.add(plain)
    with pytest.raises(WorkflowFailed) as raised:
        workflow.start(raise_on_failure=True)
    found = [entry.name for entry in raised.traceback]
    own = ["start"] if sys.version_info < (3, 11) else []
    assert found == ["test_a_failed_run_that_is_raised", *own]
