"""What steps log leaves by OTLP, once, with the span that was current, also from children."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys

import pytest
from opentelemetry._logs import _internal
from opentelemetry.sdk import _logs as sdk

from dotflow import DotFlow, action
from dotflow.cli.setup import Command
from dotflow.otel.logs import installed
from dotflow.otel.logs.handler import StepHandler

shop = logging.getLogger("shop.steps")


@action
def sells():
    shop.warning("sold %d", 3, extra={"order": 7, "api_key": "k-1", "parts": {"a": [1, None]}})
    return 3


@action
def fails():
    try:
        raise KeyError("no shelf")
    except KeyError:
        shop.exception("cannot sell with token=t-1")
    raise ValueError("closed")


@action(retry=2, retry_delay=0)
def tries_again():
    shop.error("attempt")
    raise ValueError("never")


@action
def is_killed():
    shop.critical("last words")
    os.kill(os.getpid(), signal.SIGKILL)


def run(server, quiet, steps, **options):
    flow = DotFlow(config=quiet(server), name="shop")
    for step in steps:
        flow.task.add(step)
    flow.start(keep_going=True, **options)
    assert server.flush(60).complete
    return flow


def outbox(*words):
    return Command(["outbox", *words]).run()


def step_handlers():
    return [one for one in logging.root.handlers if isinstance(one, StepHandler)]


def test_a_value_that_raises_beyond_exception_costs_its_record_alone():
    """Whatever a logged value raises in its text, the step that logged it goes on."""

    class Odd:
        def __str__(self):
            raise GeneratorExit

    record = logging.makeLogRecord({"msg": "%s", "args": (Odd(),), "levelno": logging.INFO})
    StepHandler().emit(record)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [{"mode": "sequential"}, {"mode": "parallel"}, {"mode": "parallel", "start_method": "spawn"}],
    ids=["here", "forked", "spawned"],
)
def test_each_record_leaves_once_with_its_span(options, otlp, servers, quiet):
    """Words, severity, attributes and ids are there, whichever process the step runs in."""
    steps = [sells, fails, tries_again]
    if options["mode"] == "parallel":
        steps.append(is_killed)
    shop.warning("before the run")
    server = servers(endpoint=otlp.http_url, logs=True)
    flow = run(server, quiet, steps, **options)
    found = {}
    for record in otlp.wait_for_records(len(steps) + 1):
        found.setdefault(record.body, []).append(record)
    spans = {span.span_id: span for span in otlp.wait_for(len(steps) + 3)}
    assert {body: len(records) for body, records in found.items()} == {
        "sold 3": 1, "cannot sell with token=***": 1, "attempt": 2,
        **({"last words": 1} if is_killed in steps else {}),
    }  # fmt: skip
    for record in otlp.records:
        assert record.trace_id == flow.workflow_id.hex
        assert (record.scope, record.flags & 1) == ("shop.steps", 1)
        assert spans[record.span_id].start <= record.at
        assert record.resource["service.name"] == spans[record.span_id].resource["service.name"]
    assert {spans[one.span_id].name for one in found["attempt"]} == {"attempt"}
    assert len({one.span_id for one in found["attempt"]}) == 2
    [sold] = found["sold 3"]
    assert spans[sold.span_id].name == "sells"
    assert (sold.severity, sold.severity_text) == (13, "WARN")
    assert (sold.attributes["order"], sold.attributes["api_key"]) == (7, "***")
    assert sold.attributes["code.function.name"] == "sells"
    assert sold.attributes["code.file.path"] == __file__
    [failed] = found["cannot sell with token=***"]
    assert failed.attributes["exception.type"] == "KeyError"
    assert "no shelf" in failed.attributes["exception.message"]
    assert 'raise KeyError("no shelf")' in failed.attributes["exception.stacktrace"]
    if is_killed in steps:
        [last] = found["last words"]
        assert (last.severity, last.severity_text) == (21, "FATAL")
        assert spans[last.span_id].name == "is_killed"


@pytest.mark.parametrize(
    ("variables", "argument", "leaves"),
    [
        ({}, None, False),
        ({"OTEL_LOGS_EXPORTER": "otlp"}, None, True),
        ({"OTEL_LOGS_EXPORTER": "otlp"}, False, False),
        ({}, True, True),
        ({"OTEL_LOGS_EXPORTER": "none"}, True, False),
        ({"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "{}/v1/logs"}, None, True),
        ({"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "{}/v1/logs", "OTEL_LOGS_EXPORTER": "none"}, None,
         False),
        ({"OTEL_SDK_DISABLED": "true"}, True, False),
    ],
)  # fmt: skip
def test_records_leave_only_where_that_is_asked_for(
    variables, argument, leaves, otlp, servers, quiet, monkeypatch
):
    """An endpoint for all signals says where to, and not that what steps log is to go there."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", otlp.http_url)
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(otlp.http_url))
    server = servers(logs=argument)
    run(server, quiet, [sells])
    assert len(step_handlers()) == leaves
    assert [record.body for record in otlp.records] == ["sold 3"] * leaves
    server.close(60)
    assert not step_handlers()


