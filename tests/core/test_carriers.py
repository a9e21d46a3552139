"""How a child process finds the span of its task."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path

import pytest
from core_doubles import RecordingServer, echo, recording_config

from dotflow import DotFlow, action

IN_CHILDREN = ["sequential_group", "parallel"]


class TestCarrier:
    """How a child finds the span of its task."""

    class Server(RecordingServer):
        def carrier(self, task):
            return {"traceparent": f"span of {task.task_id}"}

        @classmethod
        @contextmanager
        def attach(cls, carrier):
            os.environ["CURRENT_SPAN"] = carrier.get("traceparent", "")
            yield
            os.environ["CURRENT_SPAN"] = ""

    @pytest.mark.parametrize("mode", IN_CHILDREN)
    @pytest.mark.parametrize("retry", [1, 2])
    def test_the_carrier_is_current_while_the_step_runs(self, record, mode, retry):
        """A child makes the carrier of its task current around the step, and undoes it after."""

        @action(retry=retry, retry_delay=0)
        def step():
            return os.environ["CURRENT_SPAN"]

        def callback(task):
            Path(f"after-{task.task_id}").write_text(os.environ["CURRENT_SPAN"])

        flow = DotFlow(config=recording_config(record, server=self.Server(record)))
        flow.task.add([step, step], callback=callback)
        flow.start(mode=mode)
        assert flow.result_storage() == ["span of 1", "span of 2"]
        assert Path("after-1").read_text() == ""

    @pytest.mark.parametrize("hook", ["carrier", "attach"])
    def test_a_server_that_fails_at_it_does_not_hurt(self, record, monkeypatch, hook):
        """A step runs although its span cannot be found."""

        def refuse(*args):
            raise RuntimeError("no span")

        server = type("Server", (self.Server,), {hook: classmethod(refuse)})(record)
        monkeypatch.setenv("CURRENT_SPAN", "none")
        flow = DotFlow(config=recording_config(record, server=server))
        flow.task.add(echo, initial_context=1)
        flow.start(mode="parallel")
        assert flow.result_storage() == [1]
