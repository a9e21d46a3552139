"""Whoever is wrong about an OTLP endpoint is told what to mend, and where."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
import trustme
from support.hostile_server import ConnectProxy, HostileServer, over_tls, request, say
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

from dotflow.otel.export.otlp.endpoint import OtlpSettings, endpoint_of
from dotflow.otel.export.otlp.exports import exporter_of

TOKEN = "open-sesame-of-the-tests"
ENDPOINT, TRACES = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
CERTIFICATE, PROTOCOL = "OTEL_EXPORTER_OTLP_CERTIFICATE", "OTEL_EXPORTER_OTLP_PROTOCOL"
BOTH = pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
TAKEN = frame(HEADERS, END_HEADERS, 1, OK) + data(message())
TAKEN += frame(HEADERS, END_HEADERS | END_STREAM, 1, TRAILERS)
NOT_FOUND = b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def tls(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["h2", "http/1.1"])
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.fixture
def said(monkeypatch):
    """Send something to where a variable says; return what came of it."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"authorization=Bearer%20{TOKEN}")

    def send(url, protocol="http/protobuf", variable=ENDPOINT):
        monkeypatch.setenv(variable, url)
        monkeypatch.setenv(PROTOCOL, protocol)
        exporter = exporter_of(endpoint_of(OtlpSettings(), 30.0))
        outcome = exporter.send([])
        exporter.close()
        assert "sesame" not in repr(outcome)
        return outcome.why

    return send


@contextlib.contextmanager
def answering(code, details=""):
    """A server of gRPC that answers everybody the same."""

    def export(body, context):
        context.abort(code, details)

    class Handlers(grpc.GenericRpcHandler):
        def service(self, _):
            return grpc.unary_unary_rpc_method_handler(export)

    with ThreadPoolExecutor(1) as pool:
        server = grpc.server(pool)
        server.add_generic_rpc_handlers([Handlers()] if code is not None else [])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield f"http://127.0.0.1:{port}"
        server.stop(0).wait()


@BOTH
def test_nobody_is_there(protocol, said):
    """A port that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert said(f"http://127.0.0.1:{port}", protocol) == (
        "could not be reached: the connection was refused"
    )


@BOTH
def test_a_host_that_is_none(protocol, said):
    """A name that does not resolve is repeated."""
    assert said("http://collector.invalid:4317", protocol) == (
        "could not be reached: the host name collector.invalid does not resolve"
    )


def test_http_is_spoken_to_grpc(said, otlp):
    """The protocol's variable is named, and the other port."""
    assert said(otlp.grpc_url) == (
        f"speaks gRPC, not HTTP: set {PROTOCOL}=grpc, or the port of HTTP (mostly 4318) in "
        f"{ENDPOINT}"
    )


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n400 Bad Request", None]
)
def test_grpc_is_spoken_to_http(answer, said, otlp):
    """The same the other way round, of servers in Go and in Python."""

    def script(connection, stopped):
        connection.recv(1000)
        connection.sendall(answer)

    with HostileServer(script) as server:
        url = otlp.http_url if answer is None else server.url
        why = said(url, "grpc", TRACES)
    # Some releases of gRPC only say that the connection was closed.
    assert f"if it speaks HTTP, set {PROTOCOL}=http/protobuf" in why
    assert TRACES in why


@BOTH
def test_tls_is_spoken_to_a_plain_server(protocol, said, otlp):
    """An address of https, where there is no TLS."""
    url = otlp.http_url.replace("http", "https")
    assert said(url, protocol) == f"does not speak TLS: write http:// in {ENDPOINT}"


@BOTH
def test_plain_text_is_spoken_to_tls(protocol, said, tls):
    """A server that closes the connection says no more than that."""
    with HostileServer(over_tls(tls, say(b""))) as server:
        assert f"if it speaks TLS, write https:// in {ENDPOINT}" in said(server.url, protocol)


