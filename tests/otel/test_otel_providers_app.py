"""An application's provider stays as it is, and nothing of ours stays on it."""

from __future__ import annotations

import gc
import subprocess
import sys
import textwrap
import threading
import time
import weakref

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

from dotflow import DotFlow, action
from dotflow.delivery.relay import relay
from dotflow.otel import DotflowSpanProcessor, ServerOtel
from dotflow.otel.exporter import DotflowSpanExporter

pytestmark = pytest.mark.slow

TOKEN = "a-token-of-the-tests"


@action
def step():
    return 1


def run(server, quiet, name="etl", tasks=1):
    flow = DotFlow(config=quiet(server), name=name)
    flow.task.add([step] * tasks)
    flow.start()
    return flow


def ours():
    """The threads of ours that are there."""
    started = [one for one in threading.enumerate() if one.name.startswith(("Otel", "dotflow"))]
    # The server of the tests, and who looks for what others leave, also when all is garbage.
    of_the_api = ("dotflow-api", "dotflow-api-keeper")
    return [one for one in started if one.name not in (*of_the_api, "dotflow-watch")]


def wait_until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, ours()
        time.sleep(0.01)


def of_ours(provider):
    """What of ours is called for a span of an application's provider."""
    found = []
    for one in provider._active_span_processor._span_processors:
        found += getattr(one, "_processors", [])
    return found


@pytest.fixture
def application():
    exporter = InMemorySpanExporter()
    provider = TracerProvider(
        resource=Resource({"service.name": "theirs"}),
        sampler=ParentBased(TraceIdRatioBased(1.0)),
        span_limits=SpanLimits(max_span_attributes=5),
    )
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield provider, exporter
    provider.shutdown()


def test_it_keeps_what_it_has(application, servers, quiet, api, otlp):
    """Sampler, limits, resource, ids and processors are the same objects before and after."""
    provider, exporter = application

    def state():
        processors = provider._active_span_processor._span_processors
        return [provider.sampler, provider._span_limits, provider.resource, provider.id_generator,
                provider._active_span_processor, processors[0]]  # fmt: skip

    before = state()
    server = servers(api.url, TOKEN, endpoint=otlp.http_url, tracer_provider=provider)
    run(server, quiet)
    assert server.close(60).complete
    assert all(one is other for one, other in zip(before, state(), strict=True))
    # Its limits hold for our spans too: they are its spans.
    spans = exporter.get_finished_spans()
    assert sorted(span.name for span in spans) == ["etl", "step"]
    assert all(len(span.attributes) <= 5 for span in spans)
    assert {span.resource.attributes["service.name"] for span in spans} == {"theirs"}


def test_servers_one_after_another_leave_nothing_on_it(application, servers, quiet, api, otlp):
    """After a hundred servers it has one processor of ours, which is empty and does nothing."""
    provider, exporter = application
    for number in range(100):
        server = servers(api.url, TOKEN, endpoint=otlp.http_url, tracer_provider=provider)
        run(server, quiet, f"etl {number}")
        server.close(60)
        assert of_ours(provider) == []
    assert len(provider._active_span_processor._span_processors) == 2
    assert len(exporter.get_finished_spans()) == 200
    assert len(otlp.wait_for(200)) == 200
    assert ours() == []


def test_servers_side_by_side_do_not_double(application, servers, quiet, api, otlp):
    """Each run's spans and records are there once, whichever of them is closed first."""
    provider, exporter = application
    first = servers(api.url, TOKEN, tracer_provider=provider)
    second = servers(endpoint=otlp.http_url, tracer_provider=provider)
    for server in (first, second):
        server.tracer_provider  # noqa: B018 - opens it
    run(first, quiet, "first")
    run(second, quiet, "second")
    assert first.close(60).delivered == 4
    run(second, quiet, "third")
    assert second.close(60).complete
    names = sorted(span.name for span in exporter.get_finished_spans())
    assert names == ["first", "second", "step", "step", "step", "third"]
    assert sorted(span.name for span in otlp.wait_for(6)) == names
    assert of_ours(provider) == []


