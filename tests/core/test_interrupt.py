"""KeyboardInterrupt, and who ends a run from outside: it is reported, and the interrupt goes on."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest
from core_doubles import echo

from dotflow import DotFlow, action
from dotflow.core import interrupt
from dotflow.core.exception import Interrupted


@pytest.mark.parametrize("timeout", [0, 5])
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupted_step(record, recorded, error, timeout):
    """A step that is interrupted fails, is not retried, and the interrupt leaves start()."""

    @action(timeout=timeout, retry=3, retry_delay=0)
    def step():
        raise error

    called = []

    def note(tasks):
        called.append(tasks)

    flow = DotFlow(config=recorded, workflow_id="w")
    flow.task.add([step, echo])
    with pytest.raises(error):
        flow.start(on_success=note, on_failure=note, keep_going=True)
    task, other = flow.task.queue
    assert (task.status, task.errors[0].exception) == ("Failed", error.__name__)
    assert task.finished_at is not None
    assert (task.retry_count, other.status, called) == (0, "Not started", [])
    assert record.of(1)[-1] == "server.update_task 1 Failed"
    assert record.calls[-1] == "server.update_workflow w Failed"


@pytest.mark.parametrize("mode", ["parallel", "sequential_group"])
def test_an_interrupted_parent(record, recorded, mode):
    """Ctrl-C in the parent kills the children and reports what they ran as failed."""

    @action
    def step():
        Path(f"pid-{os.getpid()}").touch()
        time.sleep(30)

    def interrupt():
        while not list(Path().glob("pid-*")):
            time.sleep(0.01)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    flow = DotFlow(config=recorded, workflow_id="w")
    flow.task.add([step, echo])
    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        flow.start(mode=mode)
    thread.join()
    task = flow.task.queue[0]
    assert (task.status, task.errors[0].exception) == ("Failed", "KeyboardInterrupt")
    assert record.of(1)[-1] == "server.update_task 1 Failed"
    assert record.calls[-1] == "server.update_workflow w Failed"
    (pid,) = [int(file.name.split("-")[1]) for file in Path().glob("pid-*")]
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.fixture
def interrupts():
    """Somebody who may end the runs of this process."""
    made = interrupt.Interrupts(in_child=lambda: None)
    with interrupt.used(made):
        yield made


def test_an_interrupt_says_which_signal():
    """Its text names the signal, also one without a name; it is what Ctrl-C raises."""
    assert str(Interrupted(signal.SIGTERM)) == "interrupted by SIGTERM"
    assert str(Interrupted(99)) == "interrupted by signal 99"
    assert isinstance(Interrupted(2), KeyboardInterrupt)


def test_where_nobody_asks_all_of_it_is_nothing():
    """Without a command line windows, checks and waits do what they are called."""
    with interrupt.window():
        interrupt.check()
    thread = threading.Thread(target=lambda: None)
    thread.start()
    interrupt.join(thread)
    interrupt.sleep(0)
    assert not interrupt.is_used()
    assert not interrupt.is_out_of_reach()


def test_windows(interrupts):
    """Within a window it is raised at once, else at the next one; what is closed within waits."""
    with interrupt.window(), interrupt.window(is_open=False):
        interrupts.ask(signal.SIGTERM)
    with pytest.raises(Interrupted, match="SIGTERM"), interrupt.window():
        pytest.fail("not reached")
    with pytest.raises(Interrupted):
        interrupt.check()


def test_an_open_window(interrupts):
    """Where the thread is in a window, asking raises there."""
    with pytest.raises(Interrupted, match="SIGINT"), interrupt.window():
        interrupts.ask(signal.SIGINT)
    interrupts.ask(signal.SIGINT)  # closed again: no more than a note


@pytest.mark.parametrize("where", [lambda: interrupt.sleep(30), lambda: interrupt.join(_endless())])
def test_other_threads_look_by_themselves(interrupts, where):
    """A thread that no signal reaches ends its wait when somebody has asked for the end."""
    ended = []

    def wait():
        try:
            where()
        except Interrupted as error:
            ended.append(str(error))

    thread = threading.Thread(target=wait)
    thread.start()
    interrupts.ask(signal.SIGTERM)
    thread.join(30)
    _enough.set()
    assert ended == ["interrupted by SIGTERM"]


_enough = threading.Event()


def _endless():
    _enough.clear()
    thread = threading.Thread(target=_enough.wait, args=(30,), daemon=True)
    thread.start()
    return thread


def test_waits_that_end_by_themselves(interrupts):
    """A sleep and a join with a limit end in time where nobody asks."""
    interrupt.sleep(0.01)
    waiting = _endless()
    interrupt.join(waiting, 0.01)
    assert waiting.is_alive()
    _enough.set()
    interrupt.join(waiting)
    assert not waiting.is_alive()
    seen = []
    thread = threading.Thread(target=lambda: seen.append(interrupt.sleep(0.01)))
    thread.start()
    thread.join()
    assert seen == [None]


def test_a_background_run(record, recorded, interrupts):
    """The run in the other thread fails its task, begins no other, and raises in no hook."""
    begun, raised = threading.Event(), []

    @action(retry=3)
    def step():
        begun.set()
        _enough.wait(30)

    _enough.clear()
    flow = DotFlow(config=recorded, workflow_id="w")
    flow.task.add([step, echo])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threading, "excepthook", lambda args: raised.append(args.exc_value))
        manager = flow.start(mode="background")
        assert begun.wait(30)
        interrupts.ask(signal.SIGTERM)
        manager.thread.join()
    _enough.set()
    task, other = flow.task.queue
    assert (task.status, task.errors[0].message) == ("Failed", "interrupted by SIGTERM")
    assert (task.retry_count, other.status, raised) == (0, "Not started", [])
    assert record.calls[-1] == "server.update_workflow w Failed"


@pytest.mark.parametrize("mode", ["sequential", "sequential_group", "parallel"])
def test_an_end_that_was_asked_for_before_the_first_task(record, recorded, interrupts, mode):
    """No task begins; the workflow is Failed."""
    flow = DotFlow(config=recorded, workflow_id="w")
    flow.task.add([echo, echo])
    interrupts.ask(signal.SIGTERM)
    with pytest.raises(Interrupted):
        flow.start(mode=mode)
    assert [task.status for task in flow.task.queue] == ["Not started"] * 2
    assert record.calls[-1] == "server.update_workflow w Failed"


def test_a_run_within_a_step(interrupts, quiet):
    """A step that runs a workflow of its own is interrupted in the inner step; both fail."""
    inner = DotFlow(config=quiet)

    @action
    def innermost():
        interrupts.ask(signal.SIGTERM)

    @action
    def outer():
        inner.task.add(innermost)
        inner.start()

    flow = DotFlow(config=quiet)
    flow.task.add(outer)
    with pytest.raises(Interrupted):
        flow.start()
    assert (inner.task.queue[0].status, flow.task.queue[0].status) == ("Failed", "Failed")
