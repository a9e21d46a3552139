"""What programs measure: with killed and spawned children, with forks, and at their end."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from support.signals import SignalReceiver, said

SDK = tuple(int(part) for part in version("opentelemetry-sdk").split(".")[:2])
PROGRAM = Path(__file__).with_name("metrics_program.py")
TIME = 120  # seconds, for a machine that is busy

pytestmark = pytest.mark.slow  # each starts programs


@pytest.fixture
def signals():
    with SignalReceiver() as receiver:
        yield receiver


def run(signals, tmp_path, *case, **environment):
    kept = {name: one for name, one in os.environ.items() if name != "OTEL_METRICS_EXPORTER"}
    done = subprocess.run(
        [sys.executable, str(PROGRAM), *case],
        capture_output=True, text=True, timeout=TIME, check=False, cwd=tmp_path,
        env=kept | {
            "OTEL_EXPORTER_OTLP_ENDPOINT": signals.http_url, "DOTFLOW_FLUSH_TIMEOUT": str(TIME),
            **environment,
        },
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done


def tasks(points):
    return {
        (
            said(one)["dotflow.task.name"], said(one)["dotflow.task.status"],
            said(one).get("error.type"),
        ): one.count
        for one in points
    }  # fmt: skip


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_children_are_counted_by_their_parent(signals, tmp_path, method):
    """Each task once, the one whose child was killed too, with exemplars of the run's trace."""
    done = run(signals, tmp_path, "children", method)
    points = signals.last("dotflow.task.duration")
    assert tasks(points) == {
        ("fine", "Completed", None): 2,
        ("killed", "Failed", "process_killed"): 1,
        ("flaky", "Completed", None): 1,
    }
    # Each export has those of what was measured since the one before.
    exemplars = [
        exemplar for _, one in signals.measured if one.name == "dotflow.task.duration"
        for point in one.histogram.data_points for exemplar in point.exemplars
    ]  # fmt: skip
    assert {one.trace_id.hex() for one in exemplars} == {done.stdout}
    assert {one.span_id for one in exemplars} <= {one.span_id for one in signals.spans}
    [retries] = signals.last("dotflow.task.retries")
    assert (retries.as_int, said(retries)["error.type"]) == (1, "ValueError")
    [whole] = signals.last("dotflow.workflow.duration")
    assert said(whole)["dotflow.workflow.status"] == "Failed"
    # No child reports what the parent has measured, or counts it anew.
    of = {str(who) for who, one in signals.measured if one.name.startswith("dotflow.")}
    assert len(of) == 1


def test_a_fork_counts_from_zero(signals, tmp_path):
    """A child that runs workflows counts its own; one that does not reports nothing."""
    run(signals, tmp_path, "forks")
    of = {}
    for who, one in signals.measured:
        if one.name == "dotflow.task.duration":
            [point] = one.histogram.data_points
            of.setdefault(who.get("service.instance.id"), []).append(point.count)
    if SDK >= (1, 44):  # from then on a forked child has an id of its own
        assert sorted(found[-1] for found in of.values()) == [1, 3]
    assert {count for found in of.values() for count in found} == {1, 2, 3}


def test_the_provider_for_metrics_alone_needs_no_code_around_it(signals, tmp_path):
    """MetricsOpenTelemetry makes a provider by the variables, and what it counts leaves."""
    run(signals, tmp_path, "alone")
    assert tasks(signals.last("dotflow.task.duration")) == {
        ("fine", "Completed", None): 2, ("flaky", "Completed", None): 1,
    }  # fmt: skip
    [retries] = signals.last("dotflow.task.retries")
    assert retries.as_int == 1
    assert {said(one)["status"]: one.as_int for one in signals.last("dotflow_workflow_total")} == {
        "started": 1, "completed": 1,
    }  # fmt: skip


def test_an_endpoint_that_hangs_holds_the_end_up_no_longer_than_said(signals, tmp_path):
    """The program ends with its own exit status; one line says what could not leave."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:  # it never answers
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1/metrics"
        done = run(
            signals, tmp_path, "alone", OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=url,
            OTEL_EXPORTER_OTLP_METRICS_TIMEOUT="600", DOTFLOW_FLUSH_TIMEOUT="0.5",
        )  # fmt: skip
    [line] = [one for one in done.stderr.splitlines() if "metrics" in one]
    assert "in time" in line
