"""Children that run steps only write: their parent sends what they wrote, while they live."""

from __future__ import annotations

import sys
import threading
import time
from multiprocessing.util import Finalize

import pytest
from opentelemetry import trace
from support.fault_server import TOKEN

from dotflow import DotFlow, action
from dotflow.runlog import files
from dotflow.runlog.writer import run_log

PATIENCE = 60.0  # seconds


def test_a_child_that_ends_delivers_nothing_by_itself(otlp, api, servers, quiet, tmp_path):
    """A hundred children at a time would all look at the logs of all others."""
    said = tmp_path / "threads"

    @action
    def step():
        start = threading.Thread.start

        def noted(thread):
            with said.open("a") as file:
                file.write(f"{thread.name}\n")
            start(thread)

        threading.Thread.start = noted
        Finalize(None, lambda: said.open("a").write("end\n"), exitpriority=-1)

    server = servers(endpoint=otlp.http_url, base_url=api.url, user_token=TOKEN)
    flow = DotFlow(config=quiet(server), name="etl")
    flow.task.add(step)
    assert flow.start(mode="parallel").ok
    started = said.read_text().split()
    assert started[-1] == "end"
    assert not {"dotflow-otlp", "dotflow-relay", "dotflow-sender", "dotflow-watch"} & {*started}


def test_a_child_loads_next_to_nothing(otlp, servers, quiet):
    """What it loads each child loads anew, a hundred times in a run of a hundred tasks."""
    loaded = [*sys.modules]  # a child of this process has these

    @action
    def step():
        return sorted({*sys.modules} - {*loaded})

    flow = DotFlow(config=quiet(servers(endpoint=otlp.http_url)), name="etl")
    flow.task.add(action(lambda: None))
    flow.start()
    loaded[:] = sys.modules
    again = DotFlow(config=quiet(servers(endpoint=otlp.http_url)), name="etl")
    again.task.add(step)
    assert again.start(mode="parallel").ok
    ours = {name for name in again.result_storage()[0] if name.startswith("dotflow.otel")}
    assert ours == set()


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_spans_of_a_long_child_arrive_while_it_runs(
    protocol, otlp, servers, quiet, tmp_path, monkeypatch
):
    """What a step has ended is there long before the step is over, once, and nothing is left."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    url = otlp.http_url if protocol == "http/protobuf" else otlp.grpc_url
    server = servers(endpoint=url, protocol=protocol)
    monkeypatch.setattr(trace, "get_tracer", server.tracer_provider.get_tracer)
    go_on = tmp_path / "go on"

    @action
    def long():
        with trace.get_tracer("user").start_as_current_span("early"):
            pass
        deadline = time.monotonic() + PATIENCE
        while not go_on.exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return run_log.id, sorted(one.name for one in threading.enumerate())

    def watch():
        deadline = time.monotonic() + PATIENCE
        while not any(span.name == "early" for span in otlp.spans):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        go_on.touch()

    watcher = threading.Thread(target=watch)
    watcher.start()
    flow = DotFlow(config=quiet(server), name="etl")
    flow.task.add(long)
    flow.start(mode="parallel")
    watcher.join()
    [(log, threads)] = flow.result_storage()
    assert "dotflow-otlp" not in threads
    deadline = time.monotonic() + PATIENCE
    while files.is_alive(log):  # its result came before its end; what lives keeps its log
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert server.close(PATIENCE).complete
    by_name = {span.name: span for span in otlp.spans}
    assert len(otlp.spans) == len(by_name) == 3
    assert by_name["early"].parent_id == by_name["long"].span_id
    assert log not in files.logs()
