"""OTLP over gRPC in a process that forks."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import pytest
from support.otlp import OtlpReceiver

from dotflow.otel.export.otlp import grpc

PROGRAM = """
import sys
from opentelemetry import trace
from dotflow import Config, DotFlow, action
from dotflow.otel import ServerOtel
from dotflow.providers import LogDefault

@action
def step():
    with trace.get_tracer("user").start_as_current_span("inner"):
        pass

flow = DotFlow(config=Config(log=LogDefault(level="ERROR"), server=ServerOtel()), name="etl")
flow.task.add([step] * 3)
flow.start(mode=sys.argv[1])
sys.stdin.read()  # it goes on, with something else
"""


@pytest.mark.parametrize("outbox", ["disk", "memory"])
@pytest.mark.parametrize("mode", ["parallel", "sequential_group"])
def test_spans_of_forked_children_arrive_while_the_program_goes_on(mode, outbox, monkeypatch):
    """Nobody has to flush, and the children, whose gRPC may not work, need not."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    monkeypatch.setenv("DOTFLOW_OUTBOX", outbox)
    with OtlpReceiver() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.grpc_url)
        program = subprocess.Popen([sys.executable, "-c", PROGRAM, mode], stdin=subprocess.PIPE)
        try:
            spans = receiver.wait_for(7, seconds=60)
        finally:
            program.communicate(timeout=60)
        assert program.returncode == 0
        assert sorted(span.name for span in spans) == ["etl", *["inner"] * 3, *["step"] * 3]
        assert sorted(map(repr, receiver.spans)) == sorted(map(repr, spans))  # once
    steps = {span.span_id for span in spans if span.name == "step"}
    assert {span.parent_id for span in spans if span.name == "inner"} == steps


@pytest.fixture
def export(monkeypatch):
    """Make an export that ends when it is let go."""
    go, threads = threading.Event(), []

    def begin():
        begun = threading.Event()

        def work():
            with grpc._under_way:
                begun.set()
                go.wait(60)

        threads.append(threading.Thread(target=work))
        threads[-1].start()
        begun.wait(60)
        return go

    yield begin
    go.set()
    for thread in threads:
        thread.join()


def _fork(in_child=lambda: None):
    """Fork; the child's exit code says whether what it is to do went well."""
    pid = os.fork()
    if not pid:
        code = 1
        try:
            in_child()
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_fork_waits_for_an_export(export, monkeypatch):
    """It happens when none is under way."""
    monkeypatch.setattr(grpc, "LONGEST_WAIT", 60.0)
    go = export()
    timer = threading.Timer(0.2, go.set)
    timer.start()
    _fork()
    assert go.is_set()
    timer.join()


def test_a_fork_does_not_wait_for_a_slow_collector(export):
    """The export may be under way for ten seconds; also then the child may export."""
    go = export()
    begun = time.monotonic()

    def export_in_child():
        with grpc._under_way:
            assert grpc._under_way._count == 1

    _fork(export_in_child)
    assert not go.is_set()
    assert time.monotonic() - begun < 30.0


def test_exports_go_on_after_a_fork(export):
    """In the parent, where the lock was held meanwhile."""
    _fork()
    go = export()
    assert grpc._under_way._count == 1
    go.set()
