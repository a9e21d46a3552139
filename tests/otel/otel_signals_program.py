"""A program whose steps log, count and trace with providers of its own.

Run as `otel_signals_program.py PROTOCOL METHOD WHOSE`, WHOSE being "global" or "given": set as the
global providers, or given to whoever uses them.
"""

from __future__ import annotations

import logging
import os
import sys

from opentelemetry import _logs, metrics, trace
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from dotflow import Config, DotFlow, action
from dotflow.otel import ServerOtel
from dotflow.providers import LogDefault

PROTOCOL, METHOD, WHOSE = sys.argv[1:]
IN_PARENT, TASKS = 5, 3

if PROTOCOL == "grpc":
    from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
else:
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter


class Handler(logging.Handler):
    """As the SDK's handler, which has moved to another package."""

    def __init__(self, logger_provider):
        super().__init__()
        self._logger_provider = logger_provider

    def emit(self, record):
        made = _logs.LogRecord(body=record.getMessage(), timestamp=int(record.created * 1e9))
        self._logger_provider.get_logger(record.name).emit(made)


# Nothing leaves by itself: what arrives was flushed.
logs = LoggerProvider()
logs.add_log_record_processor(
    BatchLogRecordProcessor(OTLPLogExporter(), schedule_delay_millis=600_000)
)
reader = PeriodicExportingMetricReader(OTLPMetricExporter(), export_interval_millis=600_000)
meters = MeterProvider([reader])
traces = TracerProvider()
traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(), schedule_delay_millis=600_000))
if WHOSE == "global":
    _logs.set_logger_provider(logs)
    metrics.set_meter_provider(meters)
    trace.set_tracer_provider(traces)
logging.getLogger("shop").addHandler(Handler(logs))
logging.getLogger("shop").setLevel(logging.INFO)
counter = meters.get_meter("shop").create_counter("sold")


@action
def sell(initial_context):
    with traces.get_tracer("shop").start_as_current_span("inner"):
        logging.getLogger("shop").info("sold %s in %s", initial_context.storage, os.getpid())
        counter.add(1)


if __name__ == "__main__":
    counter.add(IN_PARENT)
    logging.getLogger("shop").info("opened in %s", os.getpid())
    for provider in (logs, traces):  # their connections are up
        provider.force_flush()
    given = {"tracer_provider": traces} if WHOSE == "given" else {}
    config = Config(server=ServerOtel(**given), log=LogDefault(level="ERROR"))
    flow = DotFlow(config=config, name="shop")
    for number in range(TASKS):
        flow.task.add(sell, initial_context=number)
    flow.start(mode="parallel", start_method=METHOD)
    assert [task.status for task in flow.task.queue] == ["Completed"] * TASKS
    sys.stdout.write(flow.workflow_id.hex)
