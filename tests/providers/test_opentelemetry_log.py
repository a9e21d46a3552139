"""LogOpenTelemetry: lines as LogDefault writes them, and on the provider that the program has."""

from __future__ import annotations

import json
import warnings

import pytest
from opentelemetry import trace
from opentelemetry._logs import SeverityNumber, _internal
from opentelemetry.sdk import _logs as sdk
from opentelemetry.sdk._logs import export
from opentelemetry.sdk.trace import TracerProvider

from dotflow import Config, DotFlow, action
from dotflow.providers import LogOpenTelemetry


@action
def fine():
    return 1


@action
def fails():
    raise ValueError("no rows")


@pytest.fixture
def exporter(monkeypatch):
    names = ("InMemoryLogRecordExporter", "InMemoryLogExporter")
    exporter = next(getattr(export, name) for name in names if hasattr(export, name))()
    provider = sdk.LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(export.SimpleLogRecordProcessor(exporter))
    monkeypatch.setattr(_internal, "_LOGGER_PROVIDER", provider)
    return exporter


def records_of(exporter):
    return [one.log_record for one in exporter.get_finished_logs()]


def run(log, *steps):
    workflow = DotFlow(config=Config(log=log))
    for step in steps:
        workflow.task.add(step)
    workflow.start()
    return workflow


def test_each_line_goes_to_both(exporter, tmp_path):
    """What LogDefault writes is written, and handed on with its severity."""
    path = tmp_path / "flow.log"
    workflow = run(LogOpenTelemetry(output="file", path=path), fine, fails)
    records = records_of(exporter)
    bodies = [record.body for record in records]
    assert bodies[0] == f"ID {workflow.workflow_id} - 1 - Not started - workflow: fine"
    assert all(body.splitlines()[0] in path.read_text() for body in bodies)
    last = records[-1]
    assert (last.severity_number, last.severity_text) == (SeverityNumber.ERROR, "ERROR")
    assert "ValueError: no rows" in last.body
    assert {record.severity_number for record in records[:-1]} == {SeverityNumber.INFO}
    assert all(record.timestamp > 1_700_000_000 * 10**9 for record in records)


def test_json_and_level(exporter, tmp_path):
    """Format and level hold for what is handed on too."""
    run(LogOpenTelemetry(level="ERROR", output="file", path=tmp_path / "f", format="json"), fails)
    [record] = records_of(exporter)
    assert json.loads(record.body)["error"] == {"exception": "ValueError", "message": "no rows"}


def test_severities(exporter, tmp_path):
    """Each level has its severity."""
    log = LogOpenTelemetry(level="DEBUG", output="file", path=tmp_path / "f")
    for level in ("debug", "info", "warning", "error"):
        getattr(log, level)(what="100 %s")
    records = records_of(exporter)
    assert [record.severity_text for record in records] == ["DEBUG", "INFO", "WARN", "ERROR"]
    assert {record.body for record in records} == {"what=100 %s"}


def test_the_current_span_is_noted(exporter, tmp_path):
    """A line within a span belongs to it."""
    log = LogOpenTelemetry(output="file", path=tmp_path / "f")
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("test")
    with tracer.start_as_current_span("outer") as span:
        log.info(what="x")
    [record] = records_of(exporter)
    assert record.trace_id == span.get_span_context().trace_id
    assert trace.get_current_span() is trace.INVALID_SPAN


def test_without_a_provider_lines_are_written(tmp_path):
    """A program without a provider has its lines, no warning, and still no provider."""
    path = tmp_path / "flow.log"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(LogOpenTelemetry(output="file", path=path), fine)
    assert path.read_text().count("\n") == 3
    assert _internal._LOGGER_PROVIDER is None


def test_a_fault_of_the_exporter_does_not_reach_the_workflow(exporter, monkeypatch, capsys):
    """What the way to OpenTelemetry raises is the handler's to report."""

    def broken(*args, **kwargs):
        raise RuntimeError("full")

    monkeypatch.setattr(sdk.Logger, "emit", broken)
    workflow = run(LogOpenTelemetry(), fine)
    assert workflow.result_storage() == [1]
    assert "Completed" in capsys.readouterr().err


def test_a_line_is_of_the_span_of_its_task(exporter, tmp_path):
    """With a ServerOtel each line has the run's trace id, and the task's span once it has begun."""
    from dotflow.otel import ServerOtel

    server = ServerOtel(set_global=False)
    seen = {}

    @action
    def step():
        seen["span"] = trace.get_current_span().get_span_context().span_id

    config = Config(log=LogOpenTelemetry(output="file", path=tmp_path / "f"), server=server)
    flow = DotFlow(config=config)
    flow.task.add(step)
    flow.start()
    server.close(60)
    lines = {one.attributes["dotflow.task.status"]: one for one in records_of(exporter)}
    assert lines["Completed"].span_id == seen["span"]
    assert lines["Completed"].attributes["dotflow.task.duration"] > 0
    for status in ("In progress", "Completed"):
        assert lines[status].trace_id == flow.workflow_id.int
