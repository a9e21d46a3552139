"""A run of very many tasks is several linked traces, each of them whole."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult, TraceIdRatioBased
from opentelemetry.trace import StatusCode

from dotflow import DotFlow, action
from dotflow.otel.ids import trace_id_of
from dotflow.otel.spans.sampling import fair
from dotflow.otel.spans.splitting import part_trace_id

pytestmark = pytest.mark.slow

MODES = ["sequential", "background", "parallel", "sequential_group"]
OK, ERROR = StatusCode.UNSET.value, StatusCode.ERROR.value
TOKEN = "a-token-of-the-tests"


@action
def quick(initial_context):
    return initial_context.storage


@action
def broken():
    raise KeyError("no such thing")


def run(server, config, steps, mode="sequential", **kwargs):
    flow = DotFlow(config=config(server), name="etl", **kwargs)
    for number, step in enumerate(steps):
        group = f"group {number % 2}" if mode == "sequential_group" else "default"
        flow.task.add(step, initial_context=number, group_name=group)
    manager = flow.start(mode=mode, keep_going=True)
    if mode == "background":
        manager.thread.join(30)
    assert server.flush(30).complete
    return flow


def traces_of(spans):
    found = {}
    for span in spans:
        found.setdefault(span.trace_id, []).append(span)
    return found


def is_whole(spans):
    """Whether all parents are there, and one root."""
    ids = {span.span_id for span in spans}
    roots = [span for span in spans if not span.parent_id]
    return len(roots) == 1 and all(span.parent_id in ids for span in spans if span.parent_id)


def tasks_of(spans):
    return sorted(
        span.attributes["dotflow.task.id"] for span in spans if "dotflow.task.id" in span.attributes
    )


@pytest.mark.parametrize("mode", MODES)
def test_every_part_is_a_whole_trace_linked_to_the_run(mode, otlp, servers, quiet):
    """Seven tasks, three a trace: three traces, no orphan, no span lost, links both ways."""
    server = servers(endpoint=otlp.http_url, tasks_per_trace=3)
    flow = run(server, quiet, [quick] * 7, mode)
    wid = str(flow.workflow_id)

    spans = otlp.wait_for(10)
    assert len({span.span_id for span in spans}) == len(spans) == 10
    traces = traces_of(spans)
    ids = [f"{part_trace_id(wid, number):032x}" for number in (1, 2, 3)]
    assert set(traces) == set(ids)
    assert all(is_whole(one) for one in traces.values())
    assert [len(tasks_of(traces[one])) for one in ids] == [3, 3, 1]
    assert tasks_of(spans) == list(range(1, 8))

    root, *parts = (next(span for span in traces[one] if not span.parent_id) for one in ids)
    assert root.name == "etl"
    assert root.attributes["dotflow.workflow.part_count"] == 3
    assert root.links == [(part.trace_id, part.span_id) for part in parts]
    for number, part in enumerate(parts, start=2):
        assert part.name == "workflow part"
        assert part.attributes == {
            "dotflow.workflow.id": wid,
            "dotflow.workflow.name": "etl",
            "dotflow.workflow.part": number,
        }
        assert part.links == [(root.trace_id, root.span_id)]
        tasks = [span for span in traces[part.trace_id] if span is not part]
        assert part.start == min(span.start for span in tasks)
        assert part.end == max(span.end for span in tasks)
        assert root.start <= part.start <= part.end <= root.end


def test_a_run_within_the_limit_is_one_trace(otlp, servers, quiet):
    """As many tasks as the limit are no reason to split, and nothing is said of parts."""
    server = servers(endpoint=otlp.http_url, tasks_per_trace=3)
    flow = run(server, quiet, [quick] * 3)
    spans = otlp.wait_for(4)
    assert {span.trace_id for span in spans} == {flow.workflow_id.hex}
    root = next(span for span in spans if not span.parent_id)
    assert "dotflow.workflow.part_count" not in root.attributes


@pytest.mark.parametrize(("limit", "traces"), [("2", 3), ("0", 1), ("many", 1), ("", 1)])
def test_the_variable_sets_the_limit(limit, traces, otlp, servers, quiet, monkeypatch):
    """DOTFLOW_TRACE_MAX_TASKS is the limit; 0 is none, and what is no number is the default."""
    monkeypatch.setenv("DOTFLOW_TRACE_MAX_TASKS", limit)
    run(servers(endpoint=otlp.http_url), quiet, [quick] * 5)
    assert len(traces_of(otlp.wait_for(5 + traces))) == traces


@pytest.mark.parametrize("mode", MODES)
def test_attempts_and_the_users_spans_are_in_the_part_of_their_task(mode, otlp, servers, quiet):
    """What a step opens nests in the trace of its part, also from another process."""
    server = servers(endpoint=otlp.http_url, tasks_per_trace=1, set_global=False)

    @action(retry=2)
    def opens():
        with server.tracer_provider.get_tracer("mine").start_as_current_span("inside"):
            pass

    run(server, quiet, [opens] * 2, mode)
    traces = traces_of(otlp.wait_for(8))
    assert sorted(sorted(span.name for span in one) for one in traces.values()) == [
        ["attempt", "etl", "inside", "opens"],
        ["attempt", "inside", "opens", "workflow part"],
    ]
    assert all(is_whole(one) for one in traces.values())


def test_a_part_with_a_failed_task_is_an_error(otlp, servers, quiet):
    """Who looks at one part sees what failed in it; the others are none the worse."""
    server = servers(endpoint=otlp.http_url, tasks_per_trace=1)
    run(server, quiet, [quick, broken, quick])
    two, three = (
        span for span in sorted(otlp.wait_for(6), key=lambda span: span.start)
        if span.name == "workflow part"
    )  # fmt: skip
    assert two.status == ERROR
    assert two.message == "task 2 (broken) failed: KeyError: 'no such thing'"
    assert two.attributes["error.type"] == "KeyError"
    assert three.status == OK


def test_much_text_counts_as_several_tasks(otlp, servers, quiet):
    """Two of these tasks are as much as eight that say little: what backends refuse is bytes."""
    server = servers(endpoint=otlp.http_url, tasks_per_trace=8)
    flow = DotFlow(config=quiet(server))
    for _ in range(6):
        flow.task.add(quick, initial_context="x" * 800)
    flow.start()
    assert server.flush(30).complete
    spans = otlp.wait_for(9)
    assert len(traces_of(spans)) == 3
    assert tasks_of(spans) == [1, 2, 3, 4, 5, 6]


def test_dotflow_api_has_one_run_with_the_trace_of_its_root(otlp, api, servers, quiet):
    """The parts are the trace's; the record is that of any run."""
    server = servers(api.url, TOKEN, endpoint=otlp.http_url, tasks_per_trace=1)
    flow = run(server, quiet, [quick] * 3)
    headers = {"X-User-Token": TOKEN}
    at = f"{api.url}/workflows/{flow.workflow_id}"
    record = requests.get(at, headers=headers, timeout=30).json()
    assert (record["status"], record["trace_id"]) == ("Completed", flow.workflow_id.hex)
    tasks = requests.get(f"{at}/tasks", headers=headers, timeout=30).json()["tasks"]
    assert [task["status"] for task in tasks] == ["Completed"] * 3
    assert len(requests.get(f"{api.url}/workflows", headers=headers, timeout=30).json()[
        "workflows"
    ]) == 1  # fmt: skip


