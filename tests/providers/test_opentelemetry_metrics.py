"""MetricsOpenTelemetry: counts and durations on the provider that the program has."""

from __future__ import annotations

import pytest
from opentelemetry.metrics import _internal
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from dotflow import Config, DotFlow, action
from dotflow.otel import ServerOtel
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
    return {metric.name: metric for scope in resource.scope_metrics for metric in scope.metrics}


def by_status(metric, what, of=""):
    found = {}
    for point in metric.data.data_points:
        status = point.attributes.get(f"dotflow.{of}.status" if of else "status")
        found[status] = found.get(status, 0) + getattr(point, what)
    return found


def run(*steps, server=None, name=None, **kwargs):
    log = LogDefault(level="ERROR", output="file")
    config = Config(metrics=MetricsOpenTelemetry(), log=log, server=server)
    workflow = DotFlow(config=config, name=name)
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
    duration = metrics["dotflow.task.duration"]
    assert duration.unit == "s"
    assert by_status(duration, "count", "task") == {"Completed": 3, "Failed": 1}
    assert all(0 < total < 30 for total in by_status(duration, "sum", "task").values())
    whole = metrics["dotflow.workflow.duration"]
    assert whole.unit == "s"
    assert by_status(whole, "count", "workflow") == {"Completed": 1, "Failed": 1}
    assert all(0 < total < 30 for total in by_status(whole, "sum", "workflow").values())
    # In Prometheus these would have the same names.
    assert not {"dotflow_task_duration_seconds", "dotflow_workflow_duration_seconds"} & set(metrics)


def test_retries_are_counted(reader):
    """Each failed attempt that is followed by another is one retry."""
    run(hopeless)
    metrics = metrics_of(reader)
    assert by_status(metrics["dotflow_task_retry_total"], "value") == {None: 2}
    assert by_status(metrics["dotflow_task_total"], "value") == {"failed": 1}
    [retries] = metrics["dotflow.task.retries"].data.data_points
    assert retries.value == 2
    assert retries.attributes["error.type"] == "OSError"


def test_what_a_server_reports_is_counted_once(reader):
    """Beside a ServerOtel, each run, task and retry is in each metric once."""
    server = ServerOtel(set_global=False)
    run(fine, hopeless, server=server, name="etl")
    server.close(60)
    metrics = metrics_of(reader)
    assert by_status(metrics["dotflow.task.duration"], "count", "task") == {
        "Completed": 1, "Failed": 1,
    }  # fmt: skip
    assert by_status(metrics["dotflow.workflow.duration"], "count", "workflow") == {"Failed": 1}
    assert by_status(metrics["dotflow.task.retries"], "value") == {None: 2}
    assert by_status(metrics["dotflow_task_total"], "value") == {"completed": 1, "failed": 1}


def test_attributes_are_names_and_no_ids(reader):
    """Attributes say what ran and what came of it; they have few values, whatever runs."""
    run(fine, fails, name="etl")
    metrics = metrics_of(reader)
    said = [dict(point.attributes) for point in metrics["dotflow.task.duration"].data.data_points]
    assert {
        "dotflow.workflow.name": "etl", "dotflow.task.name": "fails",
        "dotflow.task.group": "default", "dotflow.task.status": "Failed",
        "error.type": "ValueError",
    } in said  # fmt: skip
    # Servers of other tests that the garbage collector has not met have outboxes still.
    of_runs = [one for name, one in metrics.items() if not name.startswith("dotflow.outbox.")]
    points = [point for metric in of_runs for point in metric.data.data_points]
    assert {name for point in points for name in point.attributes} == {
        "status", "error.type", "dotflow.workflow.name", "dotflow.workflow.status",
        "dotflow.task.name", "dotflow.task.group", "dotflow.task.status",
    }  # fmt: skip


def test_without_a_provider_nothing_happens():
    """A program that asks for no metrics runs as ever, and has no provider afterwards."""
    run(fine, fails)
    assert _internal._METER_PROVIDER is None
