"""Spans that the version before left in its files arrive as they were: `tests/delivery/earlier`."""

from __future__ import annotations

import contextlib
import json
import signal
import sqlite3
import subprocess
import sys

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from support.earlier import DIED_AT, OTLP_KEY, left_by_before, nothing_is_left

from dotflow.cli.setup import Command
from dotflow.delivery.dead import earlier, earlier_disk
from dotflow.delivery.dead.earlier import EarlierSpans
from dotflow.otel.export.leaving.earlier import decode_spans, spans_of
from dotflow.runlog import files

PATIENCE = 60.0  # seconds

FLUSHES = """
import sys
from dotflow.otel import ServerOtel

server = ServerOtel(endpoint=sys.argv[1])
assert server.tracer_provider
server.flush(30)
"""


@pytest.fixture
def left(otlp):
    """The ids of the spans that a copy of the fixture holds for the receiver, as they waited."""
    left_by_before("spans")
    ids = []
    for one in earlier.earlier_spans(OTLP_KEY):
        if one.encoded:
            ids += [f"{span.context.span_id:016x}" for span in decode_spans(one.encoded)]
        ids += [f"{json.loads(record)['span']['context'][1]:016x}" for record in one.records]
    for path in earlier_disk.folder().iterdir():
        path.unlink()
    key = files.reader_key(f"OTLP endpoint {otlp.http_url}/v1/traces")
    left_by_before("spans", key=key)
    assert len(ids) == 6
    return ids


def arrived(otlp):
    """The ids of the spans that came, each as often as it came."""
    return [span.span_id for span in otlp.spans]


def begun(servers, otlp):
    """A server that has its provider, and with it what looks for spans that wait."""
    server = servers(endpoint=otlp.http_url)
    assert server.tracer_provider is not None
    return server


def test_what_waited_arrives_once(otlp, servers, left):
    """What was encoded comes as it was; what had not ended ends with its process, and says so."""
    server = begun(servers, otlp)
    assert server.flush(PATIENCE).complete
    assert sorted(arrived(otlp)) == sorted(left)
    assert (server.spans_exported, server.spans_failed) == (6, 0)
    traces = {}
    for span in otlp.spans:
        traces.setdefault(span.trace_id, []).append(span)
    kept, held = sorted(traces.values(), key=lambda spans: any(one.status for one in spans))
    assert {span.name: span.status for span in kept} == {"kept": 0, "extract": 0, "load": 0}
    assert {span.scope for span in otlp.spans} == {"dotflow"}
    by_name = {span.name: span for span in held}
    assert by_name["extract"].status == StatusCode.UNSET.value
    for name in ("held", "dies"):
        killed = by_name[name]
        assert killed.status == StatusCode.ERROR.value
        assert killed.attributes["error.type"] == "process_killed"
        assert killed.start < killed.end
        assert killed.end >= DIED_AT * 10**9
    assert by_name["dies"].parent_id == by_name["held"].span_id
    assert by_name["held"].attributes["dotflow.workflow.status"] == "Failed"
    assert server.close(PATIENCE).complete
    assert nothing_is_left()


def test_flush_of_the_command_line_sends_it(otlp, left, monkeypatch):
    """`dotflow outbox flush` finds the files of the endpoint of the environment."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", otlp.http_url)
    assert Command(["outbox", "flush"]).run() == 0
    assert sorted(arrived(otlp)) == sorted(left)
    assert nothing_is_left()


def test_what_an_endpoint_does_not_take_stays_in_the_file(otlp, servers, left):
    """A server that is away costs nothing: the next process sends the same spans."""
    otlp.is_away = True
    server = begun(servers, otlp)
    assert not server.flush(1).complete
    assert not server.close(0.5).complete
    assert arrived(otlp) == []
    otlp.is_away = False
    again = begun(servers, otlp)
    assert again.flush(PATIENCE).complete
    assert sorted(set(arrived(otlp))) == sorted(left)
    again.close(PATIENCE)
    assert nothing_is_left()


def test_a_kill_loses_nothing(otlp, servers, left):
    """Who is killed while the endpoint has a batch leaves it to the next process."""
    otlp.hold()
    child = subprocess.Popen([sys.executable, "-c", FLUSHES, otlp.http_url])
    try:
        otlp.wait_for_request()
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
        otlp.let_go()
    server = begun(servers, otlp)
    assert server.flush(PATIENCE).complete
    assert set(arrived(otlp)) == set(left)
    server.close(PATIENCE)
    assert nothing_is_left()


def test_one_damaged_batch_costs_no_other(otlp, servers, left, caplog):
    """What cannot be read is said to be lost, once; the rest arrives."""
    [path] = earlier_disk.paths()
    with sqlite3.connect(path) as connection:
        connection.execute("update message set body = x'ff00' where state = 0")
    connection.close()
    server = begun(servers, otlp)
    assert server.flush(PATIENCE).complete
    assert len(arrived(otlp)) == 3
    assert set(arrived(otlp)) < set(left)
    assert caplog.text.count("is lost") == 1
    server.close(PATIENCE)
    assert nothing_is_left()


def test_in_memory_no_file_is_touched(otlp, servers, left, monkeypatch):
    """DOTFLOW_OUTBOX=memory keeps this process from the disk, and what is there waits."""
    monkeypatch.setenv("DOTFLOW_OUTBOX", "memory")
    server = begun(servers, otlp)
    assert server.flush(PATIENCE).complete
    assert arrived(otlp) == []
    assert len(earlier_disk.paths()) == 1


@pytest.mark.parametrize("whole", ["", "1"])
def test_spans_of_the_version_before_name_no_credential(monkeypatch, whole):
    """Its own errors were as they came: they are masked as they are sent."""
    monkeypatch.setenv("DOTFLOW_WHOLE_VALUES", whole)
    kept = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    with provider.get_tracer("dotflow").start_as_current_span("calm"):
        pass
    with (
        contextlib.suppress(ValueError),
        provider.get_tracer("dotflow").start_as_current_span("step"),
    ):
        raise ValueError("password=hunter2")
    provider.shutdown()
    body = encode_spans(kept.get_finished_spans()).SerializeToString()
    found = EarlierSpans(body, (), 0.0, None, ())
    calm, step = spans_of(found)
    assert calm.name == "calm"
    said = "".join([step.status.description, *map(str, step.events[0].attributes.values())])
    assert ("hunter2" in said) is bool(whole)
    assert step.events[0].attributes["exception.type"] == "ValueError"
