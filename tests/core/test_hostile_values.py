"""The outcome of a run is the same with telemetry and without, for every hostile value."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import hostile_program
from support.fault_server import TOKEN, FaultServer
from support.otlp import OtlpReceiver

pytestmark = pytest.mark.slow  # each starts programs

PROGRAM = Path(hostile_program.__file__)
VALUES = [name for name, _ in hostile_program.values()]
ERRORS = [name for name, _ in hostile_program.exceptions()]


def outcomes(mode, folder, **variables):
    """What became of each value, by its name, in a process of its own."""
    environment = {
        **os.environ, "PYTHONPATH": str(PROGRAM.parent.parent), "DOTFLOW_FLUSH_TIMEOUT": "60",
        "DOTFLOW_STATE_DIR": str(folder), **variables,
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, PROGRAM, mode], env=environment, capture_output=True, check=False,
        text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(map(json.loads, done.stdout.splitlines())), done.stderr


@pytest.mark.parametrize("mode", ["sequential", pytest.param("parallel", marks=pytest.mark.slow)])
def test_outcomes_are_the_same_with_telemetry(mode, tmp_path):
    """Statuses, errors and results of each value, compared; and all of the runs is reported."""
    without, _ = outcomes(mode, tmp_path / "none", DOTFLOW_SERVER="none")
    api = FaultServer()
    try:
        with OtlpReceiver() as otlp:
            told, said = outcomes(
                mode, tmp_path / "otel", DOTFLOW_SERVER="otel", DOTFLOW_SERVER_URL=api.url,
                DOTFLOW_USER_TOKEN=TOKEN, OTEL_EXPORTER_OTLP_ENDPOINT=otlp.http_url,
            )  # fmt: skip
            runs = sum(span.name == "workflow" for span in otlp.spans)
    finally:
        api.close()
    assert list(without) == list(told) == (VALUES if mode == "sequential" else []) + ERRORS
    assert {name: told[name] for name in told if told[name] != without[name]} == {}
    assert "raised; the workflow goes on" not in said
    assert runs == len(api.workflows) == len(told)
    assert {one["status"] for one in api.workflows.values()} <= {"Completed", "Failed"}
    if mode == "sequential":
        bad = {name: told[name] for name in VALUES if not _is_well(told[name])}
        assert bad == {}


def _is_well(told):
    """Whether each task completed, and each next step got the very value."""
    *tasks, is_same = told
    return all(task == ["Completed", []] for task in tasks) and is_same == [True] * 4
