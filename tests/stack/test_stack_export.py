"""One run, its trace in Jaeger and its records in dotflow-api, both equal to what happened."""

from __future__ import annotations

import urllib.request
from dataclasses import replace

import pytest
from stack_jaeger import search, trace
from stack_runs import (
    check_own_spans,
    check_records,
    check_root,
    check_tasks,
    check_whole_run,
    run,
)
from stack_servers import Collector

PROTOCOLS = {"http/protobuf": "http_port", "grpc": "grpc_port"}


def address(server, protocol):
    return f"http://localhost:{getattr(server, PROTOCOLS[protocol])}"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_run_is_a_trace_and_records(protocol, collector, jaeger, api, records, tmp_path):
    """Groups, retries, failures and the program's own spans are in both, equal to what happened."""
    program = run(
        tmp_path, "shop", otlp=address(collector, protocol), protocol=protocol, api=api, FLUSH=60
    )
    assert program.truth("end")[0]["status"] == "Failed"
    assert len({one["pid"] for one in program.truth("try")}) == 3  # a process a group
    spans = check_whole_run(jaeger, program)
    record = check_records(records, program)
    assert record["trace_id"] == program.trace_id
    assert trace(jaeger, record["trace_id"]) == spans
    assert search(jaeger, "dotflow", **{"dotflow.workflow.status": "Failed"}) != []
    _check_the_checks(spans, program)
    [flushed] = program.truth("flushed")
    assert (flushed["pending"], flushed["dead"], flushed["complete"]) == (0, 0, True)


def _check_the_checks(spans, program):
    """Each difference between the trace and the truth is noticed."""

    def check(found):
        check_tasks(found, program, check_root(found, program))
        check_own_spans(found, program)

    for number, span in enumerate(spans):
        for change in _changes_of(span):
            with pytest.raises((AssertionError, KeyError, ValueError)):
                check([*spans[:number], *change, *spans[number + 1 :]])


def _changes_of(span):
    yield []
    yield [replace(span, parent=span.id)]
    yield [replace(span, name="another")]
    yield [replace(span, begun=span.begun + 60)]
    if span.tags["otel.scope.name"] == "dotflow":
        yield [replace(span, tags={**span.tags, "error": not span.is_error})]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_without_a_collector(protocol, jaeger, tmp_path):
    """OTLP straight to Jaeger gives the same trace, with nothing else configured."""
    program = run(tmp_path, "shop", otlp=address(jaeger, protocol), protocol=protocol)
    check_whole_run(jaeger, program)


def test_with_dotflow_api_alone(api, records, tmp_path):
    """With no OTLP endpoint the records are the same."""
    program = run(tmp_path, "shop", api=api)
    assert check_records(records, program)["trace_id"] == program.trace_id


def test_the_debug_exporter(binaries, jaeger, tmp_path):
    """The Collector prints spans where one variable says so, and by default none."""
    for exporters in ("[otlp_grpc, debug]", "[otlp_grpc]"):
        folder = tmp_path / str("debug" in exporters)
        folder.mkdir()
        with Collector(binaries, folder, jaeger.otlp, COLLECTOR_EXPORTERS=exporters) as collector:
            program = run(folder, "shop", otlp=address(collector, "http/protobuf"))
            check_whole_run(jaeger, program)
            said = collector.said()
            assert ("dotflow.workflow.name" in said) == ("debug" in exporters), said


def test_the_queue_is_seen(collector):
    """The Collector's own metrics say how much waits."""
    with urllib.request.urlopen(collector.metrics_url, timeout=30) as answer:
        assert b"otelcol_exporter_queue_size{" in answer.read()


def test_large_contexts_arrive(collector, jaeger, api, records, tmp_path):
    """Spans of several megabytes in all pass the limits of each server on the way."""
    program = run(
        tmp_path, "large", otlp=address(collector, "grpc"), protocol="grpc", api=api, FLUSH=60
    )
    check_whole_run(jaeger, program)
    check_records(records, program)
