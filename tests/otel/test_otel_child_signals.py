"""Log records, metrics and spans of a step in a child arrive, whoever made the providers."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from support.signals import SignalReceiver

SDK = tuple(int(part) for part in version("opentelemetry-sdk").split(".")[:2])

pytestmark = [
    pytest.mark.slow,  # each starts programs
    pytest.mark.skipif(
        SDK < (1, 39), reason="the logging handler of the instrumentation needs a newer SDK"
    ),
]

PROGRAM = Path(__file__).with_name("otel_signals_program.py")
TIME = 120  # seconds, for a machine that is busy


@pytest.fixture
def signals():
    with SignalReceiver() as receiver:
        yield receiver


def run(url, protocol, method="fork", whose="global", **environment):
    return subprocess.run(
        [sys.executable, str(PROGRAM), protocol, method, whose],
        capture_output=True, text=True, timeout=TIME, check=False,
        env=os.environ | {
            "OTEL_EXPORTER_OTLP_ENDPOINT": url,
            "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta",
            "DOTFLOW_FLUSH_TIMEOUT": str(TIME),
            **environment,
        },
    )  # fmt: skip


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
@pytest.mark.parametrize("whose", ["global", "given"])
@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_all_signals_of_a_child_arrive_once(signals, protocol, whose, method):
    """Each record, sum and span is there, once, and those of a step are in its trace."""
    url = signals.grpc_url if protocol == "grpc" else signals.http_url
    done = run(url, protocol, method, whose)
    assert done.returncode == 0, done.stderr
    said = sorted(one.body.string_value.split(" in ") for one in signals.records)
    # A process that is spawned imports the program, and says nothing by that.
    assert [text for text, _ in said] == ["opened", "sold 0", "sold 1", "sold 2"], done.stderr
    assert len({process for _, process in said}) == 4
    of_steps = [one for one in signals.records if "sold" in one.body.string_value]
    assert {one.trace_id.hex() for one in of_steps} == {_trace(signals)}
    sums = [point.as_int for name, point in signals.points if name == "sold"]
    assert sorted(sums) == [1, 1, 1, 5], done.stderr
    sold = [said for said, metric in signals.measured if metric.name == "sold"]
    assert len({said["service.instance.id"] for said in sold}) == 4
    names = sorted(one.name for one in signals.spans)
    assert names == ["inner"] * 3 + ["sell"] * 3 + ["shop"], done.stderr


def _trace(signals):
    [trace] = {one.trace_id.hex() for one in signals.spans}
    return trace


def test_an_endpoint_that_hangs_costs_the_others_nothing(signals):
    """Where spans are not taken, log records and metrics arrive, and a line says what did not."""
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it never answers
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1/traces"
        done = run(
            signals.http_url, "http", OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=url,
            OTEL_EXPORTER_OTLP_TRACES_TIMEOUT="1", DOTFLOW_FLUSH_TIMEOUT="0.5",
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert sum("sold" in one.body.string_value for one in signals.records) == 3, done.stderr
    assert len(signals.points) == 4
    assert done.stderr.count("Telemetry of a step may be lost: TracerProvider did not") == 3
    assert "DOTFLOW_FLUSH_TIMEOUT" in done.stderr
