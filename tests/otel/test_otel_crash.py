"""A process that is killed: its trace is whole all the same, once the next process has run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
from opentelemetry.trace import StatusCode
from support.otlp import OtlpReceiver

from dotflow.cli.setup import Command
from dotflow.runlog import files

PROGRAM = """
import os, signal, sys
from opentelemetry import trace
from dotflow import Config, DotFlow, action
from dotflow.otel import ServerOtel
from dotflow.providers import LogDefault

mode, how = sys.argv[1:]

@action
def done():
    with trace.get_tracer("user").start_as_current_span("in done"):
        return 1

@action(retry=2, retry_delay=0)
def dies():
    with trace.get_tracer("user").start_as_current_span("in dies"):
        pass
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "term":
        os.kill(os.getpid(), signal.SIGTERM)
    if how == "exit":
        os._exit(3)

if __name__ == "__main__":
    server = ServerOtel()
    flow = DotFlow(config=Config(log=LogDefault(level="ERROR"), server=server), name="etl")
    flow.task.add([done, dies])
    flow.start(mode=mode)
"""


@pytest.fixture
def receiver(monkeypatch):
    with OtlpReceiver() as one:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", one.http_url)
        yield one


def program(mode="sequential", how="well", **environment):
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, mode, how], env={**os.environ, **environment},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def flush():
    assert Command(["outbox", "flush"]).run() == 0


def by_name(receiver):
    names = [span.name for span in receiver.spans]
    assert len(names) == len(set(names)), f"a span twice: {names}"
    return {span.name: span for span in receiver.spans}


def check_tree(spans):
    """One root, no orphan, one trace; each span within the times of its parent."""
    by_id = {span.span_id: span for span in spans.values()}
    assert len({span.trace_id for span in spans.values()}) == 1
    assert [span.name for span in spans.values() if not span.parent_id] == ["etl"]
    for span in spans.values():
        if span.parent_id:
            parent = by_id[span.parent_id]
            assert parent.start <= span.start <= span.end <= parent.end


@pytest.mark.parametrize(
    ("how", "code"), [("kill", -signal.SIGKILL), ("term", -signal.SIGTERM), ("exit", 3)]
)
def test_a_killed_process(receiver, how, code):
    """What had ended is there as it was; what was under way ends in an error that says why."""
    began = time.time_ns()
    assert program(how=how).returncode == code
    flush()
    spans = by_name(receiver)
    assert set(spans) == {"etl", "done", "in done", "dies", "attempt", "in dies"}
    check_tree(spans)
    for name in ("etl", "dies", "attempt"):
        assert spans[name].status == StatusCode.ERROR.value
        assert spans[name].attributes["error.type"] == "process_killed"
        assert "it was last seen at 20" in spans[name].message
        assert began < spans[name].start <= spans[name].end < time.time_ns()
    assert spans["etl"].attributes["dotflow.workflow.status"] == "Failed"
    assert spans["dies"].attributes["dotflow.task.status"] == "Failed"
    assert spans["done"].status == StatusCode.UNSET.value
    assert spans["done"].attributes["dotflow.task.status"] == "Completed"
    assert spans["done"].attributes["dotflow.task.context.current"] == "1"
    assert files.logs() == {}


def test_the_next_run_sends_what_the_last_one_left(receiver):
    """No flush is needed where a process that reports to the same endpoint comes."""
    program(how="kill")
    program()
    roots = [span for span in receiver.spans if span.name == "etl"]
    assert sorted(span.status for span in roots) == [0, 2]
    assert len(receiver.spans) == 6 + 6
    assert files.logs() == {}


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["parallel", "sequential_group"])
@pytest.mark.parametrize("how", ["kill", "term", "exit"])
def test_a_killed_child(receiver, mode, how):
    """Spans that a step had ended before its process was killed arrive with the run's."""
    assert program(mode, how).returncode == 0
    spans = by_name(receiver)
    assert set(spans) == {"etl", "done", "in done", "dies", "attempt", "in dies"}
    check_tree(spans)
    kind = "RuntimeError" if how == "exit" else "process_killed"
    assert spans["dies"].attributes["error.type"] == kind
    assert spans["in dies"].parent_id == spans["attempt"].span_id
    assert files.logs() == {}


def test_a_run_that_ends_well_leaves_no_file(receiver):
    """What has left is written down no more."""
    assert program().returncode == 0
    assert len(by_name(receiver)) == 6
    assert files.logs() == {}


def test_in_memory_nothing_is_written_down(receiver):
    """DOTFLOW_OUTBOX=memory keeps spans from the disk as well."""
    assert program(how="kill", DOTFLOW_OUTBOX="memory").returncode == -signal.SIGKILL
    assert not files.folder().exists()
