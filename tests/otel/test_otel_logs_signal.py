"""Exceptions as span events, as log records, or as both; and what else says that a run failed."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading

import pytest
from opentelemetry._logs import SeverityNumber, _internal
from opentelemetry.sdk import _logs as sdk
from opentelemetry.sdk._logs import export

from dotflow import DotFlow, action
from dotflow.otel.spans import exceptions

TIMEOUT = 60  # seconds that nothing here takes


class Leaving(SystemExit):
    pass


class ShopError(Exception):
    """An error of the program's own."""


tries = {}
released = threading.Event()


@action
def broken():
    raise ShopError("the shelf is empty")


@action(retry=3, retry_delay=0.01)
def third_time():
    tries["n"] = tries.get("n", 0) + 1
    if tries["n"] < 3:
        raise ShopError(f"try {tries['n']}")
    return tries["n"]


@action(retry=2, retry_delay=0.01)
def never():
    raise ShopError("not once")


@action(timeout=0.05)
def slow():
    released.wait(TIMEOUT)


@action
def plain():
    return 1


class InMemory:
    """Where log records go; the SDK's own has had two names."""

    def __init__(self):
        name = "InMemoryLogRecordExporter"
        cls = getattr(export, name, None) or export.InMemoryLogExporter
        processor = getattr(export, "SimpleLogRecordProcessor", None)
        self._exporter = cls()
        self.provider = sdk.LoggerProvider()
        self.provider.add_log_record_processor(processor(self._exporter))

    @property
    def records(self):
        return [one.log_record for one in self._exporter.get_finished_logs()]


@pytest.fixture
def logs(monkeypatch):
    """A program's logger provider, for one test."""
    made = InMemory()
    monkeypatch.setattr(_internal, "_LOGGER_PROVIDER", made.provider)
    yield made
    made.provider.shutdown()


def run(server, quiet, steps, mode="sequential", **kwargs):
    tries.clear()
    released.clear()
    flow = DotFlow(config=quiet(server), name="etl")
    for step in steps:
        flow.task.add(step, **kwargs)
    try:
        flow.start(mode=mode, keep_going=True)
    finally:
        released.set()
        server.flush(60)
    return flow


def events(span):
    return [name for name, _ in span.events]


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["sequential", "parallel"])
@pytest.mark.parametrize(
    ("opt_in", "has_events", "has_logs"),
    [
        (None, True, False),
        ("", True, False),
        ("something/else", True, False),
        ("logs", False, True),
        (" LOGS , code", False, True),
        ("logs/dup", True, True),
        ("logs,logs/dup", True, True),
    ],
)
def test_the_variable_says_how_exceptions_are_told(
    opt_in, has_events, has_logs, mode, logs, otlp, servers, quiet, monkeypatch
):
    """As events of spans, as log records in their place, or as both; the status is the same."""
    if opt_in is not None:
        monkeypatch.setenv("OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN", opt_in)
    server = servers(endpoint=otlp.http_url)
    run(server, quiet, [broken, plain], mode)
    span = next(one for one in otlp.wait_for(3) if one.name == "broken")
    assert events(span) == ["exception"] * has_events
    assert (span.status, span.message) == (2, "ShopError: the shelf is empty")
    assert span.attributes["error.type"] == f"{__name__}.ShopError"
    assert len(logs.records) == has_logs
    for record in logs.records:
        assert record.event_name == "dotflow.task.exception"
        assert (record.severity_number, record.severity_text) == (SeverityNumber.ERROR, "ERROR")
        assert format(record.trace_id, "032x") == span.trace_id
        assert format(record.span_id, "016x") == span.span_id
        assert span.start <= record.timestamp <= span.end
        assert record.body == "the shelf is empty"
        assert record.attributes["exception.type"] == f"{__name__}.ShopError"
        assert record.attributes["exception.message"] == "the shelf is empty"
        assert 'raise ShopError("the shelf is empty")' in record.attributes["exception.stacktrace"]
        if has_events:
            assert dict(record.attributes) == span.events[0][1]


