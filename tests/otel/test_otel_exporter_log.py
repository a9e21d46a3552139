"""What OpenTelemetry's exporters log of an outage."""

from __future__ import annotations

import logging
import time

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider

from dotflow import DotFlow, action
from dotflow.otel.export.faults import LOGGERS, MOST, faults


@action
def step():
    return 1


def faults_of(caplog):
    found = [one for one in caplog.records if one.name in LOGGERS and one.levelno > logging.INFO]
    return [one.getMessage() for one in found]


def run_and_flush(server, quiet):
    flow = DotFlow(config=quiet(server), name="etl")
    flow.task.add(step)
    flow.start()
    server.flush(0.3)


def an_outage(server, otlp, quiet, caplog):
    """Run while the endpoint is away, and after the first fault go on; return what was logged."""
    caplog.clear()
    otlp.is_away = True
    deadline = time.monotonic() + 60
    while not faults_of(caplog) and time.monotonic() < deadline:
        run_and_flush(server, quiet)
    for _ in range(3):
        run_and_flush(server, quiet)
    otlp.is_away = False
    assert server.flush(60).complete
    return faults_of(caplog)


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_an_outage_is_logged_once(protocol, otlp, servers, quiet, caplog):
    """However many batches and tries it costs."""
    url = otlp.grpc_url if protocol == "grpc" else otlp.http_url
    server = servers(endpoint=url, protocol=protocol)
    faults.forget()
    assert len(an_outage(server, otlp, quiet, caplog)) == 1


def test_the_next_outage_is_logged_again(otlp, servers, quiet, caplog):
    """Once an export has worked. Over gRPC OpenTelemetry itself leaves out what was just said."""
    server = servers(endpoint=otlp.http_url)
    an_outage(server, otlp, quiet, caplog)
    assert len(an_outage(server, otlp, quiet, caplog)) == 1


def test_what_an_application_exports_is_its_own_to_hear_of(otlp, caplog):
    """Of exporters that are not ours nothing is left out."""
    otlp.is_away = True
    exporter = OTLPSpanExporter(endpoint=f"{otlp.http_url}/v1/traces")
    span = TracerProvider().get_tracer("app").start_span("s")
    span.end()
    for _ in range(3):
        exporter.export([span])
    assert len(faults_of(caplog)) == 3
    exporter.shutdown()


def test_a_try_that_is_repeated_is_the_same_fault(caplog):
    """The seconds until the next try make no other of it; another code does."""
    log = logging.getLogger(LOGGERS[-1])
    faults.forget()
    with faults.once():
        for seconds in (1.5, 3.0):
            log.warning("Transient error %s, retrying in %.2fs.", "refused", seconds)
        for code in (401, 401, 404):
            log.error("Failed to export span batch code: %s", code)
    assert faults_of(caplog) == [
        "Transient error refused, retrying in 1.50s.",
        "Failed to export span batch code: 401",
        "Failed to export span batch code: 404",
    ]
    caplog.clear()
    log.error("of somebody else")
    log.error("of somebody else")
    assert len(faults_of(caplog)) == 2


def test_a_server_that_says_something_else_each_time(caplog):
    """It cannot fill the log."""
    faults.forget()
    with faults.once():
        for number in range(1000):
            logging.getLogger(LOGGERS[-1]).error("Failed to export span batch: %d", number)
    assert len(faults_of(caplog)) == MOST
    faults.forget()
