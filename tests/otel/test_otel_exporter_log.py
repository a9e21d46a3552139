"""What is said of an endpoint that does not take spans: each fault once, until it does."""

from __future__ import annotations

import logging
import time

import pytest
from support.hostile_server import HostileServer, request

from dotflow import DotFlow, action
from dotflow.otel.export.leaving import sending


@action
def step():
    return 1


def faults_of(caplog):
    return [one.getMessage() for one in caplog.records if one.levelno > logging.INFO]


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


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_each_outage_is_said_once(protocol, otlp, servers, quiet, caplog):
    """However many batches and tries it costs; the next one is said again."""
    url = otlp.grpc_url if protocol == "grpc" else otlp.http_url
    server = servers(endpoint=url, protocol=protocol)
    for _ in range(2):
        [line] = an_outage(server, otlp, quiet, caplog)
        assert "Its spans wait, and are sent when it takes them." in line


def test_a_server_that_says_something_else_each_time(servers, quiet, caplog, monkeypatch):
    """It cannot fill the log."""
    monkeypatch.setattr(sending, "MOST_SAID", 4)
    said = []

    def script(connection, stopped):
        while request(connection):
            said.append(len(said))
            body = f"fault {len(said)}".encode()
            head = b"HTTP/1.1 500 No\r\nContent-Length: %d\r\n\r\n" % len(body)
            connection.sendall(head + body)

    with HostileServer(script) as away:
        server = servers(endpoint=away.url)
        run_and_flush(server, quiet)
        [processor] = server._pipeline._keeping()
        sender = processor._sender
        deadline = time.monotonic() + 60
        while len(said) < 2 * sending.MOST_SAID and time.monotonic() < deadline:
            sender._again_at = 0.0  # as if the time until the next try were over
            run_and_flush(server, quiet)
        assert len(said) >= 2 * sending.MOST_SAID
        assert 0 < len([one for one in faults_of(caplog) if "fault" in one]) <= sending.MOST_SAID
        server.close(0)
