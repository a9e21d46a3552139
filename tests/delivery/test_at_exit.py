"""What was reported when a program ends is delivered, or the program ends all the same."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time

import pytest
from support.fault_server import TOKEN, hang, status

from dotflow.process import at_exit
from dotflow.process.at_exit import flush_timeout, seconds_from_environment

HEADER = """
import os, sys, threading
from dotflow import DotFlow, action

@action
def step():
    return 1

def run(tasks=5, **kwargs):
    workflow = DotFlow(**kwargs)
    for _ in range(tasks):
        workflow.task.add(step)
    workflow.start()
"""


def program(api, body, timeout=60, **environment):
    """Run a program that reports to `api`; how long it took, and what it wrote."""
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", HEADER + textwrap.dedent(body)],
        env={
            **os.environ, "DOTFLOW_SERVER_URL": api.url, "DOTFLOW_USER_TOKEN": TOKEN, **environment
        },
        capture_output=True, text=True, timeout=timeout, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == 0, done.stderr
    return time.monotonic() - started, done.stderr


def everything_arrived(api, workflows=1, tasks=5):
    states = [one["status"] for one in (*api.workflows.values(), *api.tasks.values())]
    return states == ["Completed"] * (workflows + workflows * tasks)


def test_everything_is_delivered_at_exit(api):
    """A program that ends at once after its run has it delivered."""
    api.latency = 0.03
    program(api, "run()")
    assert everything_arrived(api)


def test_also_of_workflows_that_nobody_holds(api):
    """Workflows that are gone when the program ends are delivered too."""
    api.latency = 0.01
    program(api, "import gc\nfor _ in range(5): run(2)\ngc.collect()")
    assert everything_arrived(api, workflows=5, tasks=2)


def test_also_when_an_error_ends_the_program(api):
    """An exit by sys.exit in a function delivers as a normal end does."""
    program(api, "def main():\n    run()\n    sys.exit(0)\nmain()")
    assert everything_arrived(api)


def test_also_from_a_thread_that_outlives_the_main_one(api):
    """A run that begins when the main thread has ended already is delivered."""
    program(
        api,
        """
        import time
        threading.Thread(target=lambda: (time.sleep(0.3), run())).start()
        """,
    )
    assert everything_arrived(api)


def test_also_from_an_exit_handler(api):
    """A run in an exit handler is delivered, where no thread can be started any more."""
    program(api, "import atexit, dotflow.providers\natexit.register(run)")
    assert everything_arrived(api)


@pytest.mark.parametrize("kind", ["hangs", "away"])
def test_a_dead_server_holds_up_the_exit_no_longer_than_said(api, kind):
    """A dead server costs DOTFLOW_FLUSH_TIMEOUT, and one line says what is left and where."""
    reference, _ = program(api, "run()", DOTFLOW_SERVER_URL="", DOTFLOW_USER_TOKEN="")
    if kind == "hangs":
        api.on(".", hang)
    else:
        api.close()
    took, said = program(api, "run()", DOTFLOW_FLUSH_TIMEOUT="0.5")
    assert took < reference + 12.0  # a call of its own may take 15
    assert said.count("`dotflow outbox flush`, sends them") == 1
    assert TOKEN not in said


def test_a_refused_token_does_not_hold_up_the_exit(api):
    """Where the server refuses the token, waiting longer would change nothing."""
    api.on(".", status(401))
    _, said = program(api, "run()", timeout=50, DOTFLOW_FLUSH_TIMEOUT="60")
    assert said.count("Set DOTFLOW_USER_TOKEN") == 1
    assert TOKEN not in said


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_child_of_multiprocessing_delivers_its_own(api, tmp_path, method):
    """A child that runs a workflow has it delivered before it ends, where atexit does not run."""
    api.latency = 0.02
    (tmp_path / "steps.py").write_text(HEADER)
    program(
        api,
        f"""
        import multiprocessing
        sys.path.insert(0, {str(tmp_path)!r})
        import steps
        run()
        child = multiprocessing.get_context({method!r}).Process(target=steps.run)
        child.start()
        child.join()
        assert child.exitcode == 0
        """,
    )
    assert everything_arrived(api, workflows=2)


# Who closes whom, and how much of the time each gets.


class Slow:
    def __init__(self):
        self.closed = None

    def close(self, timeout=None):
        self.closed = timeout


class Sender(Slow):
    def __init__(self, log):
        super().__init__()
        self.log = log

    def hurry(self):
        self.log.append("hurry")

    def close(self, timeout=None):
        super().close(timeout)
        self.log.append("sender")


class Failing(Slow):
    def close(self, timeout=None):
        raise RuntimeError("cannot")


@pytest.fixture
def alone(monkeypatch):
    monkeypatch.setattr(at_exit, "_open", type(at_exit._open)())
    monkeypatch.setattr(at_exit, "_kept", set())


def test_senders_are_closed_last(alone, monkeypatch):
    """What delivers in its own threads works while the others are closed."""
    log = []

    class Other(Slow):
        def close(self, timeout=None):
            super().close(timeout)
            log.append("other")

    sender, other = Sender(log), Other()
    for one in (sender, other):
        at_exit.close_at_exit(one)
    at_exit._close_all()
    assert log == ["hurry", "other", "sender"]
    assert 4 < sender.closed <= 5


def test_time_is_shared_fairly(alone, monkeypatch):
    """One that takes its whole share leaves the others theirs."""
    monkeypatch.setenv("DOTFLOW_FLUSH_TIMEOUT", "9")
    all_of_them = [Slow() for _ in range(3)]
    for one in all_of_them:
        at_exit.close_at_exit(one)
    at_exit._close_all()
    shares = sorted(one.closed for one in all_of_them)
    assert shares[0] == pytest.approx(3, abs=0.5)
    assert shares[2] == pytest.approx(9, abs=0.5)


def test_one_that_fails_leaves_the_others(alone, caplog):
    """What one raises at exit is one line, and the others are closed."""
    failing, fine = Failing(), Slow()
    at_exit.close_at_exit(failing)
    at_exit.close_at_exit(fine)
    at_exit._close_all()
    assert fine.closed is not None
    assert "Failing could not be closed" in caplog.text


def test_forgotten_and_gone_ones_are_not_closed(alone):
    """What was closed already, or is gone, is not closed at exit."""
    forgotten = Slow()
    at_exit.close_at_exit(forgotten)
    at_exit.close_at_exit(Slow())
    at_exit.forget(forgotten)
    at_exit._close_all()
    assert forgotten.closed is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [("", 5), ("2.5", 2.5), ("0", 0), ("-1", 0), ("x", 5), ("nan", 5), ("inf", 86_400)],
)
def test_flush_timeout(monkeypatch, value, expected):
    """The variable is seconds; what is none is the default; nothing is more than a day."""
    monkeypatch.setenv("DOTFLOW_FLUSH_TIMEOUT", value)
    assert flush_timeout() == expected
    assert seconds_from_environment("DOTFLOW_NOT_SET", 7) == 7


NO_THREADS = """
import atexit

