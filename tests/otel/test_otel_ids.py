"""Trace ids: whoever has the run has the trace, also where others chose the provider."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from importlib.metadata import entry_points
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import requests
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased, TraceIdRatioBased

from dotflow import DotFlow, action
from dotflow.otel import WorkflowIdGenerator
from dotflow.otel.ids import chosen_generator, pinned, trace_id_of
from dotflow.otel.spans.sampling import UuidFairSampler

TOKEN = "a-token-of-the-tests"
IDS = [None, "orders-2026-11", "with/slash and space", "x" * 255, "\u2603",
       "00000000-0000-0000-0000-000000000000"]  # fmt: skip


@action
def step():
    return 1


def run(server, quiet, **kwargs):
    flow = DotFlow(config=quiet(server), name="etl", **kwargs)
    flow.task.add(step)
    flow.start()
    assert server.flush(60).complete
    return flow


@pytest.mark.parametrize("mode", ["sequential", "background", "parallel", "sequential_group"])
def test_a_manager_says_the_trace_of_its_run(mode, otlp, servers, quiet):
    """`trace_id` is that of the spans: of the workflow, or of the span that is current."""
    server = servers(endpoint=otlp.http_url)
    flow = DotFlow(config=quiet(server), name="etl")
    flow.task.add(step)
    alone = flow.start(mode=mode)
    alone.wait(60)
    tracer = TracerProvider().get_tracer(__name__)
    with tracer.start_as_current_span("request") as request:
        within = DotFlow(config=quiet(server), name="etl").start(mode=mode)
        within.wait(60)
    assert alone.trace_id == flow.workflow_id.hex
    assert within.trace_id == format(request.get_span_context().trace_id, "032x")
    assert server.flush(60).complete
    found = {span.trace_id for span in otlp.wait_for(3)}
    assert found == {alone.trace_id, within.trace_id}


def test_without_a_trace_there_is_no_id(servers, quiet, monkeypatch):
    """Where OpenTelemetry is switched off a Manager has none."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert DotFlow(config=quiet(servers())).start().trace_id is None


def recorded(api, flow):
    path = requests.utils.quote(str(flow.workflow_id), safe="")
    answer = requests.get(
        f"{api.url}/workflows/{path}", headers={"X-User-Token": TOKEN}, timeout=10
    )
    return answer.json()["trace_id"]


