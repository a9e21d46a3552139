"""`OTEL_CONFIG_FILE`: a file says what is exported, and the other variables do not count."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import requests
from support.signals import SignalReceiver

pytestmark = pytest.mark.slow

TOKEN = "a-token-of-the-tests"
LAUNCHER = Path(sys.executable).with_name("opentelemetry-instrument")

PROGRAM = """
    import logging, os, sys
    if "HIDE" in os.environ:
        sys.modules["opentelemetry.configuration"] = None  # as if it were not installed
    from opentelemetry import trace
    from dotflow import Config, DotFlow, action
    from dotflow.otel import ServerOtel
    from dotflow.providers import LogDefault

    @action
    def step():
        with trace.get_tracer("theirs").start_as_current_span("inner"):
            logging.getLogger("theirs").warning("from the step")
            return 1

    def run(server, **kwargs):
        config = Config(server=server, log=LogDefault(level="ERROR", output="file", path="log"))
        flow = DotFlow(config=config, name="etl")
        flow.task.add(step)
        print("trace", flow.start(**kwargs).trace_id)
        print("workflow", flow.workflow_id.hex)
        assert flow.result_storage() == [1]

    if __name__ == "__main__":
        CODE
"""
TO_RECEIVER = """
    tracer_provider:
      processors:
        - batch: {exporter: {otlp_http: {endpoint: "URL/v1/traces"}}}
"""
ALL = ["etl", "inner", "step"]


@pytest.fixture
def run(tmp_path, otlp):
    """Run lines of code with a file; what the program wrote to both streams."""

    def call(code, file, launcher=(), **variables):
        text = textwrap.dedent(file.replace("URL", otlp.http_url))
        (tmp_path / "otel.yaml").write_text(f'file_format: "1.0"\n{text}')
        path = tmp_path / "program.py"
        path.write_text(textwrap.dedent(PROGRAM.replace("CODE", code)))
        given = {
            "OTEL_CONFIG_FILE": "otel.yaml",
            # What the file says is to win over this.
            "OTEL_EXPORTER_OTLP_ENDPOINT": otlp.grpc_url,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            "DOTFLOW_FLUSH_TIMEOUT": "60",
            **variables,
        }
        done = subprocess.run(
            [*launcher, sys.executable, path], cwd=tmp_path, env={**os.environ, **given},
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    return call


def names(otlp, count=3):
    otlp.wait_for(count, 60)
    return sorted(span.name for span in otlp.spans)


@pytest.mark.parametrize("launcher", [(), (LAUNCHER,)])
@pytest.mark.parametrize(
    "how", ["", ", mode='parallel'", ", mode='parallel', start_method='spawn'"]
)
def test_the_file_makes_the_provider(how, launcher, run, otlp):
    """By our hand or by the launcher's, in children too: each span is there once."""
    said = run(f"run(ServerOtel(){how})", TO_RECEIVER, launcher)
    assert names(otlp) == ALL
    assert len({span.trace_id for span in otlp.spans}) == 1
    assert "WARNING" not in said


def test_it_names_what_is_ours(run, otlp, api):
    """The id generator, and the exporter with its address; a second server changes nothing."""
    file = TO_RECEIVER.replace(
        "tracer_provider:", "tracer_provider:\n      id_generator: {dotflow: }"
    )
    file += f"""\
        - batch: {{exporter: {{dotflow: {{base_url: "{api.url}", user_token: "{TOKEN}"}}}}}}
    """
    said = run("[run(ServerOtel()) for _ in range(2)]", file)
    assert names(otlp, 6) == sorted(ALL * 2)
    ids = re.findall("^workflow (.*)$", said, re.MULTILINE)
    assert {span.trace_id for span in otlp.spans} == set(ids)
    answer = requests.get(f"{api.url}/workflows", headers={"X-User-Token": TOKEN}, timeout=60)
    found = [(one["status"], one["trace_id"]) for one in answer.json()["workflows"]]
    assert sorted(found) == sorted(("Completed", one) for one in ids)


ALL_SIGNALS = """
    tracer_provider:
      processors:
        - batch: {exporter: {otlp_http: {endpoint: "HERE/v1/traces"}}}
    meter_provider:
      readers:
        - periodic: {exporter: {otlp_http: {endpoint: "HERE/v1/metrics"}}}
    logger_provider:
      processors:
        - batch: {exporter: {otlp_http: {endpoint: "HERE/v1/logs"}}}
"""


def test_the_file_says_of_metrics_and_log_records_too(run):
    """All three leave as it says, each once."""
    with SignalReceiver() as receiver:
        run("run(ServerOtel())", ALL_SIGNALS.replace("HERE", receiver.http_url))
    assert sorted(span.name for span in receiver.spans) == ALL
    assert receiver.count("dotflow.task.duration") == 1
    [record] = [one for one in receiver.records if one.body.string_value == "from the step"]
    assert record.span_id in [span.span_id for span in receiver.spans if span.name == "inner"]


@pytest.mark.parametrize(
    ("code", "file", "variables", "said"),
    [
        (
            "run(ServerOtel())",
            TO_RECEIVER,
            {"HIDE": "1"},
            "pip install opentelemetry-configuration",
        ),
        ("run(ServerOtel())", "tracer_provider: 7", {}, "OTEL_CONFIG_FILE is 'otel.yaml'"),
        ("run(ServerOtel())", "", {"OTEL_CONFIG_FILE": "no.yaml"}, "OTEL_CONFIG_FILE is 'no.yaml'"),
        ("run(ServerOtel(set_global=False))", TO_RECEIVER, {}, "Leave out set_global=False"),
    ],
)
def test_what_stands_in_its_way_costs_one_line(code, file, variables, said, run, otlp):
    """Nothing is exported by the other variables, and the work goes on."""
    written = run(f"[{code} for _ in range(2)]", file, **variables)
    assert written.count("WARNING") == 1
    assert said in written
    assert "trace None" in written
    assert otlp.spans == []


@pytest.mark.parametrize("file", ["disabled: true", "propagator: {composite: [{tracecontext: }]}"])
def test_a_file_may_want_no_spans(file, run, otlp):
    """There is none then, and nothing of ours is said."""
    written = run("run(ServerOtel())", file)
    assert "[dotflow]" not in written
    assert "trace None" in written
    assert otlp.spans == []


def test_an_endpoint_in_code_is_asked_for(run, otlp):
    """Also where the file cannot be used."""
    code = "run(ServerOtel(endpoint=os.environ['URL'], protocol='http/protobuf'))"
    run(code, TO_RECEIVER, HIDE="1", URL=otlp.http_url)
    assert names(otlp) == ALL
