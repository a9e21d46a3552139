"""A run is visible before it ends, where that is wanted."""

from __future__ import annotations

import threading

import pytest
from opentelemetry.trace import SpanKind

from dotflow import DotFlow, action

MODES = ["sequential", "background", "parallel", "sequential_group"]
INTERNAL = SpanKind.INTERNAL.value + 1  # as OTLP numbers it
TOKEN = "a-token-of-the-tests"

tries = {}


@action
def one():
    return 1


@action(retry=3, retry_delay=0.01)
def second_time():
    tries["n"] = tries.get("n", 0) + 1
    if tries["n"] == 1:
        raise ConnectionError("the first time it fails")
    return "ok"


def run(server, config, steps, mode="sequential"):
    flow = DotFlow(config=config(server), name="etl")
    for number, step in enumerate(steps):
        group = f"group {number % 2}" if mode == "sequential_group" else "default"
        flow.task.add(step, group_name=group)
    manager = flow.start(mode=mode)
    if mode == "background":
        manager.thread.join(30)
    assert server.flush(30).complete
    return flow


def markers_of(spans):
    return [span for span in spans if span.name.endswith(" started")]


@pytest.mark.parametrize("mode", MODES)
def test_each_beginning_has_one_marker_under_its_span(mode, otlp, servers, quiet):
    """A run has one marker and a task one, however often it is tried: children of 1 ns."""
    tries.clear()
    server = servers(endpoint=otlp.http_url, markers=True)
    flow = run(server, quiet, [one, second_time], mode)

    spans = otlp.wait_for(8)
    by_id = {span.span_id: span for span in spans}
    assert len(by_id) == len(spans) == 8
    markers = markers_of(spans)
    assert sorted((mark.name, by_id[mark.parent_id].name) for mark in markers) == [
        ("task started", "one"),
        ("task started", "second_time"),
        ("workflow started", "etl"),
    ]
    for mark in markers:
        parent = by_id[mark.parent_id]
        assert (mark.start, mark.end) == (parent.start, parent.start + 1)
        assert (mark.trace_id, mark.kind) == (flow.workflow_id.hex, INTERNAL)
        assert mark.attributes.items() <= parent.attributes.items()
        assert mark.attributes["dotflow.workflow.id"] == str(flow.workflow_id)
        if mark.name == "task started":
            assert mark.attributes["dotflow.task.name"] == parent.name
            assert mark.attributes["dotflow.task.id"] == parent.attributes["dotflow.task.id"]


def test_they_arrive_while_the_step_runs(otlp, servers, quiet, monkeypatch):
    """The export that goes on by itself brings them, long before the run ends."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    seen, done = [], threading.Event()

    @action
    def long():
        seen.extend(otlp.wait_for(2, seconds=60))
        done.set()

    server = servers(endpoint=otlp.http_url, markers=True)
    flow = run(server, quiet, [long])
    assert done.is_set()
    workflow, task = seen
    assert (workflow.name, task.name) == ("workflow started", "task started")
    assert workflow.trace_id == task.trace_id == flow.workflow_id.hex
    spans = {span.name: span for span in otlp.wait_for(4)}
    assert workflow.parent_id == spans["etl"].span_id
    assert task.parent_id == spans["long"].span_id


def test_there_are_none_unless_they_are_wanted(otlp, servers, quiet, monkeypatch):
    """They are off by default; the variable switches them on, the argument has the last word."""
    run(servers(endpoint=otlp.http_url), quiet, [one])
    assert markers_of(otlp.wait_for(2)) == []
    monkeypatch.setenv("DOTFLOW_TRACE_MARKERS", "true")
    run(servers(endpoint=otlp.http_url, markers=False), quiet, [one])
    assert markers_of(otlp.wait_for(4)) == []
    run(servers(endpoint=otlp.http_url), quiet, [one])
    assert len(markers_of(otlp.wait_for(8))) == 2


def test_a_run_that_is_not_sampled_has_none(otlp, servers, quiet, monkeypatch):
    """What is not in a trace is not announced there."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    run(servers(endpoint=otlp.http_url, markers=True), quiet, [one])
    assert otlp.spans == []


def test_a_restored_task_has_none(otlp, servers, quiet):
    """What is over as it begins is there already."""
    server = servers(endpoint=otlp.http_url, markers=True)
    flow = run(server, quiet, [one])
    otlp.wait_for(4)
    otlp.clear()
    flow.start(resume=True)
    assert server.flush(30).complete
    spans = otlp.wait_for(3)
    assert sorted(span.name for span in spans) == ["etl", "one", "workflow started"]


def test_dotflow_api_hears_nothing_of_them(otlp, api, servers, quiet):
    """The calls to dotflow-api are as many with markers as without."""
    told = []
    for markers in (False, True):
        tries.clear()
        server = servers(api.url, TOKEN, endpoint=otlp.http_url, markers=markers)
        run(server, quiet, [one, second_time])
        told.append(server.close(30))
    assert told[0].delivered > 4
    assert told[0] == told[1]
