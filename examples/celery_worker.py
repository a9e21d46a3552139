"""A Celery worker: a job runs a workflow in the trace of the program that sent the job.

The reports of a job have left when the job is over, for Celery may end a worker at any time. What a
killed worker left, the next worker delivers. The broker here is a folder, so you need nothing but
Celery; with Redis or RabbitMQ only `broker_url` is another.

    pip install celery
    export OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318
    celery --workdir examples -A celery_worker worker --concurrency 2 &
    python examples/celery_worker.py 2026-11-27

If you use `opentelemetry-instrumentation-celery`, it carries the trace, and you need no `carrier`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from celery import Celery
from opentelemetry import trace
from opentelemetry.context import attach, detach
from opentelemetry.propagate import extract, inject

from dotflow import Config, DotFlow, action
from dotflow.otel import ServerOtel

FOLDER = Path(os.environ.get("BROKER_FOLDER", ".broker")).absolute()
for one in ("messages", "control"):
    (FOLDER / one).mkdir(parents=True, exist_ok=True)

app = Celery("reports")
app.conf.update(
    broker_url="filesystem://",
    broker_transport_options={
        "data_folder_in": str(FOLDER / "messages"),
        "data_folder_out": str(FOLDER / "messages"),
        "control_folder": str(FOLDER / "control"),
    },
    task_ignore_result=True,
)
server = ServerOtel(service_name="reports")


@action
def gather(initial_context: Any) -> list[int]:
    """The figures of a day."""
    return [len(initial_context.storage), 7]


@action
def total(previous_context: Any) -> int:
    """Their sum."""
    return sum(previous_context.storage)


@app.task(name="report")
def report(day: str, carrier: dict[str, str]) -> None:
    """Run the workflow of a day; a failed run is a failed job."""
    token = attach(extract(carrier))
    try:
        workflow = DotFlow(config=Config(server=server), name="report")
        workflow.task.add(step=[gather, total], initial_context=day)
        workflow.start(raise_on_failure=True)
    finally:
        detach(token)


def main(day: str) -> None:
    """Send a job, and say in which trace it will run."""
    tracer = trace.get_tracer("reports", tracer_provider=server.tracer_provider)
    with tracer.start_as_current_span("ask for a report") as span:
        carrier: dict[str, str] = {}
        inject(carrier)
        report.delay(day, carrier)
    print(format(span.get_span_context().trace_id, "032x"))


if __name__ == "__main__":
    main(sys.argv[1])
