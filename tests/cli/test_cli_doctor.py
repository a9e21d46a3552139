"""`dotflow doctor`: set-ups that are broken, each named with its remedy, on real sockets."""

from __future__ import annotations

import json
import os
import re
import socket
import sys
from pathlib import Path

import pytest
import requests
import trustme
from support.certificates import certified
from support.fault_server import TOKEN, FaultServer, Handler, status
from support.hostile_server import HostileServer, hang, request, say
from support.otlp import OtlpReceiver

from dotflow import Config, DotFlow, action
from dotflow.api import ApiServer
from dotflow.cli.doctor import configured, trying
from dotflow.cli.setup import Command
from dotflow.providers import ServerDefault
from dotflow.runlog import files, writer

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
TRACES = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
PROTOCOL = "OTEL_EXPORTER_OTLP_PROTOCOL"
CANARY = "canary-4711"
TAKEN = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nDate: %s\r\n\r\n"

PROGRAM = f"""
from dotflow import Config, DotFlow
from dotflow.otel import ServerOtel

def pipeline():
    print("made")
    return DotFlow(config=Config(server=ServerOtel(
        base_url={{api!r}}, user_token={TOKEN!r}, endpoint={{otlp!r}}, service_name="etl",
    )))

def broken():
    raise RuntimeError("no password={CANARY} here")
"""


OWN_PROVIDER = """
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from dotflow import Config, DotFlow
from dotflow.otel import ServerOtel

def pipeline():
    provider = TracerProvider(shutdown_on_exit=False)
    for url in ({good!r}, {good!r}, {bad!r}, None):
        provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(url, timeout=1)))
    trace.set_tracer_provider(provider)
    return DotFlow(config=Config(server=ServerOtel()))
"""


@pytest.fixture(scope="module")
def otlp():
    with OtlpReceiver() as receiver:
        yield receiver


@pytest.fixture
def api(tmp_path):
    with ApiServer(f"sqlite:///{tmp_path}/records.db", TOKEN) as server:
        yield server


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def fake():
    server = FaultServer()
    yield server
    server.close()


@pytest.fixture
def setup(monkeypatch, otlp):
    """Sets variables; what a test names wins over what is well."""
    otlp.clear()
    monkeypatch.setattr(trying, "SECONDS", 60.0)

    def set_up(**variables):
        for name, value in {ENDPOINT: otlp.http_url, "DOTFLOW_SERVER": "otel", **variables}.items():
            monkeypatch.setenv(name, value)

    return set_up


@pytest.fixture
def doctor(capsys):
    """Runs `dotflow doctor --json`, and returns the object."""

    def look(*words):
        found = Command(["doctor", "--json", *words]).run()
        page = capsys.readouterr().out
        assert CANARY not in page
        assert TOKEN not in page
        report = json.loads(page)
        assert found == (0 if report["ok"] else 1)
        assert report["ok"] is not bool(report["faults"])
        assert all(one["remedy"] for one in report["faults"])
        return report

    return look


def the_fault(report):
    """The one fault, as one text."""
    [one] = report["faults"]
    return f"{one['about']}: {one['problem']} -> {one['remedy']}"


def sources(report):
    return {(one["about"], one["name"]): (one["value"], one["source"], one["variable"])
            for one in report["settings"]}  # fmt: skip


def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def test_all_is_well(doctor, setup, otlp, api, capsys):
    """Each destination is reached; the span is there, the records are not any more."""
    setup(DOTFLOW_SERVER_URL=api.url, DOTFLOW_USER_TOKEN=TOKEN, SERVER_BASE_URL=api.url,
          SERVER_USER_TOKEN=TOKEN)  # fmt: skip
    report = doctor()
    assert report["faults"] == []
    assert [(one["kind"], one["ok"]) for one in report["destinations"]] == [
        ("traces", True), ("records", True), ("records", True), ("state", True),
    ]  # fmt: skip
    assert [span.name for span in otlp.spans] == ["dotflow doctor"]
    listed = requests.get(f"{api.url}/workflows", headers={"X-User-Token": TOKEN}, timeout=60)
    assert listed.json()["total"] == 0
    found = sources(report)
    assert found["traces", "endpoint"] == (f"{otlp.http_url}/v1/traces", "variable", ENDPOINT)
    assert found["traces", "protocol"] == ("http/protobuf", "default", PROTOCOL)
    assert found["records (managed)", "address"] == (api.url, "variable", "SERVER_BASE_URL")
    assert found["state", "folder"][1:] == ("variable", "DOTFLOW_STATE_DIR")
    assert report["in_force"]["propagators"] == [
        "TraceContextTextMapPropagator", "W3CBaggagePropagator",
    ]  # fmt: skip
    assert report["in_force"]["span processors"] == ["OtlpProcessor"]
    assert Command(["doctor"]).run() == 0
    assert "All is well." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("protocol", "remedy"),
    [
        ("http/protobuf", "set OTEL_EXPORTER_OTLP_PROTOCOL=grpc"),
        ("grpc", "set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"),
    ],
)
def test_the_port_of_the_other_protocol(protocol, remedy, doctor, setup, otlp):
    """The protocol's variable is named, and the usual port."""
    url = otlp.grpc_url if protocol == "http/protobuf" else otlp.http_url
    setup(**{ENDPOINT: url, PROTOCOL: protocol})
    assert remedy in the_fault(doctor())


