"""How spans are sent: as the standard variables say, in both protocols."""

from __future__ import annotations

import base64
import gzip
import socket
import ssl
import sys
import textwrap
import zlib
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
import trustme
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk import environment_variables as sdk_variables
from support.hostile_server import HostileServer, over_tls, say
from support.http2 import (
    END_HEADERS,
    END_STREAM,
    HEADERS,
    OK,
    TRAILERS,
    after,
    data,
    fields,
    frame,
    message,
)
from support.spans import encoded, ended_span

from dotflow.otel.export.otlp.endpoint import OtlpSettings, endpoint_of
from dotflow.otel.export.otlp.exports import exporter_of, exports

SPANS = [ended_span(number=number) for number in range(3)]
BODY = encoded(SPANS)
TAKEN = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
SOME = frame(HEADERS, END_HEADERS, 1, OK)
ENDED = frame(HEADERS, END_HEADERS | END_STREAM, 1, TRAILERS)
BOTH = pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])


class Listening(HostileServer):
    """Takes everything over HTTP, and keeps it."""

    def __init__(self, answers=10):
        self.heads, self.bodies, self._answers = [], [], answers
        super().__init__(self._listen)

    def _listen(self, connection, stopped):
        with connection.makefile("rb") as said:
            for _ in range(self._answers):
                head = []
                while (line := said.readline()) not in (b"\r\n", b""):
                    head.append(line.strip().decode("latin-1"))
                if not head:
                    return
                pairs = (one.split(": ", 1) for one in head[1:])
                names = {name.lower(): value for name, value in pairs}
                self.bodies.append(said.read(int(names["content-length"])))
                self.heads.append((head[0], names))
                connection.sendall(TAKEN)


def sent(url, batches=1, protocol="http/protobuf"):
    """What came of a few batches over one exporter."""
    exporter = exporter_of(endpoint_of(OtlpSettings(url, protocol), 30.0))
    outcomes = [exporter.send(SPANS) for _ in range(batches)]
    exporter.close()
    return [one.why for one in outcomes]


def test_a_batch_as_it_is_sent(monkeypatch):
    """To the path of traces, with the headers of the environment, over one connection."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-a=1%202, X-B = c=d ,,authorization=Basic x")
    with Listening() as server:
        assert sent(server.url, 2) == ["", ""]
    line, headers = server.heads[0]
    assert line == "POST /v1/traces HTTP/1.1"
    assert server.bodies == [BODY] * 2
    assert server.connections == 1
    assert {name: headers[name] for name in ("x-a", "x-b", "authorization", "content-type")} == {
        "x-a": "1 2", "x-b": "c=d", "authorization": "Basic x",
        "content-type": "application/x-protobuf",
    }  # fmt: skip
    agents = [one.partition("/")[0] for one in headers["user-agent"].split()]
    assert agents == ["dotflow", "OTel-OTLP-Exporter-Python"]


def test_a_header_with_any_character(monkeypatch, caplog):
    """Also with those that OpenTelemetry's exporters would not take, and log."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", 'x-a=b;"c"\\d %65,x-b=open\x01sesame')
    with Listening() as server:
        assert sent(server.url) == [""]
    headers = server.heads[0][1]
    assert headers["x-a"] == 'b;"c"\\d e'
    assert "x-b" not in headers
    assert "sesame" not in caplog.text


def test_the_headers_for_traces_are_nearer(monkeypatch):
    """They take the others' place."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-a=1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "x-b=2")
    with Listening() as server:
        assert sent(server.url) == [""]
    assert "x-a" not in server.heads[0][1]
    assert server.heads[0][1]["x-b"] == "2"


def test_user_and_password_of_the_address():
    """They are sent as Basic authentication; the query as it is."""
    with Listening() as server:
        assert sent(server.url.replace("//", "//us%40er:p%C3%A4ss@") + "/x/?key=a%2Fb") == [""]
    line, headers = server.heads[0]
    assert line == "POST /x/?key=a%2Fb HTTP/1.1"
    assert headers["authorization"] == "Basic dXNAZXI6cMOkc3M="


def test_user_and_password_of_an_address_of_grpc():
    """They are sent in the same way."""
    heads = []

    class Handlers(grpc.GenericRpcHandler):
        def service(self, details):
            heads.append(dict(details.invocation_metadata))
            return grpc.unary_unary_rpc_method_handler(lambda body, context: b"")

    with ThreadPoolExecutor(1) as pool:
        server = grpc.server(pool)
        server.add_generic_rpc_handlers([Handlers()])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        assert sent(f"http://us%40er:p%C3%A4ss@127.0.0.1:{port}", protocol="grpc") == [""]
        server.stop(0).wait()
    assert heads[0]["authorization"] == "Basic dXNAZXI6cMOkc3M="
    assert "dotflow/" in heads[0]["user-agent"]


def test_the_scheme_of_an_address_says_whether_tls_is_spoken(monkeypatch, otlp):
    """The variable is for addresses that have none."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_INSECURE", "false")
    assert sent(otlp.grpc_url, protocol="grpc") == [""]


