"""Metrics leave by the standard variables, where they are asked for; else nothing is done."""

from __future__ import annotations

import logging
import threading
import time

import pytest
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from support.signals import SignalReceiver, said

from dotflow import Config, DotFlow, action
from dotflow.otel import ServerOtel
from dotflow.otel.metrics.provider import existing
from dotflow.process import variables
from dotflow.providers import LogDefault

EVERYTHING = "OTEL_EXPORTER_OTLP_ENDPOINT"


@action
def fine():
    return 1


@pytest.fixture(scope="module")
def one_receiver():
    with SignalReceiver() as receiver:
        yield receiver


@pytest.fixture
def receiver(one_receiver, monkeypatch):
    monkeypatch.delenv("OTEL_METRICS_EXPORTER", raising=False)
    one_receiver.clear()
    return one_receiver


@pytest.fixture
def servers():
    made = []

    def make(*args, **kwargs):
        made.append(ServerOtel(*args, **kwargs))
        return made[-1]

    yield make
    for one in made:
        one.close(60)


def run(server, times=1):
    workflow = DotFlow(
        config=Config(server=server, log=LogDefault(level="ERROR", output="file")), name="etl"
    )
    workflow.task.add([fine] * times)
    workflow.start()


def counts(receiver):
    return [point.count for point in receiver.last("dotflow.task.duration")]


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_an_endpoint_for_all_signals_gets_metrics(receiver, servers, monkeypatch, protocol):
    """What ended is measured and leaves when the server is flushed; a later run adds to it."""
    url = receiver.grpc_url if protocol == "grpc" else receiver.http_url
    monkeypatch.setenv(EVERYTHING, url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
    server = servers()
    run(server, 2)
    assert server.flush(60).complete
    assert counts(receiver) == [2]
    [point] = receiver.last("dotflow.task.duration")
    assert said(point)["dotflow.task.status"] == "Completed"
    assert {one.trace_id for one in point.exemplars} == {receiver.spans[0].trace_id}
    assert receiver.measured[-1][0]["service.name"] == "dotflow"
    assert isinstance(existing(), MeterProvider)
    assert [one.as_int for one in receiver.last("dotflow.workflow.active")] in ([0], [])
    server.close(60)
    assert not [one for one in threading.enumerate() if one.name.startswith("dotflow-metrics")]
    run(server)
    assert server.close(60).complete
    assert counts(receiver) == [3]
    delivered = {
        said(point)["dotflow.outbox.destination"]: point.as_int
        for point in receiver.last("dotflow.outbox.delivered")
    }
    assert [name.startswith("OTLP endpoint") for name in delivered] == [True]


def test_metrics_leave_while_a_run_goes_on(receiver, servers, monkeypatch):
    """Every OTEL_METRIC_EXPORT_INTERVAL they are exported; what is under way is counted."""
    monkeypatch.setenv(EVERYTHING, receiver.http_url)
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "50")

    @action
    def waits():
        deadline = time.monotonic() + 60
        while not receiver.last("dotflow.task.active") and time.monotonic() < deadline:
            time.sleep(0.01)

    config = Config(server=servers(), log=LogDefault(level="ERROR", output="file"))
    workflow = DotFlow(config=config, name="etl")
    workflow.task.add(waits)
    workflow.start()
    active = next(one for _, one in receiver.measured if one.name == "dotflow.task.active")
    [point] = active.sum.data_points
    assert (point.as_int, said(point)["dotflow.task.name"]) == (1, "waits")


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_an_endpoint_that_takes_spans_alone_is_asked_once(
    receiver, servers, monkeypatch, caplog, protocol
):
    """Nobody asked for metrics by name: nothing is said, and nothing is done after one call."""
    url = receiver.grpc_url if protocol == "grpc" else receiver.http_url
    monkeypatch.setenv(EVERYTHING, url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
    receiver.refuses.add("metrics")
    server = servers()
    with caplog.at_level(logging.DEBUG, logger="dotflow"):
        for _ in range(3):
            run(server)
            assert server.flush(60).complete
    assert receiver.calls["metrics"] == 1
    said_of = [one for one in caplog.records if "No metrics are exported" in one.getMessage()]
    assert [one.levelno for one in said_of] == [logging.DEBUG]
    assert not [one for one in threading.enumerate() if one.name.startswith("dotflow-metrics")]


def test_metrics_that_were_asked_for_are_missed(receiver, servers, monkeypatch, caplog):
    """One warning says why they do not leave, and they leave once the endpoint takes them."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", f"{receiver.http_url}/v1/metrics")
    variables.warn.cache_clear()
    receiver.refuses.add("metrics")
    server = servers()
    for _ in range(2):
        run(server)
        assert not server.flush(60).complete
    [line] = [one.getMessage() for one in caplog.records]  # not that nobody is reported to
    assert "answers 404; it takes no metrics at this path" in line
    assert "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT" in line
    receiver.refuses.clear()
    assert server.flush(60).complete
    assert counts(receiver) == [2]


@pytest.mark.parametrize(
    ("variables", "endpoint"),
    [
        ({}, None),
        ({EVERYTHING: "", "OTEL_METRICS_EXPORTER": "none"}, None),
        ({"OTEL_METRICS_EXPORTER": "none"}, ""),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "/v1/traces"}, None),
        ({}, "/v1/traces"),
        ({EVERYTHING: "", "OTEL_SDK_DISABLED": "true"}, None),
    ],
)
def test_where_nobody_asks_for_metrics_there_are_none(
    receiver, servers, monkeypatch, variables, endpoint
):
    """No provider is made, and nothing leaves; the spans do, where they are asked for."""
    url = receiver.http_url
    for name, value in variables.items():
        is_address = name.endswith("ENDPOINT")
        monkeypatch.setenv(name, f"{url}{value}" if is_address else value)
    server = servers(endpoint=None if endpoint is None else f"{url}{endpoint}")
    run(server)
    server.flush(60)
    assert existing() is None
    assert receiver.calls["metrics"] == 0
    expects_spans = (endpoint is not None or any("ENDPOINT" in one for one in variables)) and (
        "OTEL_SDK_DISABLED" not in variables
    )
    assert bool(receiver.spans) == expects_spans


def test_an_endpoint_in_code_is_that_of_metrics_too(receiver, servers):
    """`ServerOtel(endpoint=...)` without a path is the address of all signals."""
    server = servers(endpoint=receiver.http_url)
    run(server)
    assert server.close(60).complete
    assert counts(receiver) == [1]


def test_wrong_variables_cost_a_line_each(receiver, servers, monkeypatch, caplog):
    """The run goes on, and what is right is used."""
    monkeypatch.setenv(EVERYTHING, receiver.http_url)
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "otlp,nonsense")
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "soon")
    monkeypatch.setenv("OTEL_METRICS_EXEMPLAR_FILTER", "sometimes")
    server = servers()
    run(server)
    assert server.flush(60).complete
    assert counts(receiver) == [1]
    text = caplog.text
    for wrong in ("'nonsense'", "OTEL_METRIC_EXPORT_INTERVAL is 'soon'", "'sometimes'"):
        assert text.count(wrong) == 1, text


def test_an_applications_provider_is_used_and_flushed(receiver, servers, monkeypatch):
    """Nothing is made beside it; it is the application's to end."""
    monkeypatch.setenv(EVERYTHING, receiver.http_url)
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    reader = InMemoryMetricReader()
    flushed = []

    class Theirs(MeterProvider):
        def force_flush(self, timeout_millis=10_000):
            flushed.append(1)
            return super().force_flush(timeout_millis)

    provider = Theirs([reader], shutdown_on_exit=False)
    metrics.set_meter_provider(provider)
    server = servers()
    run(server)
    assert server.close(60).complete
    assert flushed == [1]
    assert receiver.calls["metrics"] == 0
    assert reader.get_metrics_data() is not None
    assert not provider._shutdown
    provider.shutdown()
