"""Spans that the OTLP endpoint does not take are kept, and arrive when it does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from support.processes import files_of_ours

from dotflow import DotFlow, action
from dotflow.otel.export.leaving.batch import OtlpProcessor
from dotflow.otel.export.leaving.replay import relays_from_environment
from dotflow.otel.export.otlp.endpoint import OtlpSettings, address
from dotflow.otel.export.otlp.exports import SpanCounts
from dotflow.otel.export.provider.own import span_processors

pytestmark = pytest.mark.slow

PATIENCE = 60.0  # seconds, on a machine that has much else to do


@action
def step():
    return 1


def run(server, quiet):
    flow = DotFlow(config=quiet(server), name="etl")
    flow.task.add(step)
    flow.start()


def spans_of(server, count, name="s"):
    tracer = server.tracer_provider.get_tracer("test")
    for index in range(count):
        tracer.start_span(f"{name}{index}").end()


def until(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def each_once(otlp, count):
    """Whether so many spans came, and none twice."""
    ids = Counter(span.span_id for span in otlp.spans)
    return len(ids) == count == ids.total()


PROGRAM = """
    import sys
    from dotflow import Config, DotFlow, action
    from dotflow.otel import ServerOtel
    from dotflow.providers import LogDefault

    @action
    def step():
        return 1

    server = ServerOtel()
    config = Config(server=server, log=LogDefault(level="ERROR", output="file"))
    flow = DotFlow(config=config, name="etl")
    flow.task.add(step)
    flow.start()
"""


def program(more=""):
    return [sys.executable, "-c", textwrap.dedent(PROGRAM) + textwrap.dedent(more)]


@pytest.fixture
def environment(otlp, monkeypatch):
    """The environment names the receiver, for this process and others."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", otlp.http_url)
    monkeypatch.setenv("DOTFLOW_FLUSH_TIMEOUT", "5")
    return monkeypatch


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_what_is_not_taken_arrives_when_the_collector_is_back(protocol, otlp, servers, quiet):
    """An outage over a whole run costs no span, and none comes twice."""
    otlp.is_away = True
    url = otlp.http_url if protocol == "http/protobuf" else otlp.grpc_url
    server = servers(endpoint=url, protocol=protocol)
    run(server, quiet)
    server.flush(0.1)
    until(lambda: server.spans_kept == 2)
    assert (server.spans_exported, server.spans_failed) == (0, 0)
    run(server, quiet)
    server.flush(0.1)
    until(lambda: server.spans_kept == 4)
    otlp.is_away = False
    assert server.flush(PATIENCE).complete
    assert each_once(otlp, 4)
    assert (server.spans_exported, server.spans_failed, server.spans_kept) == (4, 0, 0)
    run(server, quiet)
    assert server.flush(PATIENCE).complete
    assert each_once(otlp, 6)


