"""SIGTERM and Ctrl-C: real processes, real signals, and what dotflow-api has afterwards."""

from __future__ import annotations

import os
import signal
import threading

import pytest
from cli_waiting import is_gone, pids, wait_for

from dotflow import DotFlow, action
from dotflow.cli import signals
from dotflow.core import interrupt
from dotflow.core.exception import Interrupted

FLOWS = [
    ("sequential", "slow_flow", 1),
    ("sequential", "slow_in_time_flow", 1),
    ("sequential", "stubborn_flow", 1),
    ("sequential", "coroutine_flow", 1),
    ("background", "slow_flow", 1),
    ("sequential_group", "groups", 2),
    ("parallel", "two_slow", 2),
]
CASES = [(signal.SIGTERM, *flow) for flow in FLOWS]
CASES += [(signal.SIGINT, *FLOWS[number]) for number in (0, 4)]


def begin(spawn, workflow, mode, count, *words):
    process = spawn("start", "-w", f"{{}}.{workflow}", "-m", mode, *words)
    wait_for(lambda: len(pids()) == count or process.poll() is not None)
    assert process.poll() is None, process.communicate()[0]
    return process


def interrupted_tasks(api):
    """The names of the tasks that the signal failed, each with what its record says."""
    failed = [task for task in api.tasks() if task["status"] == "Failed"]
    return [(task["name"], task["errors"][-1]["message"]) for task in failed]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "mode", "workflow", "count"), CASES)
