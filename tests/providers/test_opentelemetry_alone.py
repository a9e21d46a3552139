"""The providers for OpenTelemetry in a program that sets up nothing: the variables are enough."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from support.otlp import OtlpReceiver

PROGRAM = """
import logging
from opentelemetry import trace
from dotflow import Config, DotFlow, action
from dotflow.providers import LogOpenTelemetry, TracerOpenTelemetry

@action(timeout=60)
def sells():
    logging.getLogger("shop").warning("sold")
    with trace.get_tracer("shop").start_as_current_span("till"):
        return 1

@action(retry=2, retry_delay=0)
def fails():
    raise ValueError("password=hunter2 is wrong")

config = Config(log=LogOpenTelemetry("shop"), tracer=TracerOpenTelemetry("shop"))
flow = DotFlow(config=config, name="etl", workflow_id="w-1")
flow.task.add([sells, fails])
flow.start()
"""


@pytest.fixture(scope="module")
def receiver():
    with OtlpReceiver() as one:
        yield one


@pytest.fixture
def otlp(receiver):
    receiver.clear()
    return receiver


def run(otlp, **variables):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM],
        env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": otlp.http_url, **variables},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_spans_and_lines_leave_by_the_variables(otlp):
    """A line is in the trace of its run, with what it is about; a step's own span is in its task's.

    What steps log themselves leaves only where that is asked for.
    """
    shown = run(otlp)
    spans = {span.name: span for span in otlp.spans}
    assert set(spans) == {"workflow:w-1", "task:1", "task:2", "till"}
    assert spans["till"].parent_id == spans["task:1"].span_id
    assert spans["till"].scope == "shop"
    assert {span.resource["service.name"] for span in otlp.spans} == {"shop"}
    lines = [record for record in otlp.records if record.scope == "shop"]
    assert len(lines) == len(otlp.records) == len({record.body for record in lines})
    assert all(record.body.splitlines()[0] in shown for record in lines)
    ids = {record.attributes["dotflow.task.status"]: record.span_id for record in lines
           if record.attributes["dotflow.task.id"] == 2}  # fmt: skip
    assert ids["Failed"] == ids["Retry"] == spans["task:2"].span_id
    begun = [
        record for record in lines if record.attributes["dotflow.task.status"] != "Not started"
    ]
    assert {record.trace_id for record in begun} == {spans["workflow:w-1"].trace_id}
    [failed] = [record for record in lines if record.severity_text == "ERROR"]
    expected = {
        "dotflow.workflow.id": "w-1", "dotflow.workflow.name": "etl", "dotflow.task.name": "fails",
        "dotflow.task.group": "default", "dotflow.task.retry_count": 1, "error.type": "ValueError",
        "exception.message": "password=*** is wrong",
    }  # fmt: skip
    assert expected.items() <= failed.attributes.items()
    assert "code.file.path" not in failed.attributes
    assert "hunter2" not in repr(otlp.records)


def test_lines_and_what_steps_log_leave_once_each(otlp):
    """LogOpenTelemetry beside the handler of steps' logs makes nothing twice."""
    run(otlp, OTEL_LOGS_EXPORTER="otlp")
    bodies = [record.body for record in otlp.records]
    assert bodies.count("sold") == 1
    assert len(bodies) == len(set(bodies)) > 5


def test_none_means_none(otlp):
    """Where the environment says that no signal is to leave, none does."""
    run(otlp, OTEL_LOGS_EXPORTER="none", OTEL_TRACES_EXPORTER="none")
    assert not otlp.records
    assert not otlp.spans