def test_nobody_lets_us_in(doctor, setup, api):
    """The variables of headers and token are named, whatever is in them is not shown."""
    refusing = say(b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n")
    with HostileServer(refusing) as server:
        setup(**{ENDPOINT: server.url}, DOTFLOW_SERVER_URL=api.url, DOTFLOW_USER_TOKEN=CANARY,
              OTEL_EXPORTER_OTLP_HEADERS=f"authorization=Bearer%20{CANARY}")  # fmt: skip
        report = doctor()
    first, second = report["faults"]
    assert "401" in first["problem"]
    assert "see whether OTEL_EXPORTER_OTLP_HEADERS holds" in first["remedy"]
    assert "401" in second["problem"]
    assert second["remedy"] == "set DOTFLOW_USER_TOKEN to one that it takes"
    assert sources(report)["traces", "headers (their values are not shown)"][0] == "authorization"


def test_tls_where_there_is_none_and_the_reverse(doctor, setup, otlp, authority):
    """The scheme to write is named, for OTLP and for dotflow-api."""
    context = certified(authority, "127.0.0.1")
    plain, secure = FaultServer(), FaultServer(tls=context)
    try:
        setup(**{ENDPOINT: secure.url.replace("https", "http")}, DOTFLOW_USER_TOKEN=TOKEN,
              DOTFLOW_SERVER_URL=plain.url.replace("http", "https"))  # fmt: skip
        first, second = doctor()["faults"]
    finally:
        plain.close()
        secure.close()
    assert f"write https:// in {ENDPOINT}" in first["remedy"]
    assert "write http:// in DOTFLOW_SERVER_URL" in second["remedy"]


def test_a_certificate_that_nobody_knows(doctor, setup, authority):
    """What names the authority's file is named: of each the variable that holds for it."""
    context = certified(authority, "127.0.0.1")
    secure = FaultServer(tls=context)
    try:
        setup(**{ENDPOINT: secure.url}, DOTFLOW_SERVER_URL=secure.url, DOTFLOW_USER_TOKEN=TOKEN)
        first, second = doctor()["faults"]
    finally:
        secure.close()
    assert "certificate" in first["problem"]
    assert "OTEL_EXPORTER_OTLP_CERTIFICATE names" in first["remedy"]
    assert "certificate" in second["problem"]
    assert "REQUESTS_CA_BUNDLE names" in second["remedy"]


def test_a_proxy_that_is_not_there(doctor, setup, monkeypatch):
    """The proxy is named, without its password."""
    port = closed_port()
    setup(**{ENDPOINT: "https://collector.invalid:4318"},
          DOTFLOW_SERVER_URL="http://records.invalid", DOTFLOW_USER_TOKEN=TOKEN)  # fmt: skip
    for name in ("HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, f"http://user:{CANARY}@127.0.0.1:{port}")
    first, second = doctor()["faults"]
    for one, host in ((first, "collector.invalid"), (second, "records.invalid")):
        assert f"the proxy http://127.0.0.1:{port}" in one["remedy"]
        assert f"name {host} in NO_PROXY" in one["remedy"]


def test_names_and_ports_that_lead_nowhere(doctor, setup):
    """A host that does not resolve, and a port that nobody listens at."""
    setup(**{ENDPOINT: "http://collector.invalid:4318"}, DOTFLOW_USER_TOKEN=TOKEN,
          DOTFLOW_SERVER_URL=f"http://127.0.0.1:{closed_port()}")  # fmt: skip
    first, second = doctor()["faults"]
    assert "collector.invalid does not resolve" in first["problem"]
    assert f"write a name in {ENDPOINT}" in first["remedy"]
    assert "refused" in second["problem"]
    assert "write its host and port in DOTFLOW_SERVER_URL" in second["remedy"]


def test_no_answer_in_time(doctor, setup, monkeypatch):
    """Who says nothing is not waited for."""
    with HostileServer(hang) as server:
        monkeypatch.setattr(trying, "SECONDS", 0.5)
        setup(**{ENDPOINT: server.url}, DOTFLOW_SERVER_URL=server.url, DOTFLOW_USER_TOKEN=TOKEN)
        report = doctor()
    for one in report["faults"]:
        assert "did not answer" in one["problem"]
        assert "a firewall" in one["remedy"]
    assert len(report["faults"]) == 2


def test_a_wrong_path(doctor, setup, api):
    """A path that is missing, and one that is too much."""
    with HostileServer(say(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n")) as server:
        setup(**{TRACES: server.url}, DOTFLOW_SERVER_URL=f"{api.url}/workflows",
              DOTFLOW_USER_TOKEN=TOKEN)  # fmt: skip
        first, second = doctor()["faults"]
    assert "ends in /v1/traces" in first["remedy"]
    assert "before /workflows" in second["remedy"]


def test_a_state_folder_that_cannot_be_written(doctor, setup, monkeypatch, tmp_path):
    """A file in its place, and a folder that is somebody else's."""
    (tmp_path / "file").touch()
    setup(DOTFLOW_STATE_DIR=str(tmp_path / "file"))
    report = doctor()
    assert "cannot be written" in the_fault(report)
    assert "set DOTFLOW_STATE_DIR to a folder" in the_fault(report)
    if os.getuid() == 0:
        (tmp_path / "theirs" / files.FOLDER).mkdir(parents=True)
        os.chown(tmp_path / "theirs" / files.FOLDER, 12345, 12345)
        monkeypatch.setenv("DOTFLOW_STATE_DIR", str(tmp_path / "theirs"))
        assert "belongs to another user" in the_fault(doctor())


def test_a_clock_that_is_off(doctor, setup, fake, monkeypatch):
    """How far two clocks are apart is said, by the Date header of an answer of either kind."""
    date = "Sat, 01 Jan 2000 00:00:00 GMT"
    monkeypatch.setattr(Handler, "date_time_string", lambda *_: date)
    with HostileServer(say(TAKEN % date.encode())) as server:
        setup(**{ENDPOINT: server.url}, DOTFLOW_SERVER_URL=fake.url, DOTFLOW_USER_TOKEN=TOKEN)
        faults = doctor()["faults"]
    assert [one["about"].split()[0] for one in faults] == ["OTLP", "dotflow-api"]
    for one in faults:
        assert "its clock and this machine's are" in one["problem"]
        assert "timedatectl" in one["remedy"]


@pytest.mark.parametrize("asked", [True, False])
def test_an_endpoint_that_takes_no_metrics(asked, doctor, setup):
    """It is a fault where somebody asked for metrics by name, else a note."""

    def script(connection, stopped):
        taken, unknown = TAKEN % b"", b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"
        connection.sendall(taken if b"/v1/traces" in request(connection) else unknown)

    with HostileServer(script) as server:
        setup(**{ENDPOINT: server.url}, OTEL_METRICS_EXPORTER="otlp" if asked else "")
        report = doctor()
    if asked:
        assert "/v1/metrics" in the_fault(report)
    else:
        assert report["faults"] == []
        assert any("OTEL_METRICS_EXPORTER=none" in one["problem"] for one in report["notes"])


def test_logs_and_metrics_are_tried_where_they_leave(doctor, setup):
    """An empty batch is sent to each; who refuses logs that were asked for is at fault."""

    def script(connection, stopped):
        unknown = b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"
        connection.sendall(unknown if b"/v1/logs" in request(connection) else TAKEN % b"")

    with HostileServer(script) as server:
        setup(**{ENDPOINT: server.url}, OTEL_METRICS_EXPORTER="otlp", OTEL_LOGS_EXPORTER="otlp")
        report = doctor()
    assert "/v1/logs" in the_fault(report)
    assert [one["kind"] for one in report["destinations"]] == ["traces", "metrics", "logs", "state"]
    assert report["in_force"]["log exporters"] == report["in_force"]["metric exporters"] == ["otlp"]


def test_the_exporters_of_an_application(doctor, setup, otlp, tmp_path, monkeypatch):
    """Those of its own provider are tried, by what made them; two for one place are told of."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "own_provider.py").write_text(OWN_PROVIDER.format(
        good=f"{otlp.http_url}/v1/traces", bad=f"http://127.0.0.1:{closed_port()}/v1/traces",
    ))  # fmt: skip
    setup(**{ENDPOINT: f"http://127.0.0.1:{closed_port()}"})
    try:
        report = doctor("--workflow", "own_provider:pipeline")
    finally:
        sys.modules.pop("own_provider", None)
    twins, by_variable, bad = report["faults"]
    assert by_variable["remedy"].endswith(f"host and port in {ENDPOINT}")
    assert "arrives twice" in twins["problem"]
    assert "mend what the application gives" in bad["remedy"]
    assert [span.name for span in otlp.spans] == ["dotflow doctor"] * 2
    assert "the application's" in report["in_force"]["tracer provider"][0]


def test_every_variable_of_ours_is_known():
    """Those of the page of variables: another one that is near one of them would be told of."""
    page = Path(__file__).parents[2] / "docs" / "reference" / "variables.md"
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:DOTFLOW|SERVER|WORKFLOW)_[A-Z_]+)`", text))
    assert "DOTFLOW_SERVER" in named
    assert named <= {*(one.variable for one in configured.KNOWN), *configured.OTHERS}


@pytest.mark.parametrize("exporters", ["otlp,otlp_proto_http", "console,console"])
def test_two_exporters_for_one_place(exporters, doctor, setup):
    """Every span would arrive twice."""
    setup(OTEL_TRACES_EXPORTER=exporters)
    assert "arrives twice" in the_fault(doctor())


def test_spans_that_are_never_made(doctor, setup):
    """The SDK is off, and the sampler drops all."""
    setup(OTEL_SDK_DISABLED="true", OTEL_TRACES_SAMPLER="parentbased_traceidratio",
          OTEL_TRACES_SAMPLER_ARG="0")  # fmt: skip
    first, second = doctor()["faults"]
    assert "OTEL_SDK_DISABLED" in first["remedy"]
    assert "TraceIdRatioBased{0" in second["problem"]
    assert "OTEL_TRACES_SAMPLER" in second["remedy"]


def test_variables_that_are_wrong(doctor, setup, tmp_path):
    """Values that are none, and names that nobody reads."""
    setup(OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT="many", OTEL_PROPAGATORS="tracecontext,abc",
          OTEL_EXPORTER_OTLP_TIMEOUT="soon", OTEL_BSP_SCHEDULE_DELAY="-1",
          DOTFLOW_FLUSH_TIMEOUT="never", OTEL_EXPORTER_OLTP_HEADERS="a=b",
          DOTFLOW_SERVER_URI="http://a", OTEL_CONFIG_FILE=str(tmp_path / "none.yaml"))  # fmt: skip
    told = "\n".join(f"{one['problem']} -> {one['remedy']}" for one in doctor()["faults"])
    for expected in (
        "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT is 'many'", "OTEL_PROPAGATORS names 'abc'",
        "OTEL_EXPORTER_OTLP_TIMEOUT is 'soon'", "OTEL_BSP_SCHEDULE_DELAY is '-1'",
        "set DOTFLOW_FLUSH_TIMEOUT to a number of seconds",
        "write it as OTEL_EXPORTER_OTLP_HEADERS",
        "write it as DOTFLOW_SERVER_URL", "OTEL_CONFIG_FILE is ",
    ):  # fmt: skip
        assert expected in told


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({ENDPOINT: "localhost:4318"}, "write http://localhost:4318"),
        ({ENDPOINT: ""}, "set OTEL_EXPORTER_OTLP_ENDPOINT for traces"),
        ({"DOTFLOW_USER_TOKEN": CANARY}, "DOTFLOW_SERVER_URL is not"),
        ({"DOTFLOW_SERVER": "none"}, "take DOTFLOW_SERVER away"),
        ({"DOTFLOW_SERVER": "none", ENDPOINT: ""}, "take DOTFLOW_SERVER away"),
    ],
)
def test_what_leads_nowhere(variables, words, doctor, setup):
    """An address that is none, nothing at all, half a pair, and what switches all off."""
    setup(**variables)
    assert words in the_fault(doctor())


def test_an_outbox_that_is_not_empty(doctor, setup):
    """What waits, for whom and since when, is said with what sends it."""

    @action
    def step():
        return 1

    server = ServerDefault(f"http://127.0.0.1:{closed_port()}", TOKEN)
    flow = DotFlow(config=Config(server=server))
    flow.task.add(step)
    flow.start()
    server.close(0)
    writer.run_log.close()
    setup()
    said = the_fault(doctor())
    assert said.startswith("outbox for dotflow-api at http://127.0.0.1")
    assert "wait (" in said
    assert "the oldest of 20" in said
    assert "dotflow outbox" in said


@pytest.mark.parametrize("code", [404, 405])
def test_a_server_that_deletes_nothing(code, doctor, setup, fake):
    """The record is Completed there, which is a note and no fault."""
    fake.on("DELETE", status(code))
    setup(SERVER_BASE_URL=fake.url, SERVER_USER_TOKEN=TOKEN)
    report = doctor()
    assert report["ok"]
    [record] = fake.workflows.values()
    assert (record["name"], record["status"]) == ("dotflow doctor", "Completed")
    assert any(record["id"] in note["problem"] for note in report["notes"])


def test_a_server_that_fails_afterwards(doctor, setup, fake):
    """A record that could not be taken back is named."""
    fake.on("DELETE", status(500))
    setup(SERVER_BASE_URL=fake.url, SERVER_USER_TOKEN=TOKEN)
    [record] = (fault := the_fault(doctor())) and fake.workflows.values()
    assert record["id"] in fault


def test_the_config_of_a_program(doctor, setup, otlp, fake, tmp_path, monkeypatch):
    """Its arguments win; nothing of it is reported; a program that fails is told of."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "looked_at.py").write_text(PROGRAM.format(api=fake.url, otlp=otlp.http_url))
    setup(**{ENDPOINT: "http://127.0.0.1:9"})
    try:
        report = doctor("--workflow", "looked_at:pipeline")
        assert report["faults"] == []
        found = sources(report)
        assert found["traces", "endpoint"] == (f"{otlp.http_url}/v1/traces", "argument", None)
        assert found["records (default)", "address"] == (fake.url, "argument", None)
        assert ("resource", "service.name") in found
        assert report["in_force"]["server"] == ["ServerOtel"]
        assert [one.method for one in fake.seen] == ["POST", "DELETE"]
        assert fake.seen[0].body["name"] == "dotflow doctor"
        broken = doctor("--workflow", "looked_at:broken")["faults"]
    finally:
        sys.modules.pop("looked_at", None)
    assert "RuntimeError: no password=***" in broken[0]["problem"]
    assert "callable without arguments" in broken[0]["remedy"]


def test_a_value_commands_no_terminal(setup, monkeypatch, capsys):
    """Control characters of a variable are written out, and it stays in its line."""
    monkeypatch.setenv("OTEL_SERVICE_NAME", "shop\x1b[2J\nAll is well.\x9b1m")
    Command(["doctor"]).run()
    page = capsys.readouterr().out
    assert not {"\x1b", "\x9b"} & set(page)
    assert "shop\\x1b[2J\\nAll is well.\\x9b1m" in page


def test_nothing_secret_is_shown(setup, otlp, fake, monkeypatch, capsys):
    """No password, header, token or key is on the page, whoever is asked."""
    host = otlp.http_url.removeprefix("http://")
    setup(**{ENDPOINT: f"http://user:{CANARY}@{host}"}, DOTFLOW_SERVER_URL=fake.url,
          DOTFLOW_USER_TOKEN=CANARY, OTEL_EXPORTER_OTLP_HEADERS=f"x-api-key={CANARY}",
          OTEL_RESOURCE_ATTRIBUTES=f"db.password={CANARY},team=data",
          DOTFLOW_WHOLE_VALUES="1")  # fmt: skip
    monkeypatch.setenv("HTTP_PROXY", f"http://user:{CANARY}@127.0.0.1:{closed_port()}")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    fake.on("POST", status(418, {"detail": f"who is {CANARY}?"}))
    assert Command(["doctor"]).run() == 1
    assert Command(["doctor", "--json"]).run() == 1
    page = capsys.readouterr()
    assert CANARY not in page.out + page.err
    assert "418" in page.out
    assert "team" in page.out
