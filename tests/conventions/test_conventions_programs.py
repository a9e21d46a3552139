"""What whole programs emit: the demo, one that is killed, one with the contract's providers."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from conventions_receiver import RequestReceiver, checked

from conventions.registry import read
from dotflow.cli.setup import Command

pytestmark = pytest.mark.slow

TIMEOUT = 120  # seconds that nothing here takes

KILLED = """
import os, signal
from dotflow import Config, DotFlow, action
from dotflow.otel import ServerOtel
from dotflow.providers import LogDefault

@action
def done():
    return 1

@action(retry=2, retry_delay=0)
def dies():
    os.kill(os.getpid(), signal.SIGKILL)

flow = DotFlow(config=Config(log=LogDefault(level="ERROR"), server=ServerOtel()), name="etl")
flow.task.add([done, dies])
flow.start()
"""

CONTRACT = """
from opentelemetry import metrics, trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from dotflow import Config, DotFlow, action
from dotflow.providers import LogDefault, MetricsOpenTelemetry, TracerOpenTelemetry

traces = TracerProvider()
traces.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(traces)
metrics.set_meter_provider(MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())]))

@action(retry=2, retry_delay=0)
def fails():
    raise ValueError("no rows")

config = Config(
    log=LogDefault(level="ERROR", output="file"), tracer=TracerOpenTelemetry(),
    metrics=MetricsOpenTelemetry(),
)
flow = DotFlow(config=config)
flow.task.add(fails)
flow.start()
"""


@pytest.fixture
def receiver(monkeypatch):
    with RequestReceiver() as one:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", one.http_url)
        yield one


def program(text, status=0):
    ended = subprocess.run(
        [sys.executable, "-c", text], env=os.environ, timeout=TIMEOUT, check=False
    )
    assert ended.returncode == status


def test_the_demo_emits_what_the_registry_says(receiver, capsys):
    """A real pipeline, with retries and groups."""
    assert Command(["demo", "--json"]).run() == 0
    capsys.readouterr()
    check = checked(receiver.requests)
    assert check.violations == []
    assert {"dotflow.workflow.server", "dotflow.task", "dotflow.attempt"} <= check.seen


def test_the_spans_of_a_killed_program_are_as_the_registry_says(receiver):
    """Those that the next process makes of its run log, too."""
    program(KILLED, -9)
    assert Command(["outbox", "flush"]).run() == 0
    check = checked(receiver.requests)
    assert check.violations == []
    assert {"dotflow.workflow.server", "dotflow.task", "dotflow.attempt"} <= check.seen


def test_the_names_of_the_contract_are_deprecated_and_in_use(receiver):
    """Of all that TracerOpenTelemetry and MetricsOpenTelemetry emit nothing else is wrong."""
    program(CONTRACT)
    check, registry = checked(receiver.requests), read()
    found = {(one.id, one.name) for one in check.violations} - {("missing_schema_url", "dotflow")}
    known = [*registry.attributes.values(), *registry.signals]
    gone = {"dotflow_workflow_duration_seconds", "dotflow_task_duration_seconds"}
    old = {getattr(one, "name", None) or one.key for one in known if one.deprecated}
    assert found == {("deprecated", name) for name in old - gone}