def test_over_grpc(otlp, servers, quiet):
    """The protocol is that of the spans."""
    run(servers(endpoint=otlp.grpc_url, protocol="grpc", logs=True), quiet, [sells])
    assert [record.body for record in otlp.wait_for_records(1)] == ["sold 3"]


def test_two_servers_make_no_record_twice(otlp, servers, quiet, monkeypatch):
    """One handler and one exporter serve all that send to one address."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", otlp.http_url)
    first, second = servers(endpoint=otlp.http_url, logs=True), servers(logs=True)
    run(first, quiet, [sells])
    run(second, quiet, [sells])
    assert len(step_handlers()) == 1
    first.close(60)
    run(second, quiet, [sells])
    assert [record.body for record in otlp.records] == ["sold 3"] * 3


@pytest.mark.parametrize("comes", ["before", "later"])
def test_a_handler_of_the_application_is_left_alone(comes, otlp, servers, quiet):
    """Where it has one, nothing of ours hands records on, also if it comes after ours."""

    class Kept(logging.Handler):
        emitted = 0

        def emit(self, record):
            self.emitted += 1

    Kept.__module__ = "opentelemetry.sdk._logs._internal"
    handler, server = Kept(), servers(endpoint=otlp.http_url, logs=True)
    if comes == "later":
        run(server, quiet, [sells])
        assert len(otlp.records) == 1
    shop.addHandler(handler)
    try:
        run(server, quiet, [sells])
    finally:
        shop.removeHandler(handler)
    assert handler.emitted == 1
    assert len(otlp.records) == (comes == "later")
    assert len(step_handlers()) == (comes == "later")


class Seeing(sdk.LogRecordProcessor):
    """What an application does with its log records."""

    def __init__(self):
        self.bodies = []
        self.provider = sdk.LoggerProvider(shutdown_on_exit=False)
        self.provider.add_log_record_processor(self)

    def on_emit(self, log_record):
        self.bodies.append(log_record.log_record.body)

    def shutdown(self):
        pass

    def force_flush(self, timeout_millis=0):
        return True


def test_a_provider_of_the_application_gets_the_records(otlp, servers, quiet, monkeypatch):
    """Where it has a provider and no handler, the records go to it, and by its exporters alone."""
    theirs = Seeing()
    monkeypatch.setattr(_internal, "_LOGGER_PROVIDER", theirs.provider)
    run(servers(endpoint=otlp.http_url, logs=True), quiet, [sells])
    assert theirs.bodies == ["sold 3"]
    assert not otlp.records


@pytest.mark.parametrize("whose", ["instrumentation", "SDK"])
@pytest.mark.filterwarnings("ignore:.*LoggingHandler.*:DeprecationWarning")
def test_opentelemetrys_own_handlers_are_known(whose, otlp, servers, quiet, monkeypatch):
    """That of its instrumentation and that of its SDK hand on each record, and ours none."""
    name = "opentelemetry.instrumentation.logging.handler"
    module = sdk if whose == "SDK" else pytest.importorskip(name)
    theirs = Seeing()
    handler = module.LoggingHandler(logger_provider=theirs.provider)
    monkeypatch.setattr(logging.root, "handlers", [*logging.root.handlers, handler])
    run(servers(endpoint=otlp.http_url, logs=True), quiet, [sells])
    assert theirs.bodies == ["sold 3"]
    assert not otlp.records
    assert not step_handlers()


def test_a_step_that_logs_without_end_fills_no_disk(otlp, servers, quiet, monkeypatch):
    """A child writes as much as all run logs may take, and leaves out the rest."""
    monkeypatch.setenv("DOTFLOW_OUTBOX_MAX_BYTES", "50000")

    @action
    def babbles():
        for number in range(200):
            shop.warning("%d %s", number, "x" * 1000)

    run(servers(endpoint=otlp.http_url, logs=True), quiet, [babbles], mode="parallel")
    bodies = [record.body for record in otlp.records]
    assert 20 < len(bodies) < 60
    assert [int(body.split()[0]) for body in bodies] == list(range(len(bodies)))


def test_an_outage_loses_nothing_and_makes_no_loop(otlp, servers, quiet):
    """Records wait while the endpoint takes none; what is logged of that is not sent there."""
    otlp.is_away = True
    server = servers(endpoint=otlp.http_url, logs=True)
    flow = DotFlow(config=quiet(server), name="shop")
    flow.task.add(sells)
    flow.start()
    assert not server.flush(0.3).complete
    assert not otlp.records
    otlp.is_away = False
    assert server.flush(60).complete
    assert [record.body for record in otlp.records] == ["sold 3"]


def test_the_command_line_shows_and_sends_them(otlp, servers, quiet, monkeypatch, capsys):
    """Log records that wait are counted as such, apart from spans, and a flush sends them."""
    otlp.is_away = True
    server = servers(endpoint=otlp.http_url, logs=True)
    flow = DotFlow(config=quiet(server), name="shop")
    flow.task.add(sells)
    flow.start()
    server.close(0.2)
    name = f"OTLP endpoint for logs {otlp.http_url}/v1/logs"
    assert outbox("status") == 0
    assert f"{name}: 1 log record wait" in capsys.readouterr().out
    otlp.is_away = False
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", otlp.http_url)
    assert outbox("flush") == 0
    assert "1 log record" in capsys.readouterr().out
    assert [record.body for record in otlp.records] == ["sold 3"]


def test_what_a_server_leaves_the_next_one_sends(otlp, servers, quiet):
    """Records that had no time are in the run log, and leave from there."""
    otlp.is_away = True
    first = servers(endpoint=otlp.http_url, logs=True)
    flow = DotFlow(config=quiet(first), name="shop")
    flow.task.add(fails)
    flow.start()
    assert not first.close(0.2).complete
    otlp.is_away = False
    second = servers(endpoint=otlp.http_url, logs=True)
    run(second, quiet, [sells])
    second.flush(60)
    found = {record.body: record for record in otlp.wait_for_records(2)}
    assert sorted(found) == ["cannot sell with token=***", "sold 3"]
    assert found["cannot sell with token=***"].trace_id == flow.workflow_id.hex
    assert "exception.stacktrace" in found["cannot sell with token=***"].attributes


def test_python_shows_what_it_would_without_us(otlp, servers, quiet, monkeypatch, capsys):
    """A record that no other handler gets is shown as Python shows one without any handler."""
    monkeypatch.setattr(logging.root, "handlers", [])
    run(servers(endpoint=otlp.http_url, logs=True), quiet, [sells])
    assert "sold 3" in capsys.readouterr().err
    assert installed._installed._users == 1


def test_whatever_is_logged_arrives(otlp, servers, quiet):
    """Values that OTLP or JSON have not are said as text, and what is too large is cut."""

    class Odd:
        def __str__(self):
            return "odd"

    @action
    def odd():
        shop.error(
            "x" * 200_000,
            extra={
                "huge": 2**70, "none": None, "nan": float("nan"), "raw": b"\xff\x00", "odd": Odd(),
                "half": "\ud800", "deep": [[[[[[1]]]]]], "otel.event.name": "shop.odd",
                "many": list(range(1000)),
            },
        )  # fmt: skip

    run(servers(endpoint=otlp.http_url, logs=True), quiet, [odd])
    [record] = otlp.wait_for_records(1)
    assert record.event_name == "shop.odd"
    assert set(record.body) == {"x"}
    assert len(record.body) <= 2**16
    assert record.attributes["huge"] == str(2**70)
    assert record.attributes["odd"] == "odd"
    assert record.attributes["nan"] == "nan"
    assert record.attributes["half"] == "\ufffd"
    assert len(record.attributes["many"].values) == 128


KILLED = """
import logging, os, signal, sys, time
from dotflow import Config, DotFlow, action
from dotflow.otel import ServerOtel
from dotflow.providers import LogDefault

