"""`dotflow doctor` as a program: its exit status, what it writes, and a disk that is full."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.otlp import OtlpReceiver

from dotflow.runlog import files

pytestmark = pytest.mark.slow

FULL = "from support.full_disk import fill_disk; fill_disk(); "
RUN = "from dotflow.main import main; main()"


def doctor(*words, before="", **variables):
    """Run it; the exit status, the object, and what it wrote to standard error."""
    done = subprocess.run(
        [sys.executable, "-c", before + RUN, "doctor", "--json", *words],
        env={**os.environ, "OTEL_METRICS_EXPORTER": "none", **variables}, capture_output=True,
        text=True, timeout=120, check=False,
    )  # fmt: skip
    return done.returncode, json.loads(done.stdout) if done.stdout else None, done.stderr


def test_the_exit_status_says_whether_all_is_well():
    """0 with a span that has arrived; 1 with a wrong variable, of which no line tells beside."""
    with OtlpReceiver() as otlp:
        well = {"OTEL_EXPORTER_OTLP_ENDPOINT": otlp.grpc_url, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
        found, report, said = doctor(**well, DOTFLOW_SERVER="otel")
        assert (found, report["faults"], said) == (0, [], "")
        assert [span.name for span in otlp.spans] == ["dotflow doctor"]
        found, report, said = doctor(**well, OTEL_PROPAGATORS="abc", DOTFLOW_SERVER="otel")
    assert (found, said) == (1, "")
    assert "OTEL_PROPAGATORS names 'abc'" in report["faults"][0]["problem"]
    assert doctor("--wrong")[:2] == (2, None)


def test_what_the_launcher_has_set_up():
    """Under opentelemetry-instrument its provider is in force, and its endpoint is tried."""
    launcher = Path(sys.executable).parent / "opentelemetry-instrument"
    with OtlpReceiver() as otlp:
        done = subprocess.run(
            [launcher, Path(sys.executable).parent / "dotflow", "doctor", "--json"],
            env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": otlp.grpc_url,
                 "OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"},
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        names = [span.name for span in otlp.spans]
    report = json.loads(done.stdout)
    assert (done.returncode, report["faults"], names) == (0, [], ["dotflow doctor"])
    assert report["in_force"]["span exporters"] == [
        f"OTLPSpanExporter (gRPC) to {otlp.grpc_url.removeprefix('http://')}"
    ]
    assert report["in_force"]["server"] == ["ServerOtel, unless the code says another one"]


def test_a_disk_that_is_full(tmp_path):
    """The remedy is room, or another disk; nothing is left of what was tried."""
    files.make_folder()
    found, report, _ = doctor(
        before=FULL, OTEL_TRACES_EXPORTER="none", PYTHONPATH=os.pathsep.join(sys.path)
    )
    assert found == 1
    [fault] = report["faults"]
    assert fault["about"].startswith("state folder ")
    assert fault["remedy"].startswith("make room on its disk")
    assert list(files.folder().iterdir()) == []
