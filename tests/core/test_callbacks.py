"""Callbacks that raise: logged and counted as a provider's fault is, the same in every mode."""

from __future__ import annotations

import asyncio
import sys

import pytest
from core_doubles import echo, fail

from dotflow import Config, DotFlow
from dotflow.core import guard
from dotflow.providers import LogDefault

MODES = ["sequential", "sequential_group", "background", "parallel"]
IN_CHILDREN = ["sequential_group", "parallel"]


class Odd(BaseException):
    """No Exception, and nothing that ends a program."""


class Hostile(Exception):
    """One that ends whoever asks what it says."""

    def __str__(self):
        raise SystemExit(5)


class Many:
    """Raises something else at each call."""

    def __init__(self, *errors):
        self.errors = errors

    def __call__(self, task):
        raise self.errors[task.task_id % len(self.errors)]


@pytest.fixture
def config():
    return Config(log=LogDefault(level="ERROR"))


@pytest.fixture
def lines(caplog):
    """What was logged of callbacks."""
    return lambda: [one for one in caplog.records if "raised; the workflow" in one.getMessage()]


def run(flow, mode, **kwargs):
    manager = flow.start(mode=mode, keep_going=True, **kwargs)
    if mode == "background":
        manager.thread.join()
    return manager


@pytest.mark.parametrize("mode", MODES)
def test_a_tasks_callback(config, lines, mode):
    """It changes neither its task nor the run; each is counted by its step, the first is logged."""
    wrong = Many(LookupError("gone"), asyncio.CancelledError(), Odd("odd"), Hostile())
    outcomes = []
    flow = DotFlow(config=config)
    flow.task.add([echo, echo, fail, fail], callback=wrong, initial_context=1)
    run(flow, mode, on_failure=lambda tasks: outcomes.append(len(tasks)))
    assert [task.status for task in flow.result_task()] == ["Completed"] * 2 + ["Failed"] * 2
    assert flow.result_storage() == [1, 1, None, None]
    assert [len(task.errors) for task in flow.result_task()] == [0, 0, 1, 1]
    assert config.guard.failures == {"echo.callback": 2, "fail.callback": 2}
    assert outcomes == [4]
    assert sorted(one.getMessage().split(" ")[0] for one in lines()) == [
        "echo.callback", "fail.callback",
    ]  # fmt: skip


@pytest.mark.parametrize("mode", MODES)
def test_the_line_says_where(config, caplog, mode):
    """The line of a callback has its traceback, also where that was in a child."""
    flow = DotFlow(config=config)
    flow.task.add(echo, callback=Many(LookupError("gone")))
    run(flow, mode)
    assert "LookupError: gone" in caplog.text
    assert "in __call__" in caplog.text


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("step", "name"), [(echo, "on_success"), (fail, "on_failure")])
@pytest.mark.parametrize("error", [LookupError("gone"), Odd("odd"), Hostile()])
def test_callbacks_of_the_run(config, lines, mode, step, name, error):
    """start() returns its Manager; the run stays what it was; its end is told first."""
    told = []

    def note(tasks):
        told.append(len(tasks))
        raise error

    flow = DotFlow(config=config)
    flow.task.add(step)
    manager = run(flow, mode, **{name: note})
    assert manager.tasks == flow.result_task()
    assert told == [1]
    assert config.guard.failures == {f"DotFlow.{name}": 1}
    assert len(lines()) == 1


def test_a_run_without_a_config(caplog):
    """A Manager without a Config logs it too."""
    from dotflow.core.workflow import Manager

    def note(tasks):
        raise LookupError("gone")

    assert Manager([], on_success=note).tasks == []
    assert "DotFlow.on_success raised" in caplog.text


def leave(task):
    sys.exit(4)


def test_a_callback_that_ends_the_program(record, recorded):
    """SystemExit leaves start(), once the run is reported as Failed; its task is Completed."""
    flow = DotFlow(config=recorded, workflow_id="w")
    flow.task.add([echo, echo], callback=leave)
    with pytest.raises(SystemExit):
        flow.start()
    assert [task.status for task in flow.result_task()] == ["Completed", "Not started"]
    assert record.calls[-1] == "server.update_workflow w Failed"


@pytest.mark.parametrize("mode", IN_CHILDREN)
def test_a_callback_that_ends_a_child(config, mode):
    """In a child it ends the child alone: the result is there, and other tasks go on."""
    flow = DotFlow(config=config)
    flow.task.add([echo, echo], callback=leave, initial_context=1)
    run(flow, mode)
    assert flow.result_storage() == [1, 1]
    assert config.guard.failures == {"echo.callback": 2}


def test_the_guard_logs_once_a_name(caplog):
    """Of what raises again and again one line is written."""
    made = guard.Guard()
    for _ in range(3):
        made.raised("step.callback", ValueError("x"))
    made.raised("other.callback", traceback="Traceback: y")
    assert made.failures == {"step.callback": 3, "other.callback": 1}
    assert len(caplog.records) == 2
    assert "Traceback: y" in caplog.text