def test_each_try_is_told_once_on_the_innermost_span(logs, otlp, servers, quiet, monkeypatch):
    """What is tried again is a warning, what failed the task an error; a saved task is none."""
    monkeypatch.setenv("OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN", "logs/dup")
    server = servers(endpoint=otlp.http_url)
    run(server, quiet, [third_time, never])
    spans = otlp.wait_for(8)
    attempts = {span.span_id: span for span in spans if span.name == "attempt"}
    said = [(record.severity_text, record.body) for record in logs.records]
    assert said == [("WARN", "try 1"), ("WARN", "try 2"), ("WARN", "not once"),
                    ("ERROR", "not once")]  # fmt: skip
    told = [attempts[format(record.span_id, "016x")] for record in logs.records]
    assert [events(span) for span in told] == [["exception"]] * 4
    assert all(span.status == 2 and span.attributes["error.type"] for span in told)
    tasks = {span.name: span for span in spans if span.name != "attempt"}
    assert [events(span) for span in tasks.values()] == [[]] * 3
    saved = tasks["third_time"]
    assert (saved.status, "error.type" in saved.attributes) == (0, False)
    assert tasks["never"].attributes["error.type"] == f"{__name__}.ShopError"


@pytest.mark.parametrize("sampler", ["always_on", "always_off"])
def test_a_log_record_does_not_depend_on_the_sampler(
    sampler, logs, otlp, servers, quiet, monkeypatch
):
    """Logs are not sampled with traces; the record's flags say whether its span is there."""
    monkeypatch.setenv("OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN", "logs")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    server = servers(endpoint=otlp.http_url)
    flow = run(server, quiet, [broken, never])
    assert len(logs.records) == 3
    for record in logs.records:
        assert record.trace_id == flow.workflow_id.int
        assert record.trace_flags.sampled == (sampler == "always_on")


def test_a_timeout_is_told_so(logs, otlp, servers, quiet, monkeypatch):
    """`error.type` is `timeout`; the exception has the name of its class."""
    monkeypatch.setenv("OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN", "logs")
    server = servers(endpoint=otlp.http_url)
    run(server, quiet, [slow])
    spans = {span.name: span for span in otlp.wait_for(2)}
    assert spans["slow"].attributes["error.type"] == "timeout"
    assert spans["etl"].attributes["error.type"] == "timeout"
    [record] = logs.records
    assert "Timeout" in record.attributes["exception.type"]


@pytest.mark.parametrize("provider", ["none", "no-op", "raises"])
def test_without_somebody_to_take_them_nothing_is_lost(
    provider, otlp, servers, quiet, monkeypatch, caplog
):
    """Exceptions are span events then, and one line says so."""
    from opentelemetry._logs import NoOpLoggerProvider

    class Raises(NoOpLoggerProvider.__base__):
        def get_logger(self, *args, **kwargs):
            raise RuntimeError("not today")

    given = {"none": lambda: None, "no-op": NoOpLoggerProvider, "raises": Raises}[provider]()
    monkeypatch.setattr(_internal, "_LOGGER_PROVIDER", given)
    monkeypatch.setenv("OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN", "logs")
    exceptions._complain.cache_clear()
    server = servers(endpoint=otlp.http_url)
    run(server, quiet, [broken, broken])
    spans = [span for span in otlp.wait_for(3) if span.name == "broken"]
    assert [events(span) for span in spans] == [["exception"]] * 2
    lines = [one for one in caplog.records if "OPT_IN" in one.getMessage()]
    assert len(lines) == 1


