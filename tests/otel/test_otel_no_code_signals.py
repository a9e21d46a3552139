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
    import logging, os, sys
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
        from dotflow import Config, providers

        given = [one.partition("=")[::2] for one in os.environ.get("GIVEN", "").split()]
        config = Config(**{slot: getattr(providers, name)() for slot, name in given})
        flow = DotFlow(config=config if given else None, name="etl")
        flow.task.add([first, second])
        return flow

    if __name__ == "__main__":
        assert pipeline().start(mode=sys.argv[1]).ok
"""


FROM_STEPS = ["from the first", "from the second"]


def launch(receiver, command, folder, monkeypatch, **variables):
    """Run a command under the launcher; nothing is said of any signal but one address."""
    monkeypatch.delenv("OTEL_METRICS_EXPORTER")
    (folder / "app.py").write_text(textwrap.dedent(PROGRAM))
    given = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.grpc_url,
        "DOTFLOW_FLUSH_TIMEOUT": "60",
        **variables,
    }
    done = subprocess.run(
        [LAUNCHER, BIN / command[0], *command[1:]], cwd=folder, timeout=120, check=False,
        env={**os.environ, **given}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("command", "start_method", "disabled"),
    [
        (["python", "app.py", "sequential"], "", ""),
        (["python", "app.py", "parallel"], "fork", ""),
        (["python", "app.py", "parallel"], "spawn", ""),
        (["python", "app.py", "parallel"], "spawn", "logging"),
        (["dotflow", "start", "--workflow", "app:pipeline"], "", "logging"),
        (["dotflow", "start", "--workflow", "app:pipeline", "-m", "parallel"], "fork", ""),
    ],
)
def test_an_address_is_all_that_it_takes(command, start_method, disabled, tmp_path, monkeypatch):
    """What the launcher sets up by default gets all three; a step's log line has its span.

    The instrumentation of `logging` is a package of its own: without it the handler is ours.
    """
    with SignalReceiver() as receiver:
        launch(
            receiver, command, tmp_path, monkeypatch, DOTFLOW_START_METHOD=start_method,
            OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=disabled,
        )  # fmt: skip
    spans = {span.name: span for span in receiver.spans}
    assert sorted(span.name for span in receiver.spans) == ["etl", "first", "second"]
    records = [one for one in receiver.records if one.body.string_value.startswith("from the")]
    assert sorted(one.body.string_value for one in records) == FROM_STEPS
    for one in records:
        span = spans[one.body.string_value.rpartition(" ")[2]]
        assert (one.trace_id, one.span_id) == (span.trace_id, span.span_id)
    assert receiver.count("dotflow.task.duration") == 2
    assert receiver.count("dotflow.workflow.duration") == 1


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ("tracer=TracerOpenTelemetry", ["task", "task", "workflow"]),
        ("metrics=MetricsOpenTelemetry log=LogOpenTelemetry", ["etl", "first", "second"]),
        (
            "tracer=TracerOpenTelemetry metrics=MetricsOpenTelemetry log=LogOpenTelemetry",
            ["task", "task", "workflow"],
        ),
    ],
)
def test_what_a_program_gives_for_a_signal_tells_of_it_alone(given, names, tmp_path, monkeypatch):
    """A tracer makes the spans; metrics and log lines that two could tell are there once."""
    monkeypatch.setenv("GIVEN", given)
    with SignalReceiver() as receiver:
        launch(receiver, ["python", "app.py", "sequential"], tmp_path, monkeypatch)
    assert sorted(span.name.partition(":")[0] for span in receiver.spans) == names
    texts = [one.body.string_value for one in receiver.records]
    assert sorted(one for one in texts if one.startswith("from the")) == FROM_STEPS
    assert len(texts) == len(set(texts)), texts
    if "metrics" in given:
        assert receiver.count("dotflow.task.duration") == 2