def test_a_signal_fails_what_runs(spawn, default_dialect, number, mode, workflow, count):
    """The tasks under way and the workflow are Failed with the reason, children are gone, and the
    exit status is 128 and the signal's number."""
    process = begin(spawn, workflow, mode, count)
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + number, output
    assert f"interrupted by {number.name}" in output
    (record,) = default_dialect.workflows()
    assert record["status"] == "Failed"
    message = f"interrupted by {number.name}"
    assert [text for _, text in interrupted_tasks(default_dialect)] == [message] * count
    waiting = [one for one in default_dialect.tasks() if one["name"] == "total"]
    assert {task["status"] for task in waiting} <= {"Not started"}
    assert {task["retry_count"] for task in default_dialect.tasks()} == {0}
    assert all(is_gone(pid) for pid in pids())


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "workflow", "count"), [FLOWS[4], FLOWS[5]])
def test_otel_reports_the_end_too(spawn, default_dialect, mode, workflow, count):
    """With --server otel the records say the same."""
    process = begin(spawn, workflow, mode, count, "--server", "otel")
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 143, output
    (record,) = default_dialect.workflows()
    assert (record["status"], len(record["trace_id"])) == ("Failed", 32)
    assert interrupted_tasks(default_dialect) == [("slow", "interrupted by SIGTERM")] * count


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["sequential", "parallel"])
def test_ctrl_c_reaches_the_whole_group(spawn, default_dialect, mode):
    """As a terminal sends it, to children too: the parent says what became of them."""
    workflow, count = ("two_slow", 2) if mode == "parallel" else ("slow_flow", 1)
    process = begin(spawn, workflow, mode, count)
    for pid in {process.pid, *pids()}:
        os.kill(pid, signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert interrupted_tasks(default_dialect) == [("slow", "interrupted by SIGINT")] * count
    assert output.splitlines()[-1] == "Aborted."


@pytest.mark.slow
def test_a_signal_ends_the_processes_of_a_pool(spawn, default_dialect):
    """As it ends children of our own: what waits is not begun, and nothing is left running."""
    process = begin(spawn, "in_processes", "parallel", 2)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 143, output
    assert interrupted_tasks(default_dialect) == [("slow", "interrupted by SIGTERM")] * 2
    (total,) = [task for task in default_dialect.tasks() if task["name"] == "total"]
    assert total["status"] == "Not started"
    wait_for(lambda: all(is_gone(pid) for pid in pids()))


@pytest.mark.slow
def test_a_signal_cannot_end_the_threads_of_a_pool(spawn, default_dialect):
    """The records say so at once; the program ends with its steps, or by a second signal."""
    process = begin(spawn, "in_threads", "parallel", 1)
    wait_for(
        lambda: (
            default_dialect.workflows()
            and [one["status"] for one in default_dialect.tasks()].count("In progress") == 2
        )
    )
    process.send_signal(signal.SIGTERM)
    message = "interrupted by SIGTERM; its step may still run on a worker"
    wait_for(lambda: [one["status"] for one in default_dialect.workflows()] == ["Failed"])
    assert interrupted_tasks(default_dialect) == [("slow", message)] * 2
    assert process.poll() is None
    wait_for(lambda: process.send_signal(signal.SIGTERM) or process.poll() is not None)
    process.communicate(timeout=60)


@pytest.mark.slow
def test_sigterm_to_a_child_alone_is_a_failed_task(spawn, default_dialect):
    """A child has the default handler: it dies, its task failed, and the others go on."""
    process = begin(spawn, "groups", "sequential_group", 2)
    victim, other = pids()
    os.kill(victim, signal.SIGTERM)
    wait_for(lambda: default_dialect.workflows() and interrupted_tasks(default_dialect))
    (task,) = [task for task in default_dialect.tasks() if task["status"] == "Failed"]
    assert "was killed by SIGTERM" in task["errors"][-1]["message"]
    assert process.poll() is None
    os.kill(other, signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode == 1
    assert default_dialect.workflows()[0]["status"] == "Failed"


@pytest.mark.slow
def test_a_signal_that_comes_twice_is_one(spawn, default_dialect):
    """A Ctrl-C that somebody passes on comes twice at once: the records are whole."""
    process = begin(spawn, "slow_flow", "sequential", 1)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
        process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode in (130, 143), output
    assert default_dialect.workflows()[0]["status"] == "Failed"
    ((name, message),) = interrupted_tasks(default_dialect)
    assert name == "slow"
    assert message.startswith("interrupted by SIG")


@pytest.mark.slow
def test_a_later_second_signal_ends_it_at_once(spawn, monkeypatch):
    """While the delivery waits for a server that is away, a second signal ends the process."""
    monkeypatch.setenv("DOTFLOW_SERVER_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("DOTFLOW_USER_TOKEN", "t")
    monkeypatch.setenv("DOTFLOW_FLUSH_TIMEOUT", "600")
    process = begin(spawn, "slow_flow", "sequential", 1)
    process.send_signal(signal.SIGTERM)
    for line in process.stdout:
        if line.startswith("failed:"):
            break

    def again():
        process.send_signal(signal.SIGINT)
        return process.poll() is not None

    wait_for(again)
    assert process.returncode == 143


@pytest.mark.slow
def test_a_signal_while_modules_are_imported(spawn, tmp_path):
    """Before the run begins a signal ends the command, with the same status."""
    (tmp_path / "late.py").write_text(
        "import time, pathlib\npathlib.Path('importing').touch()\ntime.sleep(600)\n"
    )
    process = spawn("start", "-s", "late.step")
    wait_for((tmp_path / "importing").exists)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert (process.returncode, output) == (143, "Aborted.\n")


# In this process: how the handlers come and go.


def handlers():
    return [signal.getsignal(number) for number in signals.SIGNALS]


@action
def raise_sigterm():
    signal.raise_signal(signal.SIGTERM)
    return "not reached"


@pytest.mark.parametrize("mode", ["sequential", "background"])
def test_handlers_are_restored(command, mode, tmp_path):
    """After a run, and after one that a signal ended, the handlers are those of before."""
    before = handlers()
    assert command("start", "-s", "{}.extract", "-m", mode) == 0
    assert handlers() == before
    (tmp_path / "raising.py").write_text(
        "import os, signal\nfrom dotflow import action\n"
        "@action\ndef step():\n    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    import time\n    time.sleep(600 if __import__('threading').current_thread() is "
        "__import__('threading').main_thread() else 0.5)\n"
    )
    assert command("start", "-s", "raising.step", "-m", mode) == 143
    assert handlers() == before
    assert not interrupt.is_used()


def test_an_ignored_signal_stays_ignored():
    """What the process was started to ignore (`nohup`, `&`) is not taken up."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with signals.interrupting():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
            assert callable(signal.getsignal(signal.SIGTERM))
    finally:
        signal.signal(signal.SIGINT, before)


def test_in_another_thread_nothing_is_changed():
    """Handlers can be set in the main thread only: elsewhere the command runs without."""
    seen = []

    def run():
        with signals.interrupting():
            seen.append((handlers(), interrupt.is_used()))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [(handlers(), False)]


def test_what_is_reported_is_reported_whole(monkeypatch):
    """Between two windows a signal waits: what the engine does there is done to its end."""
    flow = DotFlow()
    flow.task.add([raise_sigterm, raise_sigterm])
    done = []

    def hook(task):
        if task.status == "In progress":
            signal.raise_signal(signal.SIGTERM)
            done.append(task.task_id)

    monkeypatch.setattr(flow.config.notify, "hook_status_task", hook)
    with pytest.raises(Interrupted), signals.interrupting():
        flow.start()
    assert done == [1]
    assert [task.status for task in flow.task.queue] == ["Failed", "Not started"]
    assert flow.task.queue[0].errors[0].message == "interrupted by SIGTERM"


def test_a_signal_after_the_end_is_answered(command, monkeypatch):
    """A run that completed stays completed; the status says that the command was told to end."""
    monkeypatch.setattr(
        "dotflow.cli.commands.start.deliver", lambda workflow: signal.raise_signal(signal.SIGTERM)
    )
    assert command("start", "-s", "{}.extract") == 143


def test_ending_at_once(monkeypatch):
    """The status is the first signal's; the second one is looked at only after some patience."""
    ended = []
    monkeypatch.setattr(signals, "end_at_once", ended.append)
    monkeypatch.setattr(signals, "PATIENCE", 0.0)

    def twice():
        with signals.interrupting():
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted):
        twice()
    assert ended == [signal.SIGTERM]
