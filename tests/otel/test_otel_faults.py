"""What goes wrong around the spans costs as little as it can."""

from __future__ import annotations

import gc
import multiprocessing
import threading
import time

import pytest
import requests
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

from dotflow import DotFlow, action
from dotflow.otel.export.provider import pipeline as provider_module
from dotflow.runlog.writer import run_log

TOKEN = "a-token-of-the-tests"


@action
def step():
    return 1


def run(server, quiet, **kwargs):
    flow = DotFlow(config=quiet(server), name="etl", **kwargs)
    flow.task.add(step)
    flow.start()
    return flow


def record(api, flow):
    url = f"{api.url}/workflows/{flow.workflow_id}"
    return requests.get(url, headers={"X-User-Token": TOKEN}, timeout=60).json()


@pytest.mark.parametrize("hook", ["on_start", "on_end"])
def test_a_processor_of_the_application_that_raises_loses_no_record(hook, api, servers, quiet):
    """The run completes, and its records are final."""

    class Broken(SpanProcessor):
        pass

    def fail(*_args, **_kwargs):
        raise RuntimeError("a fault of somebody else's")

    setattr(Broken, hook, fail)
    provider = TracerProvider()
    provider.add_span_processor(Broken())
    server = servers(api.url, TOKEN, tracer_provider=provider)
    flow = run(server, quiet)
    server.flush(60)
    assert flow.result_storage() == [1]
    assert record(api, flow)["status"] == "Completed"
    provider.shutdown()


def test_a_dead_api_keeps_no_span_from_being_flushed(servers, quiet, otlp, monkeypatch):
    """Both ways out are flushed, whatever becomes of the other."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "600000")
    server = servers("http://127.0.0.1:9", TOKEN, endpoint=otlp.http_url)
    run(server, quiet)
    server.flush(5)
    assert len(otlp.spans) == 2
    assert server.tracer_provider.force_flush(100) is False
    server.close(0)


def test_a_run_within_a_run_under_the_same_id(api, servers, quiet, otlp, monkeypatch):
    """With WORKFLOW_ID set a step's own workflow has that id too: both are traced in full."""
    monkeypatch.setenv("WORKFLOW_ID", "same")
    server = servers(api.url, TOKEN, endpoint=otlp.http_url)

    @action
    def outer_step():
        inner = DotFlow(config=quiet(server), name="inner")
        inner.task.add(step)
        inner.start()

    flow = DotFlow(config=quiet(server), name="outer")
    flow.task.add([outer_step, step])
    flow.start()
    server.flush(60)
    spans = otlp.wait_for(5)
    by_name = {span.name: span for span in spans}
    assert sorted(span.name for span in spans) == ["inner", "outer", "outer_step", "step", "step"]
    assert by_name["inner"].parent_id == by_name["outer_step"].span_id
    parents = {span.parent_id for span in spans if span.name == "step"}
    assert parents == {by_name["inner"].span_id, by_name["outer"].span_id}


def test_a_server_without_an_api_reports_to_nobody_elses(api, servers, quiet):
    """Two ServerOtel on one provider: the runs of the one without API are in no API."""
    provider = TracerProvider()
    with_api = servers(api.url, TOKEN, tracer_provider=provider)
    with_api.tracer_provider  # noqa: B018 - opens it
    without = servers(tracer_provider=provider)
    flow = run(without, quiet)
    with_api.flush(60)
    assert record(api, flow) == {"detail": f"workflow '{flow.workflow_id}' is not known"}
    provider.shutdown()


def _run_in_child(server, quiet):
    run(server, quiet)


def test_a_process_that_the_program_forked_sends_its_spans(servers, quiet, otlp, monkeypatch):
    """A workflow in a child of the user's own is sent before that child ends."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "600000")
    server = servers(endpoint=otlp.http_url)
    run(server, quiet)
    child = multiprocessing.get_context("fork").Process(target=_run_in_child, args=(server, quiet))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    assert len(otlp.spans) == 2
    server.flush(60)
    assert len(otlp.spans) == 4


def test_locks_that_are_held_at_a_fork_are_free_in_the_child(api, servers, quiet, otlp):
    """A workflow in a child works, though other threads of the parent held every lock."""
    server = servers(api.url, TOKEN, endpoint=otlp.http_url)
    run(server, quiet)
    config = quiet(server)
    [batch] = server._pipeline._keeping()
    held = [
        server._lock, server._pipeline.counts._lock, provider_module._lock, batch._starting,
        run_log._making,
    ]  # fmt: skip
    ready, done = threading.Event(), threading.Event()

    def hold():
        for lock in held:
            lock.acquire()
        ready.set()
        done.wait(30)
        for lock in held:
            lock.release()

    def nested():
        flow = DotFlow(config=config, name="nested")
        flow.task.add(step)
        flow.start()
        assert flow.result_storage() == [1]

    holder = threading.Thread(target=hold)
    holder.start()
    ready.wait(60)
    child = multiprocessing.get_context("fork").Process(target=nested)
    child.start()
    child.join(60)
    done.set()
    holder.join()
    assert child.exitcode == 0


def test_garbage_collection_while_a_provider_is_in_use_does_not_wait(quiet, otlp):
    """What ends an abandoned ServerOtel takes no lock that its own thread may hold."""
    from dotflow.otel import ServerOtel

    server = ServerOtel(endpoint=otlp.http_url, set_global=False)
    run(server, quiet)
    collected = threading.Event()
    kept = [server]
    del server

    def collect():
        with provider_module._lock:
            kept.clear()
            gc.collect()
        collected.set()

    threading.Thread(target=collect, daemon=True).start()
    assert collected.wait(60)
    assert len(otlp.wait_for(2)) == 2
    deadline = time.monotonic() + 60
    while any(one.name == "dotflow-otlp-flush" for one in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
