"""Background runs: a daemon thread, and start() that returns at once."""

from __future__ import annotations

import contextvars
import threading

from core_doubles import echo

from dotflow import DotFlow, action


def test_start_returns_while_the_work_goes_on(flow):
    """start() returns at once; Manager.thread is the daemon thread of the work."""
    go, outcome = threading.Event(), []

    @action
    def wait():
        return go.wait(60)

    flow.task.add(wait)
    manager = flow.start(mode="background", on_success=lambda tasks: outcome.append("success"))
    assert manager.thread.daemon
    assert manager.thread.is_alive()
    assert outcome == []
    go.set()
    manager.thread.join(60)
    assert flow.result_storage() == [True]
    assert outcome == ["success"]


def test_the_callback_comes_from_the_thread(flow):
    """on_success is called by the daemon thread, once the work is done."""
    seen = []
    flow.task.add(echo)
    manager = flow.start(
        mode="background", on_success=lambda tasks: seen.append(threading.current_thread())
    )
    manager.thread.join()
    assert seen == [manager.thread]


def test_other_modes_have_no_thread(flow):
    """Only a background run has a thread."""
    assert not hasattr(flow.start(), "thread")


def test_context_variables_go_along(flow):
    """What is current where start() is called is current in the steps."""
    current = contextvars.ContextVar("current")
    current.set("a span")

    @action
    def step():
        return current.get()

    flow.task.add(step)
    flow.start(mode="background").thread.join()
    assert flow.result_storage() == ["a span"]


def test_what_escapes_is_reported_and_raised_in_the_thread(record, recorded, monkeypatch):
    """Where the storage fails, the workflow is Failed and the thread raises what it raised."""
    raised = []
    monkeypatch.setattr(threading, "excepthook", lambda args: raised.append(args.exc_value))

    def refuse(*args, **kwargs):
        raise OSError("disk full")

    flow = DotFlow(config=recorded, workflow_id="w")
    flow.task.add(echo)
    monkeypatch.setattr(recorded.storage, "post", refuse)
    flow.start(mode="background").thread.join()
    assert [str(error) for error in raised] == ["disk full"]
    assert record.calls[-1] == "server.update_workflow w Failed"