@pytest.mark.parametrize("how", ["closed", "forgotten"])
@pytest.mark.parametrize("whose", ["theirs", "ours"])
def test_what_nobody_needs_is_released(whose, how, application, quiet, api, otlp, monkeypatch):
    """Threads end, and the server, its exporter and its processors are garbage."""
    workers, linger = relay.Relay.__init__.__defaults__
    assert linger == relay.LINGER
    monkeypatch.setattr(relay.Relay.__init__, "__defaults__", (workers, 0.1))
    provider = application[0] if whose == "theirs" else None
    server = ServerOtel(
        api.url, TOKEN, endpoint=otlp.http_url, tracer_provider=provider, set_global=False
    )
    run(server, quiet)
    held = [server, server._exporter, server._exporter.channel, server._pipeline]
    held += of_ours(provider) if provider else server.tracer_provider.processors._processors
    references = [weakref.ref(one) for one in held]
    assert len(references) == 6
    assert ours()
    if how == "closed":
        assert server.close(60).complete
        assert ours() == []
    del server, held
    wait_until(lambda: not ours())  # a relay keeps its threads for a while, for the next run
    wait_until(lambda: gc.collect() is not None and not any(one() for one in references))
    assert len(otlp.wait_for(2)) == 2
    if provider is not None:
        assert of_ours(provider) == []


def test_a_closed_one_reports_a_later_run_again(application, servers, quiet, api):
    """It comes back to the provider, once."""
    provider, _ = application
    server = servers(api.url, TOKEN, tracer_provider=provider)
    for _ in range(3):
        run(server, quiet)
        assert len(of_ours(provider)) == 1
        assert server.close(60).delivered == 4
        assert of_ours(provider) == []


def test_a_provider_that_is_shut_down_first_loses_no_report(application, servers, quiet, api):
    """An application may end its provider before it ends ours; what was reported is delivered."""
    provider, _ = application
    server = servers(api.url, TOKEN, tracer_provider=provider)
    flow = run(server, quiet)
    provider.shutdown()
    result = server.close(10)
    assert (result.delivered, result.pending, result.dead) == (4, 0, 0)
    assert flow.result_task()[0].status == "Completed"
    assert ours() == []


def test_a_processor_of_the_applications_own_is_its_own(application, servers, quiet, api):
    """A DotflowSpanProcessor that the application added stays when a ServerOtel goes."""
    provider, _ = application
    own = DotflowSpanProcessor(DotflowSpanExporter(api.url, TOKEN))
    provider.add_span_processor(own)
    server = servers(tracer_provider=provider)
    run(server, quiet)
    server.close(60)
    assert own in provider._active_span_processor._span_processors
    assert own.exporter.channel.flush(60).delivered == 4


class Slotted:
    """A provider of somebody's own make, that takes processors and no weak references."""

    __slots__ = ("inner",)

    def __init__(self, inner):
        self.inner = inner

    def get_tracer(self, *args, **kwargs):
        return self.inner.get_tracer(*args, **kwargs)

    def add_span_processor(self, processor):
        self.inner.add_span_processor(processor)


class Bare(Slotted):
    """One that takes none."""

    __slots__ = ()
    add_span_processor = None


@pytest.mark.parametrize("cls", [Slotted, Bare])
def test_a_provider_of_another_make_is_used_as_far_as_it_goes(
    cls, application, servers, quiet, api
):
    """Records are the same where a provider takes no processors, or cannot be remembered."""
    provider, exporter = application
    server = servers(api.url, TOKEN, tracer_provider=cls(provider))
    for _ in range(2):
        run(server, quiet)
        assert server.close(60).delivered == 4
    assert len(exporter.get_finished_spans()) == 4
    assert of_ours(provider) == []


def test_a_program_with_a_global_provider_keeps_it():
    """Two servers in a program that has set its own: no second provider, no thread, no line."""
    program = textwrap.dedent("""
        import threading
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

        exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        trace.set_tracer_provider(provider)

        from dotflow import Config, DotFlow, action
        from dotflow.otel import ServerOtel
        from dotflow.providers import LogDefault

        for _ in range(2):
            server = ServerOtel()
            flow = DotFlow(config=Config(server=server, log=LogDefault(level="ERROR")))
            flow.task.add(action(lambda: 1))
            flow.start()
            assert server.tracer_provider is trace.get_tracer_provider() is provider
            server.shutdown()
        assert threading.active_count() == 1, threading.enumerate()
        assert len(exporter.get_finished_spans()) == 4
    """)
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, timeout=120, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
