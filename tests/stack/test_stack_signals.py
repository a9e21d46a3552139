"""One run, and its trace id in the stores of traces, metrics and logs, by way of one Collector."""

from __future__ import annotations

import time
from collections import Counter

import pytest
from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from stack_runs import run
from stack_servers import Collector, Prometheus, VictoriaLogs, until
from stack_signals import Stores, check_signals, exemplars, log_records, query

SENT = 5
"""How often each signal is sent."""


@pytest.mark.parametrize("pipeline", ["errand", "shop"], ids=["in process", "in children"])
def test_one_trace_id_in_three_stores(
    pipeline, collector, jaeger, prometheus, victorialogs, tmp_path
):
    """A run with a retry and a failing step is found in each store by its trace id."""
    program = run(
        tmp_path, pipeline, otlp=f"http://localhost:{collector.http_port}", FLUSH=60,
        OTEL_LOGS_EXPORTER="otlp", NAME=f"{pipeline} in three stores",
    )  # fmt: skip
    assert program.truth("end")[0]["status"] == "Failed"
    assert any(task["retry_count"] for task in program.truth("task"))
    check_signals(Stores(jaeger, prometheus, victorialogs), program)


@pytest.fixture
def stores(binaries, tmp_path):
    for name in ("prometheus", "victorialogs", "collector"):
        (tmp_path / name).mkdir()
    return (
        Prometheus(binaries, tmp_path / "prometheus"),
        VictoriaLogs(binaries, tmp_path / "victorialogs"),
    )


def _send(collector, name):
    """Measure and log in a span, and send each at once; returns the trace's id."""
    resource = Resource({"service.name": name, "service.instance.id": "1"})
    address = f"http://localhost:{collector.http_port}/v1"
    reader = PeriodicExportingMetricReader(
        OTLPMetricExporter(f"{address}/metrics"), export_interval_millis=3_600_000
    )
    meters = MeterProvider([reader], resource, shutdown_on_exit=False)
    loggers = LoggerProvider(resource, shutdown_on_exit=False)
    loggers.add_log_record_processor(SimpleLogRecordProcessor(OTLPLogExporter(f"{address}/logs")))
    took = meters.get_meter("shop").create_histogram("took", "s")
    with TracerProvider().get_tracer("shop").start_as_current_span("step") as span:
        for number in range(SENT):
            took.record(number)
            loggers.get_logger("shop").emit(
                body=f"record {number}",
                severity_number=SeverityNumber.WARN,
                timestamp=time.time_ns(),
            )
            assert meters.force_flush()
    meters.shutdown()  # sends once more
    loggers.shutdown()
    return format(span.get_span_context().trace_id, "032x")


def _check(prometheus, victorialogs, name, trace_id):
    """Each point and each record is there, once, with the trace's id."""

    def is_whole():
        points = query(prometheus, f'count_over_time(took_seconds_count{{job="{name}"}}[1h])')
        assert [value for _, value in points] == [SENT + 1]
        [(_, last)] = query(prometheus, f'last_over_time(took_seconds_count{{job="{name}"}}[1h])')
        assert last == SENT
        named = {one["trace_id"] for one, _ in exemplars(prometheus, f'{{job="{name}"}}')}
        assert named == {trace_id}
        records = Counter(one["_msg"] for one in log_records(victorialogs, trace_id))
        assert records == Counter(f"record {number}" for number in range(SENT))
        return True

    until(is_whole, "metrics and logs are not whole")


def test_the_stores_go_and_come_back(binaries, jaeger, stores, tmp_path):
    """What came while they were away waits on disk, also where the Collector is killed."""
    prometheus, victorialogs = stores
    endpoints = {"metrics": prometheus.otlp, "logs": victorialogs.otlp}
    with Collector(binaries, tmp_path / "collector", jaeger.otlp, **endpoints) as collector:
        with prometheus, victorialogs:
            before = _send(collector, "before")
            _check(*stores, "before", before)
        away = _send(collector, "away")
        collector.kill()
        collector.start()
        with prometheus, victorialogs:
            _check(*stores, "away", away)
