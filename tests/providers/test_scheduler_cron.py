"""SchedulerCron: due times, overlaps, and how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import requests

import dotflow.providers
from dotflow import Config, DotFlow, action
from dotflow.api import ApiServer
from dotflow.providers import SchedulerCron, ServerDefault
from dotflow.providers import scheduler_cron as module

EACH_SECOND = "* * * * * *"
LIMIT = 60.0


class Clock:
    """A clock that is a second further at each look: due times come as fast as they can run."""

    def __init__(self):
        self._time = datetime(2026, 11, 22, 5, 0)

    def now(self):
        time.sleep(0.002)  # it is not to be busy with nothing else
        self._time += timedelta(seconds=1)
        return self._time


@pytest.fixture
def fast(monkeypatch):
    monkeypatch.setattr(module, "_now", Clock().now)


def started(scheduler, workflow, **kwargs):
    """The scheduler at work, in a thread."""
    thread = threading.Thread(
        target=scheduler.start, kwargs={"workflow": workflow, **kwargs}, name="scheduler"
    )
    thread.start()
    return thread


@pytest.mark.parametrize("cron", ["", "nonsense", "* * * *", "61 * * * *", None, 5])
def test_a_bad_expression(cron):
    """What is no cron expression is a ValueError that names it."""
    with pytest.raises(ValueError, match="is no cron expression") as raised:
        SchedulerCron(cron)
    assert repr(cron) in str(raised.value)


def test_a_bad_overlap():
    """An overlap that is none is a ValueError that names it."""
    with pytest.raises(ValueError, match="'twice'"):
        SchedulerCron("* * * * *", overlap="twice")


def test_attributes():
    """What was given is there; nothing runs yet."""
    scheduler = SchedulerCron("*/5 * * * *", "queue")
    assert (scheduler.cron, scheduler.overlap) == ("*/5 * * * *", "queue")
    assert scheduler.running is False
    assert SchedulerCron("* * * * *").overlap == "skip"


def test_next_time():
    """The local clock, and the five fields."""
    scheduler = SchedulerCron("30 6 * * 1")
    assert scheduler.next_time(datetime(2026, 11, 22, 5)) == datetime(2026, 11, 23, 6, 30)


def test_without_croniter_the_remedy_is_named(tmp_path):
    """Without the extra everything else can be imported, and this says what to install."""
    program = (
        "import sys\nsys.modules['croniter'] = None\nimport dotflow.providers\n"
        "try:\n    dotflow.providers.SchedulerCron\n"
        "except Exception as error:\n    print(type(error).__name__, error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.startswith("ModuleNotFound Module 'croniter' is not installed.")
    assert "pip install 'dotflow[scheduler]'" in done.stdout


def test_the_export():
    """It is one of the providers, imported on first access."""
    assert "SchedulerCron" in dotflow.providers.__all__
    assert dotflow.providers.SchedulerCron is SchedulerCron


def test_it_runs_with_its_arguments_until_it_is_stopped(fast):
    """Each due time is a call with the arguments, in a thread; stop() ends start()."""
    calls, enough = [], threading.Event()
    scheduler = SchedulerCron(EACH_SECOND)

    def workflow(**kwargs):
        calls.append((kwargs, threading.current_thread()))
        if len(calls) == 3:
            enough.set()

    thread = started(scheduler, workflow, mode="parallel", resume=True)
    assert enough.wait(LIMIT)
    assert scheduler.running
    scheduler.stop()
    thread.join(LIMIT)
    assert not scheduler.running
    assert not thread.is_alive()
    assert calls[0][0] == {"mode": "parallel", "resume": True}
    assert all(one is not thread for _, one in calls)


def test_a_run_that_raises_is_logged(fast, caplog):
    """An error of a run is logged with its cause, and the next one runs."""
    calls, again = [], threading.Event()
    scheduler = SchedulerCron(EACH_SECOND)

    def workflow():
        calls.append(1)
        if len(calls) > 1:
            again.set()
        raise OSError("this run")

    thread = started(scheduler, workflow)
    assert again.wait(LIMIT)
    scheduler.stop()
    thread.join(LIMIT)
    assert "this run" in caplog.text


@pytest.mark.parametrize(("overlap", "at_once"), [("skip", 1), ("queue", 1), ("parallel", 10)])
def test_overlap(monkeypatch, overlap, at_once, caplog):
    """skip leaves runs out, queue keeps one, parallel has up to ten at once."""
    go, lock, under_way, most = threading.Event(), threading.Lock(), [], []
    begun = []
    scheduler = SchedulerCron(EACH_SECOND, overlap)

    def workflow():
        with lock:
            begun.append(1)
            under_way.append(1)
            most.append(len(under_way))
        go.wait(LIMIT)
        with lock:
            under_way.pop()

    ticks = iter(range(100_000))
    left_out = threading.Event()
    monkeypatch.setattr(module.logger, "warning", lambda *_: (left_out.set(), next(ticks)))
    monkeypatch.setattr(module, "_now", Clock().now)
    thread = started(scheduler, workflow)
    assert left_out.wait(LIMIT)
    before = len(begun)
    ended = threading.Event()
    if overlap == "queue":
        # The one that waits begins when the first has ended.
        monkeypatch.setattr(scheduler, "_begin_run", lambda due: None)
        go.set()
        while len(begun) < 2:
            ended.wait(0.005)
    scheduler.running = False
    go.set()
    scheduler.stop()
    thread.join(LIMIT)
    assert before <= at_once
    assert max(most) == at_once
    if overlap == "queue":
        assert len(begun) == 2


def test_stop_waits_for_what_runs(fast):
    """stop() returns when the runs have ended, or after its timeout."""
    begun, go = threading.Event(), threading.Event()
    scheduler = SchedulerCron(EACH_SECOND)

    def workflow():
        begun.set()
        go.wait(LIMIT)

    thread = started(scheduler, workflow)
    assert begun.wait(LIMIT)
    scheduler.stop(timeout=0)
    assert not scheduler.running
    assert thread.is_alive()
    go.set()
    scheduler.stop()
    thread.join(LIMIT)
    assert not [one for one in threading.enumerate() if one.name == "dotflow-run"]


def test_a_run_may_stop_its_scheduler(fast):
    """stop() within a run does not wait for that run."""
    scheduler = SchedulerCron(EACH_SECOND)
    thread = started(scheduler, scheduler.stop)
    thread.join(LIMIT)
    assert not thread.is_alive()


def test_it_can_be_started_again(fast):
    """After stop() a scheduler can be started anew, but not twice at once."""
    scheduler = SchedulerCron(EACH_SECOND)
    for _ in range(2):
        scheduler.start(workflow=scheduler.stop)
    begun, go = threading.Event(), threading.Event()
    thread = started(scheduler, lambda: (begun.set(), go.wait(LIMIT)))
    assert begun.wait(LIMIT)
    with pytest.raises(RuntimeError, match="runs already"):
        scheduler.start(workflow=print)
    go.set()
    scheduler.stop()
    thread.join(LIMIT)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it(fast, number):
    """In the main thread a signal ends it well, and the handlers of before are back."""
    before = [signal.getsignal(one) for one in module.SIGNALS]
    scheduler = SchedulerCron(EACH_SECOND)
    ended = []

    def workflow():
        os.kill(os.getpid(), number)
        ended.append(1)

    scheduler.start(workflow=workflow)
    assert ended
    assert not scheduler.running
    assert [signal.getsignal(one) for one in module.SIGNALS] == before


def test_a_signal_while_the_lock_is_held(fast, monkeypatch):
    """A signal handler takes no lock: it cannot wait for what it has interrupted."""
    scheduler = SchedulerCron(EACH_SECOND)

    def begin_run(due):
        with scheduler._lock:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(scheduler, "_begin_run", begin_run)
    scheduler.start(workflow=print)
    assert not scheduler.running


def test_a_second_signal_does_what_it_did_before(fast, monkeypatch):
    """While the last run is waited for, a further signal is the program's own."""
    monkeypatch.setattr(module, "PATIENCE", 0.0)
    go = threading.Event()
    scheduler = SchedulerCron(EACH_SECOND)

    def workflow():
        os.kill(os.getpid(), signal.SIGINT)
        while scheduler.running:
            go.wait(0.005)
        os.kill(os.getpid(), signal.SIGINT)
        go.wait(LIMIT)

    with pytest.raises(KeyboardInterrupt):
        scheduler.start(workflow=workflow)
    go.set()
    scheduler.stop()


