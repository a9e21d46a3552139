"""A variable of OpenTelemetry's that is wrong costs a line that names it, and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import opentelemetry.environment_variables
import opentelemetry.sdk.environment_variables
import pytest
import requests
from support.otlp import OtlpReceiver

from dotflow import DotFlow, action
from dotflow.process import variables
from dotflow.process.variables import LIMITS, mended
from dotflow.providers import LogOpenTelemetry, MetricsOpenTelemetry, TracerOpenTelemetry

pytestmark = pytest.mark.slow  # each starts programs

PROGRAM = Path(__file__).parent / "environment_program.py"

WRONG = [
    *(f"{name}=abc" for name in LIMITS),
    "OTEL_SPAN_EVENT_COUNT_LIMIT=-1",
    "OTEL_PROPAGATORS=tracecontext,b3-that-is-not-there",
    "OTEL_PYTHON_CONTEXT=abc",
    "OTEL_PYTHON_ID_GENERATOR=abc",
    "OTEL_PYTHON_LOGGER_PROVIDER=abc",
    "OTEL_PYTHON_METER_PROVIDER=abc",
    "OTEL_PYTHON_TRACER_PROVIDER=abc",
    "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS=abc",
    "OTEL_RESOURCE_ATTRIBUTES=abc,service.name=x",
    "OTEL_TRACES_SAMPLER=abc",
    "OTEL_SDK_DISABLED=abc",
    "OTEL_BSP_SCHEDULE_DELAY=abc",
    "OTEL_BSP_MAX_QUEUE_SIZE=abc",
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE=0",
    "OTEL_EXPORTER_OTLP_TIMEOUT=abc",
    "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT=-1",
    "OTEL_EXPORTER_OTLP_PROTOCOL=abc",
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/json",
    "OTEL_EXPORTER_OTLP_COMPRESSION=abc",
    "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION=zstd",
    "OTEL_EXPORTER_OTLP_HEADERS=Bearer open-sesame",
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS=x=open%0asesame",
]
"""All are exported; one line names the variable."""

UNUSABLE = [
    "OTEL_TRACES_EXPORTER=abc",
    "OTEL_EXPORTER_OTLP_ENDPOINT=localhost:4318",
    "OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:port",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=ftp://localhost",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://",
]
"""Nothing can be exported; one line names the variable."""

OF_NO_MATTER = [
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT=",
    "OTEL_BSP_MAX_QUEUE_SIZE=10",  # shorter than a batch
    "OTEL_EXPORTER_OTLP_CERTIFICATE=/no/such/file",  # nobody speaks TLS
    "OTEL_EXPORTER_OTLP_INSECURE=abc",  # the address has a scheme
    "OTEL_TRACES_SAMPLER_ARG=abc",  # of no sampler that has one
]
"""All are exported, and nothing is said: nothing is wrong, or nobody reads it."""


def others():
    """All other variables that the SDK knows, with a value that is wrong for most."""
    modules = opentelemetry.environment_variables, opentelemetry.sdk.environment_variables
    known = {
        value for module in modules for name, value in vars(module).items()
        if name.lstrip("_").startswith("OTEL_") and isinstance(value, str)
    }  # fmt: skip
    tried = {one.partition("=")[0] for one in [*WRONG, *UNUSABLE, *OF_NO_MATTER]}
    # What a file, or another's credentials, have to be there for is tried elsewhere.
    left = sorted(
        name for name in known - tried if not name.endswith(("_PROVIDER", "_KEY", "_CONFIG_FILE"))
    )
    return "\t".join(f"{name}=abc" for name in left)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """What came of each, in one program: to load it takes longest."""
    lines = [*WRONG, *UNUSABLE, *OF_NO_MATTER, others()]
    env = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    with OtlpReceiver() as receiver:
        done = subprocess.run(
            [sys.executable, PROGRAM], input="\n".join(lines), capture_output=True, text=True,
            env={**env, "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.http_url},
            cwd=tmp_path_factory.mktemp("wrong"), timeout=600, check=True,
        )  # fmt: skip
    return dict(zip(lines, map(json.loads, done.stdout.splitlines()), strict=True))


def said(outcomes, line):
    """What was said of a wrong variable, of which nothing else is affected."""
    (results, exported, is_complete), text = outcomes[line]
    assert results == [7]
    assert "Traceback" not in text
    return text, exported, is_complete


@pytest.mark.parametrize("line", WRONG)
def test_what_does_not_hang_on_it_is_there(line, outcomes):
    """The default is taken, and one line names the variable; never what may be a secret."""
    text, *exported = said(outcomes, line)
    assert exported == [2, True]
    assert text.count("\n") == 1
    assert line.partition("=")[0] in text
    assert "sesame" not in text


@pytest.mark.parametrize("line", UNUSABLE)
def test_what_hangs_on_it_is_said_to_be_missing(line, outcomes):
    """Where no spans can be exported, one line says why."""
    text, exported, _ = said(outcomes, line)
    assert exported == 0
    assert text.count("\n") == 1
    assert line.partition("=")[0] in text


@pytest.mark.parametrize("line", OF_NO_MATTER)
def test_what_nobody_reads_is_not_spoken_of(line, outcomes):
    """Everything is exported."""
    assert said(outcomes, line) == ("", 2, True)


def test_no_other_variable_ends_a_program(outcomes):
    """Whatever is wrong, importing and running a workflow work."""
    _, *exported = said(outcomes, others())
    assert exported == [2, True]


def test_the_environment_is_as_it_was(monkeypatch):
    """What is wrong is away only as long as somebody reads it."""
    monkeypatch.setenv("OTEL_SPAN_EVENT_COUNT_LIMIT", "abc")
    monkeypatch.setenv("OTEL_PROPAGATORS", "abc , baggage")
    before = dict(os.environ)
    with mended(), mended():
        assert "OTEL_SPAN_EVENT_COUNT_LIMIT" not in os.environ
        assert os.environ["OTEL_PROPAGATORS"] == "baggage"
    assert dict(os.environ) == before


def test_a_child_that_was_forked_meanwhile_does_not_wait(monkeypatch):
    """The lock is not held there."""
    monkeypatch.setenv("OTEL_SPAN_EVENT_COUNT_LIMIT", "abc")
    held, over = threading.Event(), threading.Event()

    def hold():
        with variables._lock:
            held.set()
            over.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(60)
    child = os.fork()
    if not child:
        with mended():
            os._exit(0)
    _, status = os.waitpid(child, 0)
    over.set()
    thread.join()
    assert status == 0


def test_records_are_there_without_an_otlp_endpoint(api, servers, quiet, monkeypatch):
    """dotflow-api has the run, whatever is wrong of OpenTelemetry's."""
    for line in WRONG:
        if "_PROVIDER" not in line:  # which the server itself would not bear
            monkeypatch.setenv(*line.split("=", 1))
    server = servers(api.url, "a-token-of-the-tests")
    flow = DotFlow(config=quiet(server), name="etl")
    flow.task.add(action(lambda: 7))
    flow.start()
    assert server.flush(30).complete
    url = f"{api.url}/workflows/{flow.workflow_id}"
    found = requests.get(url, headers={"X-User-Token": "a-token-of-the-tests"}, timeout=30).json()
    assert found["status"] == "Completed"


@pytest.mark.parametrize("signal", ["TRACER", "METER", "LOGGER"])
def test_the_providers_for_a_programs_own_telemetry(signal, monkeypatch, caplog):
    """They use what the program has, whatever a variable names."""
    monkeypatch.setenv(f"OTEL_PYTHON_{signal}_PROVIDER", f"none-of-{signal}")
    TracerOpenTelemetry()
    MetricsOpenTelemetry()
    LogOpenTelemetry()
    [record] = caplog.records
    assert f"OTEL_PYTHON_{signal}_PROVIDER names" in record.getMessage()