UNAVAILABLE = frame(HEADERS, END_HEADERS | END_STREAM, 1, fields((b"grpc-status", b"14")))


@pytest.mark.parametrize(
    ("protocol", "script"),
    [
        ("http/protobuf", say(b"HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n")),
        ("http/protobuf", say(b"")),
        ("grpc", after(SOME + UNAVAILABLE)),
    ],
)
def test_a_batch_is_sent_once(protocol, script):
    """When it is tried again is not the exporter's to decide."""
    with HostileServer(script) as server:
        assert sent(server.url, protocol=protocol) != [""]
        assert server.connections == 1


def test_exporters_of_the_application_keep_their_lines(caplog):
    """What they say of their own exports is said, whatever ours have met."""
    with HostileServer(say(b"HTTP/1.1 400 X\r\nContent-Length: 0\r\n\r\n")) as server:
        sent(server.url)
        assert not caplog.records
        exporter = OTLPSpanExporter(server.url)
        exporter.export(SPANS)
        exporter.shutdown()
    assert "Failed to export" in caplog.text


@BOTH
def test_a_span_that_cannot_be_encoded_costs_no_other(protocol, otlp, servers, caplog):
    """It is lost, with a line; the others are exported."""
    url = otlp.grpc_url if protocol == "grpc" else otlp.http_url
    server = servers(endpoint=url, protocol=protocol)
    tracer = server.tracer_provider.get_tracer("app")
    for name in ("one", "\ud800", "three"):
        tracer.start_span(name).end()
    server.flush(60)
    assert (server.spans_exported, server.spans_failed) == (2, 1)
    assert [one.getMessage() for one in caplog.records] == [
        "1 span is lost: they cannot be encoded."
    ]


def test_netrc_has_no_say(monkeypatch, tmp_path):
    """An entry for the host does not take a header's place."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login other password other\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20x")
    with Listening() as server:
        assert sent(server.url) == [""]
    assert server.heads[0][1]["authorization"] == "Bearer x"


@pytest.mark.parametrize(
    ("packing", "unpack"), [("gzip", gzip.decompress), ("deflate", zlib.decompress)]
)
def test_a_batch_is_packed(packing, unpack, monkeypatch):
    """As OTEL_EXPORTER_OTLP_COMPRESSION says."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", packing)
    with Listening() as server:
        assert sent(server.url) == [""]
    assert server.heads[0][1]["content-encoding"] == packing
    assert unpack(server.bodies[0]) == BODY


@pytest.mark.parametrize("packing", ["none", "gzip", "deflate"])
def test_a_batch_is_packed_over_grpc(packing, monkeypatch, otlp):
    """A server of gRPC unpacks it."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", packing)
    assert sent(otlp.grpc_url, protocol="grpc") == [""]


def test_a_connection_that_has_ended_costs_nothing():
    """A server that closes kept connections is spoken to anew, without a failure."""
    with Listening(answers=1) as server:
        assert sent(server.url, 5) == [""] * 5
    assert server.bodies == [BODY] * 5


def test_a_client_shows_its_certificate(monkeypatch, tmp_path):
    """By the standard variables, for HTTP and for gRPC."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["h2", "http/1.1"])
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    ours = authority.issue_cert("dotflow")
    names = {"CERTIFICATE": "ca", "CLIENT_CERTIFICATE": "cert", "CLIENT_KEY": "key"}
    for what, name in names.items():
        monkeypatch.setenv(f"OTEL_EXPORTER_OTLP_{what}", str(tmp_path / name))
    authority.cert_pem.write_to_path(tmp_path / "ca")
    ours.cert_chain_pems[0].write_to_path(tmp_path / "cert")
    ours.private_key_pem.write_to_path(tmp_path / "key")
    scripts = {"http/protobuf": say(TAKEN), "grpc": after(SOME + data(message()) + ENDED)}
    for protocol, script in scripts.items():
        with HostileServer(over_tls(context, script)) as server:
            assert sent(server.url.replace("http", "https"), protocol=protocol) == [""]


def test_what_grpc_rejects_is_said():
    """A success over gRPC may reject spans too."""
    found = ExportTraceServiceResponse()
    found.partial_success.rejected_spans = 2
    found.partial_success.error_message = "too old"
    script = after(SOME + data(message(found.SerializeToString())) + ENDED)
    with HostileServer(script) as server:
        exporter = exporter_of(endpoint_of(OtlpSettings(server.url, "grpc"), 30.0))
        outcome = exporter.send(SPANS)
        exporter.close()
    assert (outcome.is_taken, outcome.rejected, outcome.said) == (True, 2, "too old")