def test_markers_of_parts(otlp, servers, quiet):
    """A part that goes on for hours is visible too."""
    server = servers(endpoint=otlp.http_url, tasks_per_trace=1, markers=True)
    run(server, quiet, [quick] * 2)
    traces = traces_of(otlp.wait_for(8))
    assert sorted(sorted(span.name for span in one) for one in traces.values()) == [
        ["etl", "quick", "task started", "workflow started"],
        ["quick", "task started", "workflow part", "workflow part started"],
    ]
    assert all(is_whole(one) for one in traces.values())


def test_a_run_that_is_not_sampled_has_no_parts(otlp, servers, quiet, monkeypatch):
    """A part of a run that is in no trace would link to nothing."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    run(servers(endpoint=otlp.http_url, tasks_per_trace=1), quiet, [quick] * 3)
    assert otlp.spans == []


class Unfair(Sampler):
    """Takes what has a parent that was taken, and of roots only the first."""

    def __init__(self):
        self.roots = 0

    def should_sample(self, parent_context, trace_id, name, kind=None, attributes=None,
                      links=None, trace_state=None):  # fmt: skip
        parent = trace.get_current_span(parent_context).get_span_context()
        self.roots += not parent.is_valid
        wanted = parent.trace_flags.sampled if parent.is_valid else self.roots == 1
        return SamplingResult(Decision.RECORD_AND_SAMPLE if wanted else Decision.DROP, attributes)

    def get_description(self):
        return "unfair"


def local(**kwargs):
    exporter = InMemorySpanExporter()
    provider = TracerProvider(**kwargs)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider, exporter


def test_a_sampler_that_wants_no_part_loses_no_task(servers, quiet):
    """Where an application's sampler takes the run but not a part, the tasks stay with the run."""
    provider, exporter = local(sampler=Unfair())
    run(servers(tracer_provider=provider, tasks_per_trace=2), quiet, [quick] * 7)
    spans = exporter.get_finished_spans()
    assert len(spans) == 8
    assert len({span.context.trace_id for span in spans}) == 1
    assert "dotflow.workflow.part_count" not in spans[-1].attributes


