"""The runs of one DotFlow share its tasks: there is one at a time."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest
from core_doubles import echo

from dotflow import DotFlow, WorkflowFailed, action

MODES = ["sequential", "sequential_group", "background", "parallel"]


def run(flow, mode="sequential", **kwargs):
    manager = flow.start(mode=mode, **kwargs)
    assert manager.wait(60)
    return manager


class TestOneRunAtATime:
    """The runs of a DotFlow share its tasks, so they cannot be under way at the same time."""

    SAID = r"running already, .*: wait for its end, or make a DotFlow for each run"

    @pytest.mark.parametrize("mode", MODES)
    def test_a_second_one_is_refused(self, quiet, mode):
        """start() says so, and the run that is under way is none the worse."""
        begun, go = threading.Event(), threading.Event()

        @action
        def stay():
            begun.set()
            assert go.wait(60)

        flow = DotFlow(config=quiet)
        flow.task.add([stay, echo])
        first = flow.start(mode="background")
        assert begun.wait(60)
        with pytest.raises(RuntimeError, match=self.SAID):
            flow.start(mode=mode)
        go.set()
        assert first.wait(60)
        assert [task.status for task in flow.result_task()] == ["Completed"] * 2
        assert flow.start(mode="background").wait(60)

    def test_a_step_cannot_start_its_own_workflow(self, quiet):
        """It fails, rather than run for ever."""
        flow = DotFlow(config=quiet)

        @action
        def again():
            flow.start()

        flow.task.add(again)
        with pytest.raises(WorkflowFailed, match="running already"):
            flow.start(raise_on_failure=True)

    @pytest.mark.parametrize("mode", MODES)
    def test_a_callback_of_the_run_may(self, quiet, mode):
        """When it is called the run has ended."""
        flow, managers = DotFlow(config=quiet), []
        flow.task.add(echo)
        run(flow, mode, on_success=lambda tasks: managers.append(flow.start()))
        assert managers[0].ok

    @pytest.mark.parametrize("resume", [False, True])
    def test_after_a_run_that_could_not_begin(self, quiet, monkeypatch, resume):
        """A run that was refused, or interrupted, is not under way."""
        flow = DotFlow(config=quiet, workflow_id="w")
        flow.task.add(echo)
        with monkeypatch.context() as patch:
            patch.setattr(quiet.storage, "get", lambda key: 1 / 0)
            if resume:
                with pytest.raises(ZeroDivisionError):
                    flow.start(resume=True)
        flow.task.queue[0].step = leave
        with pytest.raises(SystemExit):
            flow.start()
        flow.task.queue[0].step = echo
        assert flow.start().ok

    def test_a_copy_of_the_process_may(self):
        """A forked process has a run of its own, whatever its parent was about."""
        done = subprocess.run(
            [sys.executable, "-c", FORKED], capture_output=True, text=True, timeout=60, check=True,
            env={**os.environ, "DOTFLOW_SERVER": "none"},
        )  # fmt: skip
        assert done.stdout == "True\n"


FORKED = """
import os, threading
from dotflow import DotFlow, action

begun, go = threading.Event(), threading.Event()

@action
def stay():
    begun.set()
    go.wait(60)

flow = DotFlow()
flow.task.add(stay)
manager = flow.start(mode="background")
begun.wait(60)
pid = os.fork()
if pid:
    os.waitpid(pid, 0)
    go.set()
    manager.wait(60)
else:
    go.set()
    print(flow.start().ok, flush=True)
    os._exit(0)
"""


@action
def leave():
    sys.exit(3)