def bye():
    def refuse(thread):
        raise RuntimeError("can't create new thread at interpreter shutdown")
    threading.Thread.start = refuse
    for _ in range(RUNS):
        run()

import dotflow.providers
atexit.register(bye)
"""
"""What Python does from 3.12 on once the interpreter ends."""


@pytest.mark.parametrize("bulk", [0, 500])
@pytest.mark.parametrize("runs", [1, 3])
def test_a_first_run_where_no_thread_can_be_started(api, runs, bulk):
    """A run in an exit handler that finds no relay's thread is delivered by the exit itself."""
    api.bulk = bulk
    program(api, f"RUNS = {runs}\n{NO_THREADS}")
    assert everything_arrived(api, workflows=runs)


def test_where_no_thread_can_be_started_a_dead_server_costs_the_time_said(api):
    """Also then the exit takes no longer than DOTFLOW_FLUSH_TIMEOUT, and a line says what waits."""
    reference, _ = program(api, "run()", DOTFLOW_SERVER_URL="", DOTFLOW_USER_TOKEN="")
    api.on(".", hang)
    took, said = program(api, f"RUNS = 1\n{NO_THREADS}", DOTFLOW_FLUSH_TIMEOUT="0.5")
    assert took < reference + 12.0  # a call of its own may take 15
    assert said.count("`dotflow outbox flush`, sends them") == 1
