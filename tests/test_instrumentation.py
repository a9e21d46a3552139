"""The instrumentor: which server a Config has that names none."""

from __future__ import annotations

from importlib.metadata import entry_points

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from dotflow import Config, DotFlow, action
from dotflow.instrumentation import DotflowInstrumentor
from dotflow.otel import ServerOtel
from dotflow.otel.named import NamedSpanExporter
from dotflow.providers import ServerDefault, TracerOpenTelemetry
from dotflow.providers.server_none import ServerNone


@pytest.fixture
def instrumentor():
    """One that is taken back, whatever a test does."""
    one = DotflowInstrumentor()
    yield one
    if one.is_instrumented_by_opentelemetry:
        one.uninstrument()


@action
def step():
    return 1


def test_a_config_that_names_no_server_has_server_otel(instrumentor):
    """Until that is taken back."""
    assert type(Config().server) is ServerDefault
    instrumentor.instrument()
    assert type(DotFlow().config.server) is ServerOtel
    instrumentor.uninstrument()
    assert type(Config().server) is ServerDefault


@pytest.mark.parametrize(
    ("said", "expected"),
    [("auto", ServerOtel), ("otel", ServerOtel), ("none", ServerNone), ("default", ServerNone)],
)
def test_the_environment_says_otherwise(said, expected, instrumentor, monkeypatch):
    """`DOTFLOW_SERVER` is asked first; `auto` leaves it open."""
    monkeypatch.setenv("DOTFLOW_SERVER", said)
    instrumentor.instrument()
    assert type(Config().server) is expected


def test_what_the_program_says_is_kept(instrumentor):
    """A server is used as it is; a tracer of its own makes the spans already."""
    instrumentor.instrument()
    theirs = ServerNone()
    assert Config(server=theirs).server is theirs
    assert type(Config(tracer=TracerOpenTelemetry()).server) is ServerDefault


def test_options_are_those_of_server_otel(instrumentor):
    """A program that calls it gives its own provider, as to every instrumentor."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    instrumentor.instrument(tracer_provider=provider, meter_provider=object(), contexts=False)
    flow = DotFlow(name="etl")
    flow.task.add(step, initial_context="secret")
    flow.start()
    flow.config.server.close(60)
    spans = {span.name: dict(span.attributes) for span in exporter.get_finished_spans()}
    assert set(spans) == {"etl", "step"}
    assert "secret" not in str(spans)
    provider.shutdown()


@pytest.mark.parametrize(
    ("options", "error"), [({"contxts": False}, TypeError), ({"protocol": "udp"}, ValueError)]
)
def test_a_wrong_option_is_an_error_at_once(options, error, instrumentor):
    """Else a run would say what it was not to say."""
    with pytest.raises(error, match=next(iter(options))):
        instrumentor.instrument(**options)
    assert type(Config().server) is ServerDefault


@pytest.mark.parametrize(
    ("group", "expected"),
    [("instrumentor", DotflowInstrumentor), ("traces_exporter", NamedSpanExporter)],
)
def test_the_launcher_finds_it_by_name(group, expected):
    """Its entry point leads to it."""
    [found] = entry_points(group=f"opentelemetry_{group}", name="dotflow")
    assert found.load() is expected


def test_the_named_exporter_without_an_address_harms_nobody(caplog):
    """The SDK makes all exporters that a variable names: one that raised would cost the others."""
    assert issubclass(NamedSpanExporter, SpanExporter)  # the SDK takes no other
    exporter = NamedSpanExporter()
    assert exporter.export(()).name == "SUCCESS"
    assert exporter.force_flush()
    exporter.shutdown()
    assert "DOTFLOW_SERVER_URL" in caplog.text


def test_the_named_exporter_takes_what_a_file_says():
    """A configuration file gives it its address."""
    exporter = NamedSpanExporter(base_url="http://127.0.0.1:9", user_token="t")
    assert exporter.exporter.channel.destination.url == "http://127.0.0.1:9"
    assert exporter.force_flush(1000)
    exporter.shutdown()