log = logging.getLogger("shop")

@action
def says():
    for number in range(200):
        log.warning("number %d", number)
    os.kill(os.getppid(), signal.SIGKILL)  # the program first
    os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    flow = DotFlow(config=Config(server=ServerOtel(), log=LogDefault(level="CRITICAL")))
    flow.task.add(says)
    log.warning("too early")
    flow.start(mode="parallel", start_method=sys.argv[1])
"""


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_nothing_is_lost_where_the_program_is_killed_with_its_child(
    method, otlp, monkeypatch, tmp_path
):
    """The next process sends what both have logged and not sent; each record arrives once."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", otlp.http_url)
    monkeypatch.setenv("OTEL_LOGS_EXPORTER", "otlp")
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    otlp.is_away = True  # of what was taken and not yet noted nobody could know
    done = subprocess.run(
        [sys.executable, str(script), method], capture_output=True, timeout=120, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    otlp.clear()
    assert outbox("flush", "--timeout", "60") == 0
    bodies = [record.body for record in otlp.wait_for_records(200)]
    assert sorted(bodies) == sorted(f"number {number}" for number in range(200))
    assert len({(record.trace_id, record.span_id) for record in otlp.records}) == 1
    assert len(otlp.records[0].span_id) == 16


def test_what_is_logged_of_the_delivery_is_not_delivered(otlp, servers, quiet):
    """At DEBUG the libraries that send log each call: that makes no further one."""
    before = logging.root.level
    logging.root.setLevel(logging.DEBUG)
    try:
        server = servers(endpoint=otlp.http_url, logs=True)
        for _ in range(3):
            run(server, quiet, [sells])
    finally:
        logging.root.setLevel(before)
    assert [record.body for record in otlp.records] == ["sold 3"] * 3


def test_exceptions_as_log_records_go_the_same_way(otlp, servers, quiet, monkeypatch):
    """Where the conventions' variable asks for them they need no provider of the program's."""
    monkeypatch.setenv("OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN", "logs")
    server = servers(endpoint=otlp.http_url, logs=True, set_global=True)
    run(server, quiet, [fails])
    events = {record.event_name: record for record in otlp.wait_for_records(2)}
    assert set(events) == {"", "dotflow.task.exception"}
    told = events["dotflow.task.exception"]
    assert told.attributes["exception.message"] == "closed"
    assert (told.trace_id, told.span_id) == (events[""].trace_id, events[""].span_id)
