"""`opentelemetry-instrument`: a program that writes nothing of telemetry is traced, once."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import requests

pytestmark = pytest.mark.slow

TOKEN = "a-token-of-the-tests"
BIN = Path(sys.executable).parent
LAUNCHER = BIN / "opentelemetry-instrument"

PROGRAM = """
    import os, sys
    from opentelemetry import trace
    from dotflow import Config, DotFlow, action
    from dotflow.providers import LogDefault

    @action
    def first():
        with trace.get_tracer("theirs").start_as_current_span("inner"):
            return 1

    @action
    def second():
        return 2

    def server():
        from dotflow.otel import ServerOtel
        if SERVER == "bare":
            return ServerOtel()
        if SERVER == "endpoint":
            return ServerOtel(endpoint=os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"])
        return ServerOtel(os.environ["URL"], "TOKEN")

    def pipeline():
        config = Config(server=server()) if SERVER else None
        flow = DotFlow(config=config, name="etl")
        flow.task.add([first, second])
        return flow

    SERVER = os.environ.get("SERVER")
    if __name__ == "__main__":
        flow = pipeline()
        manager = flow.start(mode=os.environ.get("MODE", "sequential"))
        assert manager.wait(60) and manager.ok
""".replace("TOKEN", TOKEN)


@pytest.fixture
def run(tmp_path):
    """Run a command under the launcher; what it wrote to standard error."""
    (tmp_path / "app.py").write_text(textwrap.dedent(PROGRAM))

    def run(*command, launcher=(LAUNCHER,), **variables):
        command = command or (BIN / "python", "app.py")
        given = {
            "OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none",
            "DOTFLOW_FLUSH_TIMEOUT": "60", **variables,
        }  # fmt: skip
        done = subprocess.run(
            [*launcher, *command], cwd=tmp_path, timeout=120, check=False,
            env={**os.environ, **given}, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stderr

    return run


def over_http(otlp):
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": otlp.http_url,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    }


def to(api):
    return {"DOTFLOW_SERVER_URL": api.url, "DOTFLOW_USER_TOKEN": TOKEN}


def names(otlp, count=4):
    """The names of all spans, once there are so many."""
    otlp.wait_for(count, 60)
    return sorted(span.name for span in otlp.spans)


def records(api):
    """What dotflow-api has: each workflow's status, with its tasks'."""
    headers = {"X-User-Token": TOKEN}
    workflows = requests.get(f"{api.url}/workflows", headers=headers, timeout=60).json()
    found = []
    for one in workflows["workflows"]:
        tasks = requests.get(
            f"{api.url}/workflows/{one['id']}/tasks", headers=headers, timeout=10
        ).json()
        found.append((one["status"], [task["status"] for task in tasks["tasks"]]))
    return found


EACH_SPAN_ONCE = ["etl", "first", "inner", "second"]
EACH_RECORD_ONCE = [("Completed", ["Completed", "Completed"])]


@pytest.mark.parametrize(
    ("mode", "start_method"),
    [("sequential", ""), ("background", ""), ("parallel", "fork"), ("parallel", "spawn")],
)
def test_a_program_that_only_writes_dotflow_is_traced(mode, start_method, run, otlp, api):
    """In one trace, with the program's own spans, and with records where there is a dotflow-api."""
    run(MODE=mode, DOTFLOW_START_METHOD=start_method, **over_http(otlp), **to(api))
    assert names(otlp) == EACH_SPAN_ONCE
    assert len({span.trace_id for span in otlp.spans}) == 1
    assert records(api) == EACH_RECORD_ONCE


def test_the_command_is_traced_over_grpc_by_default(run, otlp):
    """`opentelemetry-instrument dotflow start` with an address alone speaks gRPC."""
    said = run(
        BIN / "dotflow", "start", "--workflow", "app:pipeline",
        OTEL_EXPORTER_OTLP_ENDPOINT=otlp.grpc_url, OTEL_PYTHON_ID_GENERATOR="dotflow",
    )  # fmt: skip
    assert names(otlp) == EACH_SPAN_ONCE
    [trace_id] = {span.trace_id for span in otlp.spans}
    assert f"trace     {trace_id}" in said
    assert "where the program's own OpenTelemetry sends them" in said


def test_a_launcher_that_sets_nothing_up_is_enough(run, otlp):
    """Without opentelemetry-distro ours is the provider, made by the standard variables."""
    run(
        OTEL_EXPORTER_OTLP_ENDPOINT=otlp.http_url,
        OTEL_PYTHON_DISTRO="none", OTEL_PYTHON_CONFIGURATOR="none",
    )  # fmt: skip
    assert names(otlp) == EACH_SPAN_ONCE


@pytest.mark.parametrize("server", ["", "bare", "given", "endpoint"])
@pytest.mark.parametrize("exporters", ["otlp", "otlp,dotflow"])
def test_each_span_and_each_record_is_there_once(server, exporters, run, otlp, api):
    """Whoever of launcher, instrumentor, program and exporters could report it."""
    address = {} if server == "given" and exporters == "otlp" else to(api)
    run(
        SERVER=server, URL=api.url, OTEL_TRACES_EXPORTER=exporters,
        **over_http(otlp), **address,
    )  # fmt: skip
    assert names(otlp) == EACH_SPAN_ONCE
    assert records(api) == EACH_RECORD_ONCE


@pytest.mark.parametrize("mode", ["sequential", "parallel"])
def test_without_a_launcher_the_exporter_is_found_by_its_name(mode, run, otlp, api):
    """On the provider that we make, beside OTLP; nothing is there twice."""
    run(
        launcher=(), MODE=mode, SERVER="bare", OTEL_TRACES_EXPORTER="otlp,dotflow",
        **over_http(otlp), **to(api),
    )  # fmt: skip
    assert names(otlp) == EACH_SPAN_ONCE
    assert records(api) == EACH_RECORD_ONCE


def test_without_an_address_the_exporter_costs_nothing_else(run, otlp):
    """One line says what is missing, and the spans are there."""
    said = run(OTEL_TRACES_EXPORTER="dotflow,otlp", **over_http(otlp))
    assert names(otlp) == EACH_SPAN_ONCE
    assert said.count("The exporter 'dotflow' sends no records") == 1


@pytest.mark.parametrize(
    "variables",
    [
        {"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "dotflow"},
        {"OTEL_SDK_DISABLED": "true"},
        {"OTEL_TRACES_EXPORTER": "none"},
        {"DOTFLOW_SERVER": "default"},
    ],
)
def test_where_it_is_switched_off_the_records_are_there(variables, run, otlp, api):
    """No span of ours leaves, nothing is said, and dotflow-api is told as without a launcher."""
    said = run(**variables, **over_http(otlp), **to(api))
    assert [name for name in names(otlp, 0) if name != "inner"] == []
    assert records(api) == EACH_RECORD_ONCE
    assert "WARNING" not in said
    assert "Traceback" not in said


def test_without_an_endpoint_one_line_says_so(run):
    """Nothing else happens to the work."""
    said = run(OTEL_PYTHON_DISTRO="none", OTEL_PYTHON_CONFIGURATOR="none")
    assert said.count("WARNING") == 1
    assert "set OTEL_EXPORTER_OTLP_ENDPOINT for traces" in said
