"""Runs on pools of this machine: all that is reported of them is true, and nothing is left over."""

from __future__ import annotations

import logging
import os
import signal
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
import requests
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from dotflow import DotFlow, action
from dotflow.abc.notify import Notify
from dotflow.providers import ServerAPI, ServerDefault, TracerOpenTelemetry
from dotflow.runlog import files
from dotflow.runlog.writer import run_log

pytestmark = pytest.mark.slow  # each makes processes

TOKEN = "a-token-of-the-tests"
PATIENCE = 60.0
TOOK = 0.2  # seconds


@action
def looks():
    with trace.get_tracer("user").start_as_current_span("outer"):
        logging.getLogger("shop").warning("sold")
        with trace.get_tracer("user").start_as_current_span("inner"):
            pass
    return os.getpid()


@action
def takes_its_time():
    time.sleep(TOOK)
    return trace.get_current_span().get_span_context().span_id


@action(retry=2, retry_delay=0)
def fails():
    raise ValueError("no rows")


@action(retry=3, retry_delay=0)
def dies_in_the_second_try(initial_context):
    with trace.get_tracer("user").start_as_current_span("outer"):
        pass
    tries = Path(initial_context.storage)
    if tries.exists():
        os.kill(os.getpid(), signal.SIGKILL)
    tries.touch()
    raise ValueError("again")


class Told(Notify):
    def __init__(self):
        self.tasks, self.runs = [], []

    def hook_status_task(self, task):
        self.tasks.append((task.step.name, str(task.status)))

    def hook_end_workflow(self, run):
        self.runs.append(run.status)


def forked():
    return ProcessPoolExecutor(1, get_context("fork"))


@pytest.mark.parametrize("reports_to_an_api", [False, True])
def test_a_worker_that_lives_on_leaves_nothing_behind(reports_to_an_api, otlp, api, servers, quiet):
    """Its spans and records come with each run, whichever server that has, and its logs go."""
    to = (api.url, "a-token-of-the-tests") if reports_to_an_api else ()
    with forked() as pool:
        pids = set()
        for _ in range(2):
            otlp.clear()
            server = servers(*to, endpoint=otlp.http_url, logs=True)
            flow = DotFlow(config=quiet(server, executor=pool), name="etl")
            flow.task.add([looks, looks])
            assert flow.start(mode="parallel").ok
            assert server.close(PATIENCE).complete
            pids |= {*flow.result_storage()}
            by_id = {span.span_id: span for span in otlp.spans}
            above = sorted(
                (one.name, getattr(by_id.get(one.parent_id), "name", "")) for one in otlp.spans
            )
            assert above == [("etl", ""), *[("inner", "outer")] * 2, *[("looks", "etl")] * 2,
                             *[("outer", "looks")] * 2]  # fmt: skip
            said = [(one.body, by_id[one.span_id].name) for one in otlp.wait_for_records(2)]
            assert said == [("sold", "outer")] * 2
        assert len(pids) == 1
        deadline = time.monotonic() + PATIENCE
        while {*files.logs()} - {run_log.id} and time.monotonic() < deadline:
            time.sleep(0.05)
        assert {*files.logs()} <= {run_log.id}


def test_a_worker_lost_in_a_further_try_leaves_no_orphan(otlp, servers, quiet, tmp_path):
    """Nobody tells how its tries ended; that they began is known."""
    with forked() as pool:
        server = servers(endpoint=otlp.http_url)
        flow = DotFlow(config=quiet(server, executor=pool), name="etl")
        flow.task.add(dies_in_the_second_try, initial_context=str(tmp_path / "tries"))
        assert not flow.start(mode="parallel").ok
        assert server.close(PATIENCE).complete
    by_id = {span.span_id: span for span in otlp.spans}
    above = [by_id[one.parent_id] for one in otlp.spans if one.name == "outer"]
    assert sorted(one.attributes["dotflow.attempt.number"] for one in above) == [1, 2]
    last = max(above, key=lambda one: one.start)
    assert last.attributes["error.type"] == "worker_lost"
    assert len([one for one in otlp.spans if not one.parent_id]) == 1


@pytest.mark.parametrize(
    ("made", "server_class"),
    [(lambda: ThreadPoolExecutor(1), ServerDefault), (forked, ServerAPI)],
    ids=["threads", "forked"],
)
def test_whoever_is_told_of_a_run_hears_the_same(made, server_class, api, quiet, monkeypatch):
    """Records, the spans of a Tracer, and people: with true times, also if these come late."""
    monkeypatch.delattr(os, "mkfifo")  # so it is learnt at the end when a step began
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    server, told = server_class(api.url, TOKEN), Told()
    with made() as pool:
        config = quiet(server, tracer=TracerOpenTelemetry(), notify=told, executor=pool)
        flow = DotFlow(config=config, name="etl")
        flow.task.add([takes_its_time, fails])
        flow.start(mode="parallel", keep_going=True)
    assert server.close(PATIENCE).complete
    url, headers = f"{api.url}/workflows/{flow.workflow_id}", {"X-User-Token": TOKEN}
    assert requests.get(url, headers=headers, timeout=PATIENCE).json()["status"] == "Failed"
    records = requests.get(f"{url}/tasks", headers=headers, timeout=PATIENCE).json()["tasks"]
    assert [(one["status"], one["retry_count"]) for one in records] == [
        ("Completed", 0),
        ("Failed", 1),
    ]
    assert records[0]["duration"] >= TOOK
    spans = {span.name: span for span in exporter.get_finished_spans()}
    root, took, failed = spans[f"workflow:{flow.workflow_id}"], spans["task:1"], spans["task:2"]
    assert took.end_time - took.start_time >= TOOK * 1e9
    assert root.start_time <= took.start_time <= took.end_time <= root.end_time
    assert [event.attributes["exception.message"] for event in failed.events] == ["no rows"]
    if made is not forked:
        assert flow.result_storage()[0] == took.context.span_id
    own = [
        [status for name, status in told.tasks if name == one]
        for one in ("takes_its_time", "fails")
    ]
    assert own == [["Not started", "In progress", "Completed"],
                   ["Not started", "In progress", "Retry", "Failed"]]  # fmt: skip
    assert told.runs == ["Failed"]
