"""The clock is set back while a run is under way: no span ends before it began."""

from __future__ import annotations

import multiprocessing
import threading
import time

import pytest

from dotflow import DotFlow, action
from dotflow.abc.notify import Notify

HOUR = 3600 * 10**9


class SetsBack(Notify):
    """Sets the clock back at each turn of a task, that of children too."""

    def __init__(self, monkeypatch):
        real, self._ahead = time.time_ns, multiprocessing.Value("q", lock=False)
        monkeypatch.setattr(time, "time_ns", lambda: real() + self._ahead.value)

    def hook_status_task(self, task):
        self._ahead.value -= HOUR


@action(retry=2, retry_delay=0)
def fails():
    threading.Event().wait(0.02)
    raise ValueError("no luck")


@action
def waits():
    threading.Event().wait(0.02)


@pytest.mark.parametrize("mode", ["sequential", "parallel"])
@pytest.mark.parametrize("tasks_per_trace", [0, 1])
def test_no_span_ends_before_it_began(mode, tasks_per_trace, otlp, servers, quiet, monkeypatch):
    """Workflow, parts, tasks and attempts have a length that is not below nothing, nor hours."""
    server = servers(endpoint=otlp.http_url, tasks_per_trace=tasks_per_trace, markers=True)
    flow = DotFlow(config=quiet(server, notify=SetsBack(monkeypatch)), name="etl")
    flow.task.add([waits, fails, waits])
    flow.start(mode=mode, keep_going=True)
    server.flush(30)
    spans = otlp.wait_for(6 if tasks_per_trace == 0 else 9)
    lengths = {(span.name, span.span_id): (span.end - span.start) / 1e9 for span in spans}
    wrong = {name: length for name, length in lengths.items() if not 0 <= length < 60}
    assert not wrong