@action
def count():
    runs = Path("runs")
    runs.write_text(f"{runs.read_text() if runs.exists() else ''}x")
    return runs.read_text()


def test_every_run_is_a_run(tmp_path, monkeypatch):
    """DotFlow.schedule: each run does the work, and its record moves each time."""
    with ApiServer(f"sqlite:///{tmp_path}/records.db", "t") as api:
        server = ServerDefault(api.url, "t")
        scheduler = SchedulerCron(EACH_SECOND)
        flow = DotFlow(config=Config(server=server, scheduler=scheduler), name="scheduled")
        flow.task.add(count)
        monkeypatch.setattr(module, "_now", Clock().now)
        seen = []

        def note(tasks):
            seen.append((tasks[0].current_context.storage, _record(api, server, flow)))
            if len(seen) == 3:
                scheduler.stop()

        flow.schedule(on_success=note)
        server.close(LIMIT)
    assert [storage for storage, _ in seen] == ["x", "xx", "xxx"]
    assert [found for _, found in seen] == [("Completed", "x"), ("Completed", "xx"),
                                            ("Completed", "xxx")]  # fmt: skip


def _record(api, server, flow):
    server.flush(LIMIT)
    headers = {"X-User-Token": "t"}
    path = f"{api.url}/workflows/{flow.workflow_id}"
    record = requests.get(path, headers=headers, timeout=30).json()
    (task,) = requests.get(f"{path}/tasks?include=contexts", headers=headers, timeout=30).json()[
        "tasks"
    ]
    assert task["status"] == "Completed"
    return record["status"], task["current_context"]
