"""KeyboardInterrupt: the run is reported as failed, and the interrupt goes on."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest
from core_doubles import echo

from dotflow import DotFlow, action


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
