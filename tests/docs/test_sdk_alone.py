"""What the README says of OpenTelemetry's SDK alone. When the SDK changes, so must its table.

Each program is one that people write: a provider, a batch, an exporter, and nothing of dotflow.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from support.otlp import OtlpReceiver

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
]
SETUP = """
import os, signal, sys
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)

def work(name):
    with trace.get_tracer("program").start_as_current_span(name):
        pass
"""
FORKED = """
import multiprocessing
child = multiprocessing.get_context("fork").Process(target=work, args=("in a child",))
child.start()
child.join()
work("here")
"""
KILLED = """
work("before the kill")
os.kill(os.getpid(), signal.SIGKILL)
"""
AWAY = """
work("while it is away")
print(provider.force_flush(1000))
"""


def run(program, url):
    return subprocess.run(
        [sys.executable, "-c", SETUP + program],
        env={
            **os.environ,
            "OTEL_EXPORTER_OTLP_ENDPOINT": url,
            "OTEL_EXPORTER_OTLP_TIMEOUT": "2",
            "OTEL_BSP_SCHEDULE_DELAY": "60000",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_forked_child_loses_its_spans():
    """The program's own span arrives, the child's does not."""
    with OtlpReceiver() as otlp:
        assert run(FORKED, otlp.http_url).returncode == 0
        assert [span.name for span in otlp.spans] == ["here"]


def test_a_killed_process_loses_its_spans():
    """A span that had ended goes with the process that held it."""
    with OtlpReceiver() as otlp:
        assert run(KILLED, otlp.http_url).returncode == -9
        assert otlp.spans == []


def test_a_flush_says_true_although_nothing_arrived():
    """force_flush answers True where no endpoint is."""
    done = run(AWAY, "http://127.0.0.1:9")
    assert done.stdout.strip() == "True"
    assert "Failed to export" in done.stderr