@pytest.mark.parametrize(
    "answer",
    [
        b"\x15\x03\x01\x00\x02\x02\x46",  # an alert of TLS
        b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n",
        b"HTTP/1.1 400 X\r\nContent-Type: text/html\r\n\r\nThe plain HTTP request to HTTPS port",
    ],
    ids=["alert", "Go", "nginx"],
)
def test_plain_text_is_spoken_to_tls_that_says_so(answer, said):
    """A server that answers is understood."""
    with HostileServer(say(answer)) as server:
        assert said(server.url) == f"speaks TLS: write https:// in {ENDPOINT}"


@BOTH
def test_a_certificate_that_nobody_knows(protocol, said, tls):
    """The variable of the authority's certificate is named."""
    with HostileServer(over_tls(tls, say(b""))) as server:
        why = said(server.url.replace("http", "https"), protocol)
    assert why.startswith("has a certificate that could not be verified (")
    assert why.endswith(f"): {CERTIFICATE} names the file of its authority's")


@pytest.mark.parametrize(
    ("protocol", "script"),
    [("http/protobuf", say(NOT_FOUND)), ("grpc", after(TAKEN))],
)
def test_a_certificate_whose_authority_is_named(
    protocol, script, said, tls, authority, monkeypatch, tmp_path
):
    """By the variable it is verified, and spoken to."""
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv(CERTIFICATE, str(tmp_path / "ca.pem"))
    with HostileServer(over_tls(tls, script)) as server:
        url = server.url.replace("http", "https")
        assert said(url, protocol).startswith("answers 404" if protocol != "grpc" else "")


@BOTH
@pytest.mark.parametrize("what", ["CERTIFICATE", "CLIENT_CERTIFICATE", "TRACES_CLIENT_KEY"])
def test_a_file_that_is_not_there(protocol, what, said, monkeypatch):
    """The variable that names it is named."""
    variable = f"OTEL_EXPORTER_OTLP_{what}"
    monkeypatch.setenv(variable, "/no/such/file")
    assert said("https://127.0.0.1:9", protocol) == (
        f"is not spoken to: {variable} is '/no/such/file': No such file or directory"
    )


@pytest.mark.parametrize(
    ("url", "variable", "hint"),
    [
        ("/", ENDPOINT, f"/v1/traces is added to {ENDPOINT}; {TRACES} is used as it is"),
        ("/v1/traces", ENDPOINT, f"{ENDPOINT} must not end in /v1/traces: dotflow adds it"),
        ("/", TRACES, f"{TRACES} is the whole address, which mostly ends in /v1/traces"),
    ],
)
def test_a_wrong_path(url, variable, hint, said):
    """What is added to which variable is said."""
    with HostileServer(say(NOT_FOUND)) as server:
        why = said(server.url + url, variable=variable)
    assert why == f"answers 404; it takes no spans at this path: {hint}"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (grpc.StatusCode.UNAUTHENTICATED, "; see whether OTEL_EXPORTER_OTLP_HEADERS holds what"),
        (grpc.StatusCode.PERMISSION_DENIED, "; see whether OTEL_EXPORTER_OTLP_HEADERS holds what"),
        (grpc.StatusCode.UNIMPLEMENTED, f"; it takes no spans: see whether {ENDPOINT} is its"),
        (grpc.StatusCode.UNAVAILABLE, ""),
        (grpc.StatusCode.INTERNAL, ""),
    ],
)
def test_what_a_server_of_grpc_says(code, words, said):
    """Its words are repeated, but for what we sent."""
    with answering(code, f"Bearer {TOKEN}?\r\n no\x1b such") as url:
        why = said(url, "grpc")
    assert why.startswith(f"answers {code.name}{words}")
    assert re.search(r"(: |; it says: )\[token\]\? no such", why)


def test_another_service_of_grpc(said):
    """One that has no such method."""
    with answering(None) as url:
        assert said(url, "grpc").startswith("answers UNIMPLEMENTED; it takes no spans: ")


