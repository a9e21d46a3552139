"""`opentelemetry-instrument` with an address alone: traces, metrics and logs, each once."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from support.signals import SignalReceiver

pytestmark = pytest.mark.slow

BIN = Path(sys.executable).parent
LAUNCHER = BIN / "opentelemetry-instrument"

PROGRAM = """
    import logging, sys
    from dotflow import DotFlow, action

    @action
    def first():
        logging.getLogger("theirs").warning("from the first")
        return 1

    @action
    def second():
        logging.getLogger("theirs").warning("from the second")
        return 2

    def pipeline():
        flow = DotFlow(name="etl")
        flow.task.add([first, second])
        return flow

    if __name__ == "__main__":
        assert pipeline().start(mode=sys.argv[1]).ok
"""


@pytest.mark.parametrize(
    ("command", "start_method"),
    [
        (["python", "app.py", "sequential"], ""),
        (["python", "app.py", "parallel"], "fork"),
        (["python", "app.py", "parallel"], "spawn"),
        (["dotflow", "start", "--workflow", "app:pipeline"], ""),
        (["dotflow", "start", "--workflow", "app:pipeline", "-m", "parallel"], "fork"),
    ],
)
def test_an_address_is_all_that_it_takes(command, start_method, tmp_path, monkeypatch):
    """What the launcher sets up by default gets all three; a step's log line has its span."""
    monkeypatch.delenv("OTEL_METRICS_EXPORTER")  # nothing is said of any signal
    (tmp_path / "app.py").write_text(textwrap.dedent(PROGRAM))
    with SignalReceiver() as receiver:
        given = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.grpc_url,
            "DOTFLOW_START_METHOD": start_method,
            "DOTFLOW_FLUSH_TIMEOUT": "60",
        }
        done = subprocess.run(
            [LAUNCHER, BIN / command[0], *command[1:]], cwd=tmp_path, timeout=120, check=False,
            env={**os.environ, **given}, capture_output=True, text=True,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    spans = {span.name: span for span in receiver.spans}
    assert sorted(span.name for span in receiver.spans) == ["etl", "first", "second"]
    records = [one for one in receiver.records if one.body.string_value.startswith("from the")]
    assert sorted(one.body.string_value for one in records) == ["from the first", "from the second"]
    for one in records:
        span = spans[one.body.string_value.rpartition(" ")[2]]
        assert (one.trace_id, one.span_id) == (span.trace_id, span.span_id)
    assert receiver.count("dotflow.task.duration") == 2
    assert receiver.count("dotflow.workflow.duration") == 1