def test_the_certificate_of_a_program_has_no_say(monkeypatch, tmp_path):
    """The variable of OpenTelemetry's is nearer than that of all calls."""
    authority, other = trustme.CA(), trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ours")
    other.cert_pem.write_to_path(tmp_path / "other")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", str(tmp_path / "ours"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "other"))
    with HostileServer(over_tls(context, say(TAKEN))) as server:
        assert sent(server.url.replace("http", "https")) == [""]


def test_grpc_is_asked_to_wait():
    """A server says in the details of its status when to come again."""
    from google.protobuf.any_pb2 import Any
    from google.rpc.error_details_pb2 import RetryInfo
    from google.rpc.status_pb2 import Status

    info, detail = RetryInfo(), Any()
    info.retry_delay.FromSeconds(7)
    detail.Pack(info)
    details = base64.b64encode(Status(code=14, details=[detail]).SerializeToString())
    ended = fields((b"grpc-status", b"14"), (b"grpc-status-details-bin", details.rstrip(b"=")))
    answer = SOME + frame(HEADERS, END_HEADERS | END_STREAM, 1, ended)
    with HostileServer(after(answer)) as server:
        exporter = exporter_of(endpoint_of(OtlpSettings(server.url, "grpc"), 30.0))
        assert exporter.send(SPANS).after == 7.0
        exporter.close()


@BOTH
def test_an_outage_ends_at_once(protocol, otlp):
    """Whoever could not be reached is asked again at the next batch, not after a while."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    exporter = exporter_of(endpoint_of(OtlpSettings(f"http://127.0.0.1:{port}", protocol), 30.0))
    for _ in range(5):
        assert "refused" in exporter.send(SPANS).why
    script = say(TAKEN) if protocol != "grpc" else after(SOME + data(message()) + ENDED)
    with HostileServer(script, port) as server:
        assert exporter.send(SPANS).why == ""
        assert server.connections == 1
    exporter.close()


@pytest.mark.parametrize(
    ("name", "protocol"), [("otlp_proto_http", "http/protobuf"), ("otlp_proto_grpc", "grpc")]
)
def test_an_exporter_that_is_named_with_its_protocol(name, protocol, monkeypatch):
    """It is OTLP like any other: what it cannot deliver is kept."""
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", name)
    assert exports(OtlpSettings()) == [OtlpSettings(protocol=protocol)]


PROVIDER = """
    from pathlib import Path
    import grpc, requests

    class Signed(requests.Session):
        def request(self, method, url, headers=None, **more):
            return super().request(method, url, headers={**headers, "x-signed": "yes"}, **more)

    def channel():
        return grpc.ssl_channel_credentials(Path("ca.pem").read_bytes())
"""


@pytest.fixture
def providers(monkeypatch, tmp_path):
    """Has a package installed that provides credentials."""
    (tmp_path / "credentials_of_tests.py").write_text(textwrap.dedent(PROVIDER))
    info = tmp_path / "credentials_of_tests-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: credentials-of-tests\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[opentelemetry_otlp_credential_provider]\n"
        "signed = credentials_of_tests:Signed\nchannel = credentials_of_tests:channel\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("credentials_of_tests", None)


@pytest.mark.usefixtures("providers")
def test_a_session_that_authenticates(monkeypatch):
    """It adds what it adds, follows nothing, and is bounded as everything else."""
    monkeypatch.setenv("OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER", "signed")
    with Listening() as server:
        assert sent(server.url, 2) == ["", ""]
        assert [headers["x-signed"] for _, headers in server.heads] == ["yes", "yes"]
        moved = b"HTTP/1.1 307 X\r\nContent-Length: 0\r\nLocation: %s\r\n\r\n" % server.url.encode()
        with HostileServer(say(moved)) as other:
            [why] = sent(other.url)
        assert why.startswith("answers 307, a redirect")
        assert len(server.heads) == 2


@pytest.mark.skipif(
    not hasattr(sdk_variables, "_OTEL_PYTHON_EXPORTER_OTLP_GRPC_CREDENTIAL_PROVIDER"),
    reason="this release of OpenTelemetry's exporter does not read the variable",
)
@pytest.mark.usefixtures("providers")
def test_credentials_of_a_channel(monkeypatch, tmp_path):
    """The variable for gRPC."""
    monkeypatch.setenv("OTEL_PYTHON_EXPORTER_OTLP_GRPC_CREDENTIAL_PROVIDER", "channel")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["h2"])
    authority.issue_cert("127.0.0.1").configure_cert(context)
    script = over_tls(context, after(SOME + data(message()) + ENDED))
    with HostileServer(script) as server:
        assert sent(server.url.replace("http", "https"), protocol="grpc") == [""]


@pytest.mark.usefixtures("providers")
def test_a_provider_of_the_other_kind(monkeypatch):
    """A line names the variable."""
    monkeypatch.setenv("OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER", "channel")
    (why,) = sent("http://127.0.0.1:9")
    assert "OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER" in why