@pytest.mark.parametrize(("status", "why"), [
    (b"302", "Received http2 header with status: 302"),
    (b"401", "OTEL_EXPORTER_OTLP_HEADERS"),
    (b"200", "answers "),
])  # fmt: skip
def test_a_page_is_no_answer_of_grpc(status, why, said):
    """An HTTP server of version 2, and a redirect, which is not followed."""
    head = fields((b":status", status), (b"content-type", b"text/html"), (b"location", b"/x"))
    page = frame(HEADERS, END_HEADERS, 1, head) + data(b"<html>log in</html>", END_STREAM)
    with HostileServer(after(page)) as server:
        assert why in said(server.url, "grpc")


@pytest.mark.parametrize("answer", [b"HTTP/1.1 407 Who?\r\n\r\n", b""])
def test_a_proxy_that_makes_no_tunnel(answer, said, monkeypatch):
    """What the environment names is said to be at fault, and no password of it."""
    with HostileServer(say(answer)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("//", "//user:sesame@"))
        assert said("https://collector.invalid") in (
            "could not be reached through the proxy that the environment names",
            "could not be reached: the connection was closed",
        )


def test_headers_go_through_a_tunnel(said, tls, authority, monkeypatch, tmp_path):
    """A proxy sees the name of the endpoint, and no header."""
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv(CERTIFICATE, str(tmp_path / "ca.pem"))
    heads = []

    def script(connection, stopped):
        heads.append(request(connection))
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    with HostileServer(over_tls(tls, script)) as server, ConnectProxy(server.port) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "")
        assert not said(f"https://127.0.0.1:{server.port}")
    assert len(proxy.heads) == 1
    assert TOKEN.encode() not in proxy.heads[0]
    assert TOKEN.encode() in heads[0]


@pytest.mark.parametrize("name", ["HTTP", "HTTP_TRACES"])
def test_a_credential_provider_that_is_none(name, said, monkeypatch):
    """The variable that names it is named."""
    variable = f"OTEL_PYTHON_EXPORTER_OTLP_{name}_CREDENTIAL_PROVIDER"
    monkeypatch.setenv(variable, "abc")
    assert said("http://127.0.0.1:9") == (
        f"is not spoken to: {variable} is 'abc', which gives no credentials (ValueError)"
    )


@pytest.mark.parametrize("protocol", ["http/json", "GRPC", ""])
def test_a_protocol_that_there_is_not(protocol, servers):
    """An argument is refused where it is given."""
    with pytest.raises(ValueError, match="it may be 'http/protobuf' or 'grpc'"):
        servers(protocol=protocol)


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [
        ("localhost:4318", "is 'localhost:4318', which is no http or https address: write http://lo"),
        ("user:sesame@host", "is 'host', which is no http or https address: write http://host, or"),
        ("ftp://host", "is 'ftp://host', which is no http or https address: write http://HOST:PORT"),
        ("", "is '', which is no http or https address"),
        ("http://", "names no host"),
        ("http://h:port", "is no address: write http://HOST:PORT"),
        ("http://[::1", "is no address: write http://HOST:PORT"),
    ],
)  # fmt: skip
def test_an_endpoint_that_is_none(endpoint, words, servers):
    """The same holds for an address; a password in it is not repeated."""
    with pytest.raises(ValueError, match="endpoint") as raised:
        servers(endpoint=endpoint)
    assert words in str(raised.value)
    assert "sesame" not in str(raised.value)


@pytest.mark.parametrize("target", ["127.0.0.1:4317", "dns:///127.0.0.1:4317", "unix:///tmp/x"])
def test_an_endpoint_of_grpc_needs_no_scheme(target, servers):
    """It is what gRPC calls a target, and TLS is spoken there."""
    servers(endpoint=target, protocol="grpc")
    assert endpoint_of(OtlpSettings(target, "grpc")).url == target
    assert endpoint_of(OtlpSettings(target, "grpc")).is_secure