def test_nobody_at_the_address_is_an_outage_too(servers, quiet, monkeypatch):
    """A connection that is refused costs no span: it is kept."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.5")
    server = servers(endpoint="http://127.0.0.1:9")
    run(server, quiet)
    assert not server.flush(0.1).complete
    until(lambda: server.spans_kept == 2)
    assert server.spans_failed == 0


def test_a_process_that_ends_in_an_outage_leaves_its_spans_to_the_next(otlp, environment):
    """One line says where they are, and the next run sends them."""
    otlp.is_away = True
    environment.setenv("DOTFLOW_FLUSH_TIMEOUT", "1")
    first = subprocess.run(
        program(), capture_output=True, text=True, timeout=60, check=True, cwd=Path.cwd()
    )
    assert "the next run, or `dotflow outbox flush`, sends them" in first.stderr
    assert "lost" not in first.stderr
    otlp.clear()
    environment.setenv("DOTFLOW_FLUSH_TIMEOUT", "30")
    subprocess.run(program(), timeout=60, check=True)
    assert each_once(otlp, 4)


def test_spans_that_were_kept_survive_a_kill(otlp, environment, servers, quiet):
    """What is kept is on disk: the next process delivers what a killed one had."""
    otlp.is_away = True
    killed = subprocess.Popen(
        program("""
            import time
            server.flush(0.1)
            while server.spans_kept < 2:
                time.sleep(0.01)
            print("kept", flush=True)
            sys.stdin.read()
        """),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    with killed:
        assert killed.stdout.readline() == "kept\n"
        killed.send_signal(signal.SIGKILL)
    otlp.clear()
    server = servers()
    run(server, quiet)
    assert server.flush(PATIENCE).complete
    assert each_once(otlp, 4)


def test_what_waits_can_be_sent_without_a_run(otlp, environment):
    """The command line has a relay for the endpoint of the environment."""
    otlp.is_away = True
    environment.setenv("DOTFLOW_FLUSH_TIMEOUT", "0.5")
    subprocess.run(program(), stderr=subprocess.DEVNULL, timeout=60, check=True)
    otlp.clear()
    [relay] = relays_from_environment()
    relay.adopt()
    result = relay.close(PATIENCE)
    assert (result.delivered, result.pending, result.complete) == (2, 0, True)
    assert each_once(otlp, 2)
    environment.setenv("OTEL_TRACES_EXPORTER", "console")
    assert relays_from_environment() == []
    environment.setenv("OTEL_TRACES_EXPORTER", "otlp")
    environment.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://[no-address")
    assert relays_from_environment() == []


def test_a_burst_over_the_queue_arrives_in_full(otlp, servers, monkeypatch):
    """What finds the queue of the batch processor full is kept, and sent later."""
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "16")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "8")
    otlp.hold()
    server = servers(endpoint=otlp.http_url)
    spans_of(server, 8)
    otlp.wait_for_request()
    spans_of(server, 1500, "more")
    otlp.let_go()
    assert server.flush(PATIENCE).complete
    assert each_once(otlp, 1508)
    assert server.spans_exported == 1508


def test_a_burst_that_the_process_ends_in_is_kept(otlp, servers, monkeypatch):
    """What was collected for the outbox is there too when time is over."""
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "16")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "8")
    otlp.hold()
    server = servers(endpoint=otlp.http_url)
    spans_of(server, 100)
    otlp.wait_for_request()
    assert not server.close(0).complete
    otlp.turn_away()
    server.tracer_provider  # noqa: B018 - opens it anew
    spans_of(server, 1, "later")
    # A batch that was under way may come twice: nobody knows what became of it.
    until(lambda: server.flush(1).complete and len({one.span_id for one in otlp.spans}) == 101)


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_close_keeps_its_deadline_before_a_collector_that_hangs(
    protocol, otlp, servers, quiet, caplog
):
    """The exporter would wait for ten seconds; what it had is kept."""
    otlp.hold()
    url = otlp.http_url if protocol == "http/protobuf" else otlp.grpc_url
    server = servers(endpoint=url, protocol=protocol)
    spans_of(server, 50)
    begin = time.monotonic()
    assert not server.close(1).complete
    assert time.monotonic() - begin < 6
    assert "the next run, or `dotflow outbox flush`, sends them" in caplog.text
    otlp.turn_away()
    run(server, quiet)
    until(lambda: server.flush(1).complete and len({one.span_id for one in otlp.spans}) == 52)


def test_spans_of_children_that_could_not_send_them_arrive(otlp, environment):
    """What the steps of a parallel run traced is kept by the children, and sent by the parent."""
    otlp.is_away = True
    parent = subprocess.Popen(
        program("""
            from opentelemetry import trace

            @action
            def traced():
                with trace.get_tracer("mine").start_as_current_span("mine"):
                    return 1

            parallel = DotFlow(config=config, name="parallel")
            parallel.task.add([traced, traced, traced])
            parallel.start(mode="parallel")
            print("ran", flush=True)
            sys.stdin.readline()
            print(server.flush(30).complete, flush=True)
        """),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env={**os.environ, "DOTFLOW_FLUSH_TIMEOUT": "1"},
    )  # fmt: skip
    with parent:
        assert parent.stdout.readline() == "ran\n"
        otlp.is_away = False
        parent.stdin.write("\n")
        parent.stdin.flush()
        assert parent.stdout.readline() == "True\n"
    assert parent.returncode == 0
    assert each_once(otlp, 2 + 1 + 3 + 3)
    by_id = {span.span_id: span for span in otlp.spans}
    parents = [by_id[span.parent_id].name for span in otlp.spans if span.name == "mine"]
    assert parents == ["traced"] * 3


def test_a_child_of_a_hanging_collector_keeps_what_it_has(otlp, environment):
    """A child that cannot even be told no ends in time, and its spans are there."""
    parent = subprocess.Popen(
        program("""
            from opentelemetry import trace

            @action
            def traced():
                with trace.get_tracer("mine").start_as_current_span("mine"):
                    return 1

            server.flush(30)
            print("first", flush=True)
            sys.stdin.readline()
            parallel = DotFlow(config=config, name="parallel")
            parallel.task.add([traced])
            parallel.start(mode="parallel")
            print("ran", flush=True)
            sys.stdin.readline()
            print(server.flush(30).complete, flush=True)
        """),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env={**os.environ, "DOTFLOW_FLUSH_TIMEOUT": "1"},
    )  # fmt: skip
    with parent:
        assert parent.stdout.readline() == "first\n"
        otlp.hold()
        parent.stdin.write("\n")
        parent.stdin.flush()
        assert parent.stdout.readline() == "ran\n"
        otlp.let_go()
        parent.stdin.write("\n")
        parent.stdin.flush()
        assert parent.stdout.readline() == "True\n"
    assert parent.returncode == 0
    # What the child was sending when its time was over may have come as well.
    assert Counter({span.span_id: span.name for span in otlp.spans}.values()) == {
        "etl": 1, "step": 1, "parallel": 1, "traced": 1, "mine": 1,
    }  # fmt: skip


def test_a_batch_that_is_never_taken_blocks_nobody(otlp, servers, caplog):
    """After three failures, while others were taken, it is refused and counted."""
    otlp.refuses = "poison"
    server = servers(endpoint=otlp.http_url)
    spans_of(server, 1, "poison")
    server.flush(60)
    until(lambda: server.spans_kept == 1)
    for index in range(5):
        spans_of(server, 1, f"good{index}-")
        until(lambda: server.flush(1) and len(otlp.spans) == index + 1)  # noqa: B023 - at once
    until(lambda: server.flush(1).complete)
    assert each_once(otlp, 5)
    assert (server.spans_exported, server.spans_failed, server.spans_kept) == (5, 1, 0)
    assert f"1 span is lost: OTLP endpoint {otlp.http_url}/v1/traces answers 400." in caplog.text


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_a_span_that_is_never_taken_costs_no_other(protocol, otlp, servers, caplog):
    """A batch that is refused goes in halves, until the span that is at fault is alone."""
    otlp.refuses = "poison"
    url = otlp.grpc_url if protocol == "grpc" else otlp.http_url
    server = servers(endpoint=url, protocol=protocol)
    tracer = server.tracer_provider.get_tracer("app")
    for number in range(100):
        tracer.start_span("poison" if number == 37 else f"good{number}-").end()
    until(lambda: server.flush(1).complete)
    assert each_once(otlp, 99)
    assert (server.spans_exported, server.spans_failed, server.spans_kept) == (99, 1, 0)
    assert "1 span is lost" in caplog.text


def test_an_endpoint_that_refuses_everything_costs_no_span(otlp, servers):
    """It finds no fault with a span: once it is mended, all arrive."""
    otlp.refuses = ""  # which is in everything
    server = servers(endpoint=otlp.http_url)
    spans_of(server, 100, "good")
    for _ in range(10):
        server.flush(0.1)
    otlp.refuses = None
    until(lambda: server.flush(1).complete)
    assert each_once(otlp, 100)
    assert (server.spans_exported, server.spans_failed, server.spans_kept) == (100, 0, 0)


def test_no_credential_is_written_down(otlp, servers, quiet, monkeypatch, caplog, tmp_path):
    """Headers, and user and password in the URL, are in no file and no line of the log."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20sesame")
    otlp.is_away = True
    server = servers(endpoint=otlp.http_url.replace("//", "//user:open-sesame@"))
    run(server, quiet)
    assert not server.flush(1).complete
    until(lambda: server.spans_kept == 2)
    files = files_of_ours(tmp_path / "state")
    assert any(b"dotflow.workflow.id" in path.read_bytes() for path in files)
    server.close(0)
    files += [path for path in (tmp_path / "state").rglob("*") if path.is_file()]
    written = b"".join(path.read_bytes() for path in set(files) if path.exists())
    assert b"sesame" not in written
    assert otlp.http_url.encode() in written
    assert "sesame" not in "".join(
        one.getMessage() for one in caplog.records if one.name == "dotflow"
    )


