"""Whose tracer provider it is, and what becomes of it."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import textwrap
import threading
import time

import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, TraceIdRatioBased

from dotflow import DotFlow, action
from dotflow.otel import ServerOtel, WorkflowIdGenerator
from dotflow.otel.export.otlp.endpoint import OtlpSettings
from dotflow.otel.export.otlp.exports import QUEUE_SIZE, SpanCounts
from dotflow.otel.export.provider.own import OwnTracerProvider, span_processors
from dotflow.otel.ids import pinned, trace_id_of
from dotflow.otel.spans.sampling import UuidFairSampler, fair


@action
def step():
    return 1


def run(server, quiet, **kwargs):
    flow = DotFlow(config=quiet(server), name="etl", **kwargs)
    flow.task.add(step)
    flow.start()
    return flow


@pytest.fixture
def application():
    """An application's own provider, and what it exports."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource({"service.name": "theirs"}), sampler=ALWAYS_ON)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield provider, exporter
    provider.shutdown()


def test_an_applications_provider_is_kept_as_it_is(application, servers, quiet, api):
    """Its processors, sampler, resource and ids stay; ours is added beside them."""
    provider, exporter = application
    before = (provider.sampler, provider.id_generator, provider.resource)
    theirs = provider._active_span_processor._span_processors
    server = servers(api.url, "a-token-of-the-tests", tracer_provider=provider)
    flow = run(server, quiet)
    assert server.tracer_provider is provider
    assert (provider.sampler, provider.id_generator, provider.resource) == before
    assert provider._active_span_processor._span_processors[: len(theirs)] == theirs
    spans = {span.name: span for span in exporter.get_finished_spans()}
    assert set(spans) == {"etl", "step"}
    # Its id generator makes the ids: the trace is not the workflow.
    assert spans["etl"].context.trace_id != flow.workflow_id.int
    assert spans["etl"].resource.attributes["service.name"] == "theirs"


def test_an_endpoint_in_code_is_one_more_for_an_application(application, servers, quiet, otlp):
    """With an endpoint argument spans go there too, beside the application's own export."""
    provider, exporter = application
    server = servers(endpoint=otlp.http_url, tracer_provider=provider)
    run(server, quiet)
    server.flush(60)
    assert len(exporter.get_finished_spans()) == len(otlp.wait_for(2)) == 2


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_an_endpoint_that_an_application_serves_gets_each_span_once(
    protocol, servers, quiet, otlp, caplog
):
    """Two servers name it in code too; one line says that this adds nothing."""
    has_grpc = protocol == "grpc"
    url = otlp.grpc_url if has_grpc else otlp.http_url
    if has_grpc:
        exporter = GrpcExporter(endpoint=url, insecure=True)
    else:
        exporter = HttpExporter(endpoint=f"{url}/v1/traces")
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(exporter))
    for _ in range(2):
        server = servers(endpoint=url, protocol=protocol, tracer_provider=provider)
        run(server, quiet)
        assert "own OpenTelemetry" in server.places("etl")["spans"]
        server.close(60)
    provider.shutdown()
    assert len(otlp.wait_for(4)) == 4
    [said] = [one for one in caplog.messages if "adds nothing" in one]
    assert url in said


