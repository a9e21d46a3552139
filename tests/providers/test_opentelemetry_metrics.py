"""MetricsOpenTelemetry: counts and durations on the provider that the program has."""

from __future__ import annotations

import pytest
from opentelemetry.metrics import _internal
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from dotflow import Config, DotFlow, action
from dotflow.providers import LogDefault, MetricsOpenTelemetry


@action
def fine():
    return 1


@action
def fails():
    raise ValueError("no rows")


@action(retry=3, retry_delay=0)
def hopeless():
    raise OSError("away")


@pytest.fixture
def reader(monkeypatch):
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    monkeypatch.setattr(_internal, "_METER_PROVIDER", provider)
    yield reader
    provider.shutdown()


def metrics_of(reader):
    data = reader.get_metrics_data()
    if data is None:
        return {}
    [resource] = data.resource_metrics
    [scope] = resource.scope_metrics
    return {metric.name: metric for metric in scope.metrics}


def by_status(metric, what):
    return {
        point.attributes.get("status"): getattr(point, what) for point in metric.data.data_points
    }


def run(*steps, **kwargs):
    config = Config(metrics=MetricsOpenTelemetry(), log=LogDefault(level="ERROR", output="file"))
    workflow = DotFlow(config=config)
    for step in steps:
        workflow.task.add(step)
    workflow.start(keep_going=True, **kwargs)


@pytest.mark.parametrize("mode", ["sequential", "parallel"])
def test_a_run_is_counted_and_measured(reader, mode):
    """Runs and tasks are counted by what became of them, and their durations are in seconds."""
    run(fine, fine, fails, mode=mode)
    run(fine)
    metrics = metrics_of(reader)
    workflows, tasks = metrics["dotflow_workflow_total"], metrics["dotflow_task_total"]
    assert by_status(workflows, "value") == {"started": 2, "completed": 1, "failed": 1}
    assert by_status(tasks, "value") == {"completed": 3, "failed": 1}
    duration = metrics["dotflow_task_duration_seconds"]
    assert duration.unit == "s"
    assert by_status(duration, "count") == {"completed": 3, "failed": 1}
    assert all(0 < total < 30 for total in by_status(duration, "sum").values())
    whole = metrics["dotflow_workflow_duration_seconds"]
    assert whole.unit == "s"
    assert by_status(whole, "count") == {"completed": 1, "failed": 1}
    assert all(0 < total < 30 for total in by_status(whole, "sum").values())


def test_retries_are_counted(reader):
    """Each failed attempt that is followed by another is one retry."""
    run(hopeless)
    metrics = metrics_of(reader)
    assert by_status(metrics["dotflow_task_retry_total"], "value") == {None: 2}
    assert by_status(metrics["dotflow_task_total"], "value") == {"failed": 1}


def test_no_attribute_holds_an_id(reader):
    """Attributes have few values, whatever runs."""
    run(fine, fails)
    points = [point for metric in metrics_of(reader).values() for point in metric.data.data_points]
    assert {name for point in points for name in point.attributes} == {"status"}


def test_without_a_provider_nothing_happens():
    """A program that has configured no provider runs as ever, and has none afterwards."""
    run(fine, fails)
    assert _internal._METER_PROVIDER is None