def test_a_foreign_provider_names_the_parts_itself(servers, quiet):
    """The ids are those of the application's generator; the links lead from one to the other."""
    provider, exporter = local(id_generator=RandomIdGenerator())
    flow = run(servers(tracer_provider=provider, tasks_per_trace=2), quiet, [quick] * 3)
    spans = exporter.get_finished_spans()
    part = next(span for span in spans if span.name == "workflow part")
    root = spans[-1]
    assert part.parent is root.parent is None
    assert part.context.trace_id != part_trace_id(str(flow.workflow_id), 2)
    assert [(one.context.span_id, dict(one.attributes)) for one in root.links] == [
        (part.context.span_id, {"dotflow.link.type": "part"})
    ]
    assert [(one.context.span_id, dict(one.attributes)) for one in part.links] == [
        (root.context.span_id, {"dotflow.link.type": "part_of"})
    ]


def test_a_run_within_another_trace_is_split_too(servers, quiet):
    """Its first part is where it was started; baggage comes along to every part."""
    provider, exporter = local()
    seen = []

    @action
    def look():
        seen.append(baggage.get_baggage("who"))

    with provider.get_tracer("app").start_as_current_span("outer") as outer:
        token = context.attach(baggage.set_baggage("who", "me"))
        run(servers(tracer_provider=provider, tasks_per_trace=2), quiet, [look] * 3)
        context.detach(token)
    first, second, third = (s for s in exporter.get_finished_spans() if s.name == "look")
    assert first.context.trace_id == second.context.trace_id == outer.get_span_context().trace_id
    assert third.context.trace_id != first.context.trace_id
    assert seen == ["me"] * 3


def test_hundreds_of_parts_leave_the_links_of_the_root(servers, quiet):
    """The root says how many parts there are, and links to as many as a span has room for."""
    provider, exporter = local()
    run(servers(tracer_provider=provider, tasks_per_trace=1), quiet, [quick] * 200)
    spans = exporter.get_finished_spans()
    root = spans[-1]
    assert root.attributes["dotflow.workflow.part_count"] == 200
    assert root.dropped_links == 0
    assert len(root.links) == 63
    assert sum(span.name == "workflow part" for span in spans) == 199


@given(st.uuids(version=4).map(str) | st.text(min_size=1), st.integers(2, 10_000))
def test_the_id_of_a_part_follows_from_the_run(workflow, number):
    """It is always the same, never the run's own, and a ratio sampler decides as for the run."""
    found, own = part_trace_id(workflow, number), trace_id_of(workflow)
    assert found == part_trace_id(workflow, number)
    assert found != own
    assert 0 < found < 2**128
    assert found != part_trace_id(workflow, number + 1)
    bound = TraceIdRatioBased(0.5).bound
    assert (fair(found) & (2**64 - 1) < bound) == (fair(own) & (2**64 - 1) < bound)


PROGRAM = """
    import os, signal, sys
    from dotflow import Config, DotFlow, action
    from dotflow.otel import ServerOtel

    @action
    def step(initial_context):
        if initial_context.storage == "killed":
            os.kill(os.getpid(), signal.SIGKILL)

    if __name__ == "__main__":
        server = ServerOtel(endpoint=sys.argv[1], tasks_per_trace=2, markers=True)
        flow = DotFlow(config=Config(server=server), name="etl")
        for value in ("", "", "", sys.argv[2]):
            flow.task.add(step, initial_context=value)
        flow.start()
        assert server.flush(60).complete
"""


def test_the_parts_of_a_run_that_was_killed_are_whole(otlp, tmp_path):
    """What was under way at kill -9 is in each trace, markers and the roots of parts as well."""
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(PROGRAM))
    command = [sys.executable, str(program), otlp.http_url]
    killed = subprocess.run([*command, "killed"], check=False, timeout=120)
    assert killed.returncode == -signal.SIGKILL
    subprocess.run([*command, "well"], check=True, timeout=120)
    traces = traces_of(otlp.wait_for(24, seconds=60))
    assert sorted(sorted(span.name for span in one) for one in traces.values()) == 2 * [
        ["etl", "step", "step", "task started", "task started", "workflow started"],
    ] + 2 * [
        ["step", "step", "task started", "task started", "workflow part", "workflow part started"],
    ]  # fmt: skip
    assert all(is_whole(one) for one in traces.values())


def test_ten_thousand_tasks_arrive_with_default_settings(otlp, servers, quiet):
    """A run of ten thousand tasks is one trace, and none of its spans is lost."""
    ten_thousand(servers(endpoint=otlp.http_url), otlp, quiet)


def test_ten_thousand_tasks_arrive_over_grpc(otlp, servers, quiet):
    """The other protocol brings them too."""
    ten_thousand(servers(endpoint=otlp.grpc_url, protocol="grpc"), otlp, quiet)


def ten_thousand(server, otlp, quiet):
    @action
    def nothing():
        return None

    flow = DotFlow(config=quiet(server))
    flow.task.add([nothing] * 10_000)
    flow.start()
    assert server.flush(120).complete
    spans = otlp.wait_for(10_001, seconds=60)
    assert len({span.span_id for span in spans}) == len(spans) == 10_001
    assert tasks_of(spans) == list(range(1, 10_001))
    assert set(traces_of(spans)) == {flow.workflow_id.hex}
    assert is_whole(spans)
    assert (server.spans_exported, server.spans_failed) == (10_001, 0)