@pytest.mark.parametrize(
    ("settings", "variables", "expected"),
    [
        (OtlpSettings(), {}, "http://localhost:4318/v1/traces"),
        (OtlpSettings(protocol="grpc"), {}, "http://localhost:4317"),
        (OtlpSettings("http://u:p@h:1?key=secret"), {}, "http://h:1"),
        (OtlpSettings("http://h:1"), {}, "http://h:1/v1/traces"),
        (OtlpSettings("https://h/own/path?key=secret"), {}, "https://h/own/path"),
        (OtlpSettings("user:p@h:4317", "grpc"), {}, "h:4317"),
        (OtlpSettings(), {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h:1/"}, "http://h:1/v1/traces"),
        (OtlpSettings(), {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://h:1/x"}, "http://h:1/x"),
    ],
)
def test_an_endpoint_has_one_name_without_credentials(settings, variables, expected, monkeypatch):
    """Processes find each other's spans by it, and it is in files and logs."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert address(settings) == expected


def test_nothing_is_there_before_it_is_needed(otlp, servers, quiet, tmp_path):
    """Where the collector takes all, no span is left in a file; where it does not, they are."""

    def spans_in_files():
        state = tmp_path / "state"
        files = [path for path in state.rglob("*") if path.is_file()]
        return [one for one in files if b"dotflow.workflow.id" in one.read_bytes()]

    server = servers(endpoint=otlp.http_url)
    run(server, quiet)
    assert server.close(PATIENCE).complete
    assert each_once(otlp, 2)
    assert not spans_in_files()
    server = servers(endpoint=otlp.http_url)
    otlp.is_away = True
    run(server, quiet)
    assert not server.flush(1).complete
    until(lambda: server.spans_kept == 2)
    assert spans_in_files()
    otlp.is_away = False
    assert server.close(PATIENCE).complete
    assert each_once(otlp, 4)
    assert not spans_in_files()


def test_only_what_an_otlp_exporter_does_not_take_is_kept(monkeypatch):
    """An exporter that writes to the console has a plain batch processor."""
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp,console")
    made = span_processors(OtlpSettings(), SpanCounts())
    for processor in made:
        processor.shutdown()
    assert [isinstance(one, OtlpProcessor) for one in made] == [True, False]


def test_what_is_not_sampled_waits_nowhere(otlp, monkeypatch):
    """Sampling decides what reaches OTLP, also by way of the outbox."""
    counts = SpanCounts()
    settings = OtlpSettings(otlp.http_url)
    [processor] = span_processors(settings, counts)
    provider = TracerProvider(sampler=ALWAYS_OFF)
    provider.add_span_processor(processor)
    provider.get_tracer("test").start_span("one").end()
    assert processor.waiting == 0
    provider.shutdown()
    assert counts.failed == 0


def test_a_span_that_cannot_be_encoded_costs_no_other(otlp, servers):
    """One with a name that UTF-8 cannot say is lost and counted; its neighbours arrive."""
    otlp.is_away = True
    server = servers(endpoint=otlp.http_url)
    tracer = server.tracer_provider.get_tracer("test")
    for name in ("one", "\ud800", "two"):
        tracer.start_span(name).end()
    server.flush(0.1)
    until(lambda: server.spans_kept == 2)
    otlp.is_away = False
    assert server.flush(PATIENCE).complete
    assert sorted(span.name for span in otlp.spans) == ["one", "two"]
    assert server.spans_failed == 1


def test_a_child_without_a_disk_sends_what_it_can(otlp, environment):
    """What nobody could adopt is tried by the child itself; what is lost is said to be."""
    environment.setenv("DOTFLOW_OUTBOX", "memory")
    otlp.is_away = True
    done = subprocess.run(
        program("""
            from opentelemetry import trace

            @action
            def traced():
                with trace.get_tracer("mine").start_as_current_span("mine"):
                    return 1

            flow = DotFlow(config=config, name="parallel")
            flow.task.add([traced])
            flow.start(mode="parallel")
            assert flow.result_storage() == [1]
        """),
        capture_output=True, text=True, timeout=60, check=True,
        env={**os.environ, "DOTFLOW_FLUSH_TIMEOUT": "0.5"},
    )  # fmt: skip
    lines = [line for line in done.stderr.splitlines() if "are lost" in line]
    assert len(lines) == 2  # the child's, and the parent's own


def test_an_applications_provider_may_end_before_or_after(otlp, servers, quiet):
    """Spans that our exporter on it could not deliver are kept, whoever shuts it down."""
    otlp.is_away = True
    provider = TracerProvider()
    server = servers(endpoint=otlp.http_url, tracer_provider=provider)
    run(server, quiet)
    provider.shutdown()
    assert server.spans_kept == 2
    run(server, quiet)  # of which nobody takes a span any more
    assert not server.close(0).complete
    otlp.is_away = False
    again = servers(endpoint=otlp.http_url, tracer_provider=TracerProvider())
    run(again, quiet)
    assert again.flush(PATIENCE).complete
    # What was under way at the close may come twice.
    assert len({span.span_id for span in otlp.spans}) == 4
    again.tracer_provider.shutdown()