def test_an_endpoint_in_the_environment_is_the_applications_to_use(
    application, servers, quiet, otlp, monkeypatch
):
    """An application that has a provider has seen to its export: nothing is sent twice."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", otlp.http_url)
    provider, _ = application
    server = servers(tracer_provider=provider)
    run(server, quiet)
    server.flush(60)
    assert otlp.wait_for(1, seconds=0.3) == []


def test_construction_starts_and_sets_nothing():
    """A ServerOtel that runs nothing has no provider, no thread and no global effect."""
    program = textwrap.dedent("""
        import threading
        from opentelemetry import trace
        from dotflow import Config, DotFlow, action
        from dotflow.otel import ServerOtel

        server = ServerOtel("http://127.0.0.1:9", "t", endpoint="http://127.0.0.1:9")
        flow = DotFlow(config=Config(server=server))
        flow.task.add(action(lambda: 1))
        assert threading.active_count() == 1, threading.enumerate()
        assert isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
    """)
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_a_provider_is_made_once_and_becomes_the_global_one():
    """Two ServerOtel share the provider that the first made; one after another works too."""
    program = textwrap.dedent("""
        import threading
        from opentelemetry import trace
        from dotflow import Config, DotFlow, action
        from dotflow.otel import ServerOtel

        def run(server):
            flow = DotFlow(config=Config(server=server))
            flow.task.add(action(lambda: 1))
            flow.start()

        first, second = ServerOtel(endpoint="http://127.0.0.1:9"), ServerOtel(set_global=False)
        run(first)
        run(second)
        assert trace.get_tracer_provider() is first.tracer_provider is second.tracer_provider
        first.close(0.1)
        second.close(0.1)
        third = ServerOtel()
        run(third)
        assert third.tracer_provider is trace.get_tracer_provider()
        third.close()
    """)
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_set_global_false_leaves_the_global_provider_alone():
    """A provider that is made for dotflow alone is not seen by anybody else."""
    program = textwrap.dedent("""
        from opentelemetry import trace
        from dotflow import Config, DotFlow, action
        from dotflow.otel import ServerOtel

        flow = DotFlow(config=Config(server=ServerOtel(set_global=False)))
        flow.task.add(action(lambda: 1))
        flow.start()
        assert isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
    """)
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_close_releases_threads_and_a_later_run_begins_anew(otlp, servers, quiet):
    """After close nothing of ours runs on; the same object can report another run."""

    def ours():
        return [one for one in threading.enumerate() if one.name.startswith(("Otel", "dotflow"))]

    assert not ours()
    server = servers(endpoint=otlp.http_url)
    run(server, quiet)
    assert ours()
    assert server.close(60).complete
    assert not ours()
    assert len(otlp.wait_for(2)) == 2
    run(server, quiet)
    assert server.close(60).complete
    assert len(otlp.wait_for(4)) == 4


def test_two_servers_on_one_provider_do_not_double(application, servers, quiet, api):
    """Each run is reported once, by the server that ran it."""
    provider, _ = application
    first = servers(api.url, "a-token-of-the-tests", tracer_provider=provider)
    second = servers(api.url, "a-token-of-the-tests", tracer_provider=provider)
    for server in (first, second):
        server.tracer_provider  # noqa: B018 - opens it
    run(first, quiet)
    run(second, quiet)
    # Four messages a run: they share a destination, and so the count.
    assert first.flush(60).delivered == second.flush(60).delivered == 8


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, 0),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}, 1),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:9/v1/traces"}, 1),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, 1),
        ({"OTEL_TRACES_EXPORTER": "otlp,console"}, 2),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}, 0),
        ({"OTEL_TRACES_EXPORTER": "unheard-of"}, 0),
    ],
)
def test_what_switches_otlp_on(variables, expected, monkeypatch):
    """An endpoint, or OTEL_TRACES_EXPORTER; "none" switches it off."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    processors = span_processors(OtlpSettings(), SpanCounts())
    for processor in processors:
        processor.shutdown()
    assert len(processors) == expected


@pytest.mark.parametrize(("variable", "size"), [(None, QUEUE_SIZE), ("77", 77)])
def test_the_queue_is_large_unless_the_variable_says_otherwise(variable, size, monkeypatch):
    """OTEL_BSP_MAX_QUEUE_SIZE is honoured; the SDK's small default is not."""
    if variable:
        monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", variable)
        monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "50")
    [processor] = span_processors(OtlpSettings("http://127.0.0.1:9"), SpanCounts())
    processor.shutdown()
    assert processor.limit == size


def test_an_unknown_protocol_is_said_and_http_is_used(monkeypatch, caplog, otlp, servers, quiet):
    """A protocol that nobody knows costs a line, not the spans."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "carrier-pigeon")
    server = servers(endpoint=otlp.http_url)
    run(server, quiet)
    assert server.flush(60).complete
    assert len(otlp.wait_for(2)) == 2
    assert "carrier-pigeon" in caplog.text


def test_a_dead_collector_costs_no_more_than_the_flush_may_take(servers, quiet, monkeypatch):
    """flush keeps its deadline, and says that not all is sent."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "20")  # when the SDK's thread gives up
    server = servers(endpoint="http://127.0.0.1:9")
    run(server, quiet)
    begin = time.monotonic()
    assert server.flush(0.3).complete is False
    server.close(0.3)
    assert time.monotonic() - begin < 15


def test_trace_ids_follow_from_workflow_ids():
    """A UUID is its own trace id; another id has a hash for one, always the same."""
    assert trace_id_of("0b5e0b1e-5a3c-4b53-9e0a-6f5f3c2a7c11") == (
        0x0B5E0B1E5A3C4B539E0A6F5F3C2A7C11
    )
    assert trace_id_of("orders-2026-11") == trace_id_of("orders-2026-11")
    assert trace_id_of("orders-2026-11") != trace_id_of("orders-2026-12")
    assert trace_id_of("00000000-0000-0000-0000-000000000000") != 0
    assert trace_id_of("\ud800") != 0