def test_log_records_reach_an_otlp_endpoint():
    """With the program's own logger provider and exporter they leave it, on every release."""
    program = textwrap.dedent("""
        import http.server, threading
        from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

        came = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                came.append(ExportLogsServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        web = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=web.serve_forever, daemon=True).start()

        from opentelemetry import _logs
        from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
        from opentelemetry.sdk._logs import LoggerProvider
        from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
        from opentelemetry.sdk.resources import Resource

        provider = LoggerProvider(resource=Resource({"service.name": "theirs"}))
        url = f"http://127.0.0.1:{web.server_port}/v1/logs"
        provider.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(url)))
        _logs.set_logger_provider(provider)

        from dotflow import Config, DotFlow, action
        from dotflow.otel import ServerOtel

        @action
        def broken():
            raise KeyError("no such thing")

        flow = DotFlow(config=Config(server=ServerOtel()))
        flow.task.add(broken)
        flow.start()
        provider.shutdown()
        [sent] = [
            (resource, record)
            for request in came
            for resource in request.resource_logs
            for scope in resource.scope_logs
            for record in scope.log_records
        ]
        resource, record = sent
        assert record.event_name == "dotflow.task.exception", record
        assert record.trace_id.hex() == flow.workflow_id.hex
        assert record.span_id
        assert {one.key for one in record.attributes} == {
            "exception.type", "exception.message", "exception.stacktrace"
        }
        assert resource.resource.attributes[0].value.string_value == "theirs"
        print("all there")
    """)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        env={**os.environ, "OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN": "logs"},
        check=False, timeout=120, capture_output=True, text=True,
    )  # fmt: skip
    assert "all there" in done.stdout, done.stderr


@pytest.mark.parametrize("opt_in", [None, "logs"])
@pytest.mark.parametrize("mode", ["sequential", "background"])
def test_a_callback_that_ends_the_program_is_what_failed_the_run(
    mode, opt_in, logs, otlp, servers, quiet, monkeypatch
):
    """The run's span has its class and its words, and tells of it once; the task is no failure."""
    if opt_in:
        monkeypatch.setenv("OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN", opt_in)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)  # of a background run

    def callback(task):
        raise Leaving("nobody to tell")

    server = servers(endpoint=otlp.http_url)
    flow = DotFlow(config=quiet(server), name="etl")
    flow.task.add(plain, callback=callback)
    if mode == "background":
        flow.start(mode=mode).thread.join(TIMEOUT)
    else:
        with pytest.raises(Leaving):
            flow.start(mode=mode)
    server.flush(60)
    spans = {span.name: span for span in otlp.wait_for(2)}
    root, task = spans["etl"], spans["plain"]
    assert (root.status, root.message) == (2, "Leaving: nobody to tell")
    assert root.attributes["error.type"] == f"{__name__}.Leaving"
    assert (task.status, events(task)) == (0, [])
    assert events(root) == ([] if opt_in else ["exception"])
    assert [record.event_name for record in logs.records] == (
        ["dotflow.workflow.exception"] if opt_in else []
    )


def test_a_task_that_failed_first_is_what_failed_the_run(otlp, servers, quiet):
    """A callback that ends the program over a failed task does not hide it."""

    def callback(task):
        raise Leaving("and then this")

    server = servers(endpoint=otlp.http_url)
    with pytest.raises(Leaving):
        run(server, quiet, [broken], callback=callback)
    root = next(span for span in otlp.wait_for(2) if span.name == "etl")
    assert root.attributes["error.type"] == f"{__name__}.ShopError"


def test_a_server_of_upstreams_make_needs_no_new_method(quiet):
    """A Server with the four methods of old runs a workflow whose callback ends the program."""
    from dotflow.abc.server import Server

    class Old(Server):
        def __init__(self):
            self.said = []

        def create_workflow(self, workflow):
            self.said.append("create_workflow")

        def update_workflow(self, workflow, status=""):
            self.said.append(status)

        def create_task(self, task):
            self.said.append("create_task")

        def update_task(self, task):
            self.said.append(task.status)

    def callback(task):
        raise Leaving("nobody to tell")

    old = Old()
    config = quiet(old)
    flow = DotFlow(config=config)
    flow.task.add(plain, callback=callback)
    with pytest.raises(Leaving):
        flow.start()
    assert old.said[-1] == "Failed"
    assert not config.guard.failures