@pytest.mark.parametrize("sampler", ["always_on", "always_off"])
@pytest.mark.parametrize("workflow_id", IDS, ids=lambda one: str(one)[:20])
def test_on_our_provider_the_id_of_the_trace_follows_from_the_runs(
    workflow_id, sampler, api, otlp, servers, quiet, monkeypatch
):
    """Any id has a trace, the record names it, sampled or not."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    server = servers(api.url, TOKEN, endpoint=otlp.http_url)
    flow = run(server, quiet, workflow_id=workflow_id)
    expected = format(trace_id_of(str(flow.workflow_id)), "032x")
    assert recorded(api, flow) == expected
    if workflow_id is None:
        assert expected == UUID(str(flow.workflow_id)).hex
    spans = otlp.wait_for(2) if sampler == "always_on" else otlp.spans
    assert {span.trace_id for span in spans} == ({expected} if spans else set())


@pytest.mark.parametrize("sampler", [None, ALWAYS_OFF], ids=["sampled", "not sampled"])
@pytest.mark.parametrize("generator", [RandomIdGenerator, WorkflowIdGenerator])
def test_on_an_applications_provider_its_generator_says(generator, sampler, api, servers, quiet):
    """The record has the trace id that there is, whoever made it."""
    made = []

    class Noted(generator):
        def generate_trace_id(self):
            made.append(super().generate_trace_id())
            return made[-1]

    provider = TracerProvider(id_generator=Noted(), sampler=sampler)
    server = servers(api.url, TOKEN, tracer_provider=provider)
    flow = run(server, quiet)
    provider.shutdown()
    [trace_id] = made
    assert recorded(api, flow) == format(trace_id, "032x")
    assert (trace_id == flow.workflow_id.int) == (generator is WorkflowIdGenerator)


@pytest.mark.parametrize(
    ("named", "expected"),
    [("", WorkflowIdGenerator), ("dotflow", WorkflowIdGenerator), ("random", RandomIdGenerator)],
)
def test_the_variable_chooses_the_generator_of_our_provider(
    named, expected, servers, quiet, api, monkeypatch
):
    """Who needs ids of another kind (a backend may) gets them, and the record has them."""
    monkeypatch.setenv("OTEL_PYTHON_ID_GENERATOR", named)
    server = servers(api.url, TOKEN)
    flow = run(server, quiet)
    assert type(server.tracer_provider.id_generator) is expected
    assert (recorded(api, flow) == flow.workflow_id.hex) == (expected is WorkflowIdGenerator)


def test_a_generator_that_there_is_not_costs_a_line(monkeypatch, caplog):
    """Ours is used then."""
    monkeypatch.setenv("OTEL_PYTHON_ID_GENERATOR", "unheard-of")
    assert isinstance(chosen_generator(), WorkflowIdGenerator)
    assert "unheard-of" in caplog.text


def test_the_generator_is_found_by_its_entry_point():
    """The name that `opentelemetry-instrument` looks for leads to it."""
    [found] = entry_points(group="opentelemetry_id_generator", name="dotflow")
    assert found.load() is WorkflowIdGenerator


@pytest.mark.parametrize(
    ("workflow_id", "is_random"),
    [
        ("f48a7282-2985-43fd-bc0d-78302f9887ca", True),
        ("orders-2026-11", True),
        ("c232ab00-9414-11ec-b3c8-9f6bdeced846", False),  # version 1: its end is a machine's
        ("017f22e2-79b0-7cc3-98c4-dc0c0c07398f", True),  # version 7: its end is random
    ],
)
def test_the_random_flag_is_true(workflow_id, is_random):
    """What says that a trace id is random is said of those alone which are."""
    generator = WorkflowIdGenerator()
    with pinned(trace_id_of(workflow_id)):
        assert generator.is_trace_id_random() is is_random
    assert generator.is_trace_id_random()


def test_with_our_generator_an_applications_sampler_is_asked_fairly(servers, quiet):
    """Its ratio is kept for ids that are UUIDs; its provider and its own tracers are left alone."""
    sampler = ParentBased(TraceIdRatioBased(0.5))
    provider = TracerProvider(id_generator=WorkflowIdGenerator(), sampler=sampler)
    theirs = provider.get_tracer("theirs")
    server = servers(tracer_provider=provider)
    for _ in range(2):
        server.tracer_provider  # noqa: B018 - opens it
        tracer = server._open().tracer
        assert isinstance(tracer.sampler, UuidFairSampler)
        assert tracer.sampler.inner is sampler is provider.sampler is theirs.sampler
        server.close(60)
    sampled = 0
    for _ in range(400):
        workflow_id = uuid4()
        with pinned(workflow_id.int):
            sampled += tracer.start_span("etl").get_span_context().trace_flags.sampled
    assert 100 < sampled < 300  # of 400, at a ratio of a half; without fairness none
    provider.shutdown()


PROGRAM = textwrap.dedent("""
    import json, sys
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider

    provider = trace.get_tracer_provider()
    assert type(provider) is TracerProvider, provider
    before = [provider, provider.sampler, provider.id_generator, provider.resource,
              provider._span_limits, *provider._active_span_processor._span_processors]

    from dotflow import Config, DotFlow, action
    from dotflow.otel import ServerOtel

    @action
    def step():
        with trace.get_tracer("mine").start_as_current_span("inner"):
            return 1

    flow = DotFlow(config=Config(server=ServerOtel()), name="etl")
    flow.task.add(step)
    flow.start(mode=sys.argv[1])
    assert flow.config.server.tracer_provider is trace.get_tracer_provider() is provider
    after = [provider, provider.sampler, provider.id_generator, provider.resource,
             provider._span_limits, *provider._active_span_processor._span_processors]
    assert all(one is other for one, other in zip(before, after)), (before, after)
    print(json.dumps({"id": flow.workflow_id.hex, "sampler": provider.sampler.get_description()}))
""")

LAUNCHER = Path(sys.executable).with_name("opentelemetry-instrument")


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["sequential", "parallel"])
@pytest.mark.parametrize("generator", ["dotflow", "random", None])
def test_an_auto_instrumented_program_needs_no_line_of_set_up(generator, mode, otlp, api, tmp_path):
    """`opentelemetry-instrument python app.py`: one trace, in what the launcher has set up."""
    program = tmp_path / "app.py"
    program.write_text(PROGRAM)
    environment = {
        **os.environ,
        "OTEL_EXPORTER_OTLP_ENDPOINT": otlp.http_url,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_SERVICE_NAME": "theirs",
        "OTEL_TRACES_SAMPLER": "parentbased_always_on",
        "DOTFLOW_SERVER_URL": api.url,
        "DOTFLOW_USER_TOKEN": TOKEN,
        "DOTFLOW_FLUSH_TIMEOUT": "60",
        **({"OTEL_PYTHON_ID_GENERATOR": generator} if generator else {}),
    }
    done = subprocess.run(
        [LAUNCHER, sys.executable, program, mode],
        env=environment, check=False, timeout=120, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert "ParentBased" in said["sampler"]
    spans = {span.name: span for span in otlp.wait_for(3) if span.name in ("etl", "step", "inner")}
    assert spans["inner"].parent_id == spans["step"].span_id
    assert spans["step"].parent_id == spans["etl"].span_id
    [trace_id] = {span.trace_id for span in spans.values()}
    assert (trace_id == said["id"]) == (generator == "dotflow")
    assert {span.resource["service.name"] for span in spans.values()} == {"theirs"}
    # Our calls to dotflow-api have made no span, whatever of requests is instrumented.
    assert len(otlp.spans) == 3
    answer = requests.get(f"{api.url}/workflows", headers={"X-User-Token": TOKEN}, timeout=60)
    [record] = answer.json()["workflows"]
    assert (record["status"], record["trace_id"]) == ("Completed", trace_id)
