"""What OpenTelemetry's conventions for pipelines call the ways in which a run can end."""

from __future__ import annotations

import os
import signal
import threading

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from dotflow import DotFlow, action

released = threading.Event()


@action
def fine():
    return 1


@action
def fails():
    raise ValueError("no rows")


@action(timeout=0.05)
def slow():
    released.wait(60)


@action
def dies():
    os.kill(os.getpid(), signal.SIGKILL)


@action
def interrupted():
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("step", "mode", "result"),
    [
        (fine, "sequential", "success"),
        (fails, "sequential", "failure"),
        (slow, "sequential", "timeout"),
        (dies, "parallel", "error"),
        (interrupted, "sequential", "cancellation"),
    ],
    ids=lambda one: one if type(one) is str else one.name,
)
def test_a_run_ends_in_one_of_the_ways_of_a_pipeline(
    step, mode, result, servers, quiet, monkeypatch
):
    """A step's fault, a limit, a process that was killed and Ctrl-C are told apart."""
    monkeypatch.setenv("OTEL_SEMCONV_STABILITY_OPT_IN", "cicd")
    released.clear()
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    flow = DotFlow(config=quiet(servers(meter_provider=provider)), name="etl")
    flow.task.add(step)
    try:
        flow.start(mode=mode)
    except KeyboardInterrupt:
        assert step is interrupted
    released.set()
    [found] = [
        point.attributes["cicd.pipeline.result"]
        for resource in reader.get_metrics_data().resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == "cicd.pipeline.run.duration"
        for point in metric.data.data_points
    ]
    assert found == result
    provider.shutdown()