def test_only_the_pinned_root_has_the_pinned_id():
    """The generator gives random ids to everybody else."""
    generator = WorkflowIdGenerator()
    with pinned(5):
        assert generator.generate_trace_id() == 5
    assert generator.generate_trace_id() not in (5, 0)
    assert generator.generate_span_id() != generator.generate_span_id()
    assert generator.is_trace_id_random()


@pytest.mark.parametrize("workflow_id", ["orders-2026-11", "with/slash and space", "x" * 255])
def test_ids_that_are_no_uuid_are_traced_and_recorded(workflow_id, otlp, servers, quiet):
    """Any id has a trace."""
    server = servers(endpoint=otlp.http_url)
    run(server, quiet, workflow_id=workflow_id)
    server.flush(60)
    spans = otlp.wait_for(2)
    assert {span.trace_id for span in spans} == {format(trace_id_of(workflow_id), "032x")}
    assert {span.attributes["dotflow.workflow.id"] for span in spans} == {workflow_id}


@pytest.mark.parametrize("ratio", [0.1, 0.5, 0.9])
def test_ratio_sampling_is_fair_to_uuids(ratio):
    """Of many workflows about the asked share is sampled, though their ids have fixed bits."""
    from uuid import uuid4

    sampler = UuidFairSampler(ParentBased(TraceIdRatioBased(ratio)))
    sampled = sum(
        sampler.should_sample(None, uuid4().int, "etl").decision.is_sampled() for _ in range(4000)
    )
    assert abs(sampled / 4000 - ratio) < 0.05
    assert "TraceIdRatioBased" in sampler.get_description()


def test_other_trace_ids_are_sampled_as_the_sdk_does():
    """An id that is no version 4 UUID is passed on as it is."""
    assert fair(0x0123456789ABCDEF0123456789ABCDEF) == 0x0123456789ABCDEF0123456789ABCDEF


def test_ids_sampled_out_do_not_reach_otlp(otlp, servers, quiet, monkeypatch):
    """OTEL_TRACES_SAMPLER decides what reaches OTLP."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    server = servers(endpoint=otlp.http_url)
    run(server, quiet)
    assert server.flush(60).complete
    assert server.tracer_provider.sampler is ALWAYS_OFF
    assert otlp.wait_for(1, seconds=0.3) == []


def test_shutdown_is_close_and_may_be_called_twice(otlp):
    """OpenTelemetry's word for it works too."""
    server = ServerOtel(endpoint=otlp.http_url, set_global=False)
    server.tracer_provider  # noqa: B018 - opens it
    assert server.shutdown().complete
    assert server.shutdown().complete


def test_a_server_that_nobody_holds_leaves_no_thread(otlp, quiet):
    """Garbage collection ends what close would have ended."""
    provider = TracerProvider()
    server = ServerOtel(tracer_provider=provider)
    run(server, quiet)
    assert [one for one in threading.enumerate() if one.name == "dotflow-otlp-flush"]
    del server
    gc.collect()
    deadline = time.monotonic() + 60
    while [one for one in threading.enumerate() if one.name == "dotflow-otlp-flush"]:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    provider.shutdown()


def test_a_program_that_dropped_its_server_ends_once_all_is_sent(otlp):
    """The garbage collector and the exit wait for one answer; neither waits for the other's."""
    program = textwrap.dedent("""
        from dotflow import Config, DotFlow, action
        from dotflow.otel import ServerOtel

        def main():
            flow = DotFlow(config=Config(server=ServerOtel()))
            flow.task.add(action(lambda: 1))
            flow.start()

        main()
    """)
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": otlp.http_url, "DOTFLOW_FLUSH_TIMEOUT": "50"}
    subprocess.run(
        [sys.executable, "-c", program], check=True, timeout=40, env={**os.environ, **environment}
    )
    assert len(otlp.wait_for(2)) == 2


def test_a_server_that_is_closed_in_mid_run_begins_anew_for_the_next_task(servers, quiet, otlp):
    """On a provider of ours the tasks after that are exported as those before it."""
    provider = OwnTracerProvider(Resource({"service.name": "ours"}))
    server = servers(endpoint=otlp.http_url, tracer_provider=provider)

    @action
    def closes():
        server.close(60)

    flow = DotFlow(config=quiet(server), name="etl")
    flow.task.add([step, closes, step, step])
    flow.start()
    server.flush(60)
    names = sorted(span.name for span in otlp.wait_for(4) if span.name != "closes")
    assert names == ["etl", "step", "step", "step"]
    provider.shutdown()
