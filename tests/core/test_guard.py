"""The guard: what a provider raises goes no further."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager

import pytest
from core_doubles import echo, fail

from dotflow import Config, DotFlow
from dotflow.abc.log import Log
from dotflow.abc.metrics import Metrics
from dotflow.abc.notify import Notify
from dotflow.abc.server import Server
from dotflow.abc.tracer import Tracer
from dotflow.core.guard import Guard


class Hook:
    def fine(self, *args, **kwargs):
        return args, kwargs

    def broken(self):
        raise RuntimeError("down")

    def interrupted(self):
        raise KeyboardInterrupt

    def cancelled(self):
        raise asyncio.CancelledError


def test_call_returns_what_the_hook_returns():
    """A call passes its arguments on and returns the hook's answer."""
    guard = Guard()
    assert guard.call(Hook(), "fine", 1, a=2) == ((1,), {"a": 2})
    assert guard.failures == {}


def test_a_fault_is_logged_once_and_counted(caplog):
    """A hook that raises is None; it is logged once with its name, and counted each time."""
    guard = Guard()
    for _ in range(3):
        assert guard.call(Hook(), "broken") is None
    assert guard.call(Hook(), "missing") is None
    assert guard.failures == {"Hook.broken": 3, "Hook.missing": 1}
    assert [record.getMessage().split(" ")[0] for record in caplog.records] == [
        "Hook.broken", "Hook.missing",
    ]  # fmt: skip
    assert "RuntimeError: down" in caplog.text


def test_what_ends_the_program_goes_on():
    """An exception that ends the program is not the guard's; any other one is."""
    guard = Guard()
    with pytest.raises(KeyboardInterrupt):
        guard.call(Hook(), "interrupted")
    assert guard.call(Hook(), "cancelled") is None
    assert guard.failures == {"Hook.cancelled": 1}


class Managers:
    """Hooks that return context managers, each broken at another place."""

    @contextmanager
    def enter(self):
        raise RuntimeError("enter")
        yield

    @contextmanager
    def leave(self):
        yield
        raise RuntimeError("leave")

    def none(self):
        return 5


@pytest.mark.parametrize("hook", ["enter", "leave", "none"])
def test_context_managers(hook):
    """A context manager that fails at either end, or is none, is counted and left out."""
    guard = Guard()
    guard.enter(Managers(), hook)()
    assert guard.failures == {f"Managers.{hook}": 1}


def _raise(*args, **kwargs):
    raise RuntimeError("down")


def _broken(contract):
    """A provider whose every hook raises."""
    names = [name for name in dir(contract) if not name.startswith("_")]
    return type(f"Broken{contract.__name__}", (contract,), dict.fromkeys(names, _raise))()


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["sequential", "sequential_group", "background", "parallel"])
@pytest.mark.parametrize("contract", [Notify, Log, Tracer, Metrics, Server])
def test_a_broken_provider_does_not_hurt_the_work(mode, contract, caplog):
    """Whatever hooks of a provider raise, the run has the results it would have without."""
    config = Config(**{contract.__name__.lower(): _broken(contract)})
    for workflow_id in (None, "managed"):
        flow = DotFlow(config=config, workflow_id=workflow_id)
        flow.task.add([echo, fail], initial_context=1)
        outcome = []
        manager = flow.start(mode=mode, on_failure=lambda tasks, note=outcome.append: note(tasks))
        if mode == "background":
            manager.thread.join()
        assert [task.status for task in flow.task.queue] == ["Completed", "Failed"]
        assert flow.result_storage() == [1, None]
        assert len(outcome) == 1
    assert config.guard.failures
    raised = [record for record in caplog.records if " raised;" in record.getMessage()]
    assert len(raised) == len(config.guard.failures)
