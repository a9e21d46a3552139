"""What an OTLP endpoint answers: only the protocol's own success is one."""

from __future__ import annotations

import gzip
import json
import time

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from support.hostile_server import HostileServer, request

from dotflow.otel.export.leaving import sending
from dotflow.otel.export.otlp.http import MOST_ANSWER

TOKEN = "open-sesame-of-the-tests"
PROTOBUF = "application/x-protobuf"
SOON = 0.02  # seconds


def answer(status, body=b"", kind=None, *more):
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *more]
    lines += [] if kind is None else [f"Content-Type: {kind}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


def partial(rejected=0, words=""):
    found = ExportTraceServiceResponse()
    found.partial_success.rejected_spans = rejected
    found.partial_success.error_message = words
    return found.SerializeToString()


class Endpoint(HostileServer):
    """Answers everybody the same, and keeps the heads of the requests."""

    def __init__(self, said):
        self.heads = []
        self.said = said
        super().__init__(self._serve_one)

    def _serve_one(self, connection, stopped):
        while head := request(connection):
            self.heads.append(head)
            connection.sendall(self.said)


def export(server, names=("one", "two", "three"), seconds=30.0):
    """Export spans; whether all is said to be done."""
    tracer = server.tracer_provider.get_tracer("app")
    for name in names:
        tracer.start_span(name).end()
    return server.flush(seconds).complete


def until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


TAKEN = {
    "empty": answer(200),
    "protobuf": answer(200, partial(), PROTOBUF),
    "protobuf without a type": answer(200, partial()),
    "JSON": answer(200, b"{}", "application/json"),
    "JSON, partial": answer(200, b'{"partialSuccess": {}}', "application/json; charset=utf-8"),
    "no content": answer(204),
    "accepted": answer(202),
    "packed": answer(200, gzip.compress(partial()), PROTOBUF, "Content-Encoding: gzip"),
}


@pytest.mark.parametrize("said", TAKEN.values(), ids=TAKEN)
def test_what_is_a_success(said, servers, caplog):
    """Of an endpoint that takes spans nothing is said."""
    with Endpoint(said) as endpoint:
        server = servers(endpoint=endpoint.url)
        assert export(server)
        assert (server.spans_exported, server.spans_failed, server.spans_kept) == (3, 0, 0)
    assert not caplog.text


LOGIN = b"<html>please log in</html>"
NOT_TAKEN = {
    "login page": (answer(200, LOGIN, "text/html; charset=utf-8"), "answers 200 with text/html"),
    "page without a type": (answer(200, LOGIN), "answers 200 with something"),
    "page with OTLP's type": (answer(200, LOGIN, PROTOBUF), f"answers 200 with {PROTOBUF}"),
    "text": (answer(200, b"OK", "text/plain"), "answers 200 with text/plain"),
    "another API": (answer(201, b'{"id": 3}', "application/json"), "201 with application/json"),
    "a list": (answer(200, b"[]", "application/json"), "answers 200 with application/json"),
    "odd type": (answer(200, b"x", "a\x01b/\xff"), "answers 200 with ab/"),
    "302": (answer(302, LOGIN, "text/html", "Location: /login"), "302, a redirect to /login"),
    "303": (answer(303, b"", None, "Location: /login?token=sesame"), "a redirect to /login, which"),
    "307": (answer(307, b"", None, "Location: /v1/traces"), "307, a redirect to /v1/traces"),
    "308": (
        answer(308, b"", None, "Location: http://u:sesame@127.0.0.1:9/x"),
        "answers 308, a redirect to http://127.0.0.1:9/x, which is not followed",
    ),
    "304": (answer(304), "answers 304, a redirect, which is not followed"),
    "300": (answer(300, b"", None, "Location: http://[/"), "answers 300, a redirect, which is not"),
    "401": (
        answer(401, f"no {TOKEN} here: send Authorization: Bearer".encode(), "text/plain"),
        "answers 401; see whether OTEL_EXPORTER_OTLP_HEADERS holds what it asks for; it says: no [",
    ),
    "403": (answer(403, LOGIN, "text/html"), "answers 403; see whether OTEL_EXPORTER_OTLP_HEADERS"),
    "404": (answer(404), "answers 404; it takes no spans at this path: endpoint is the whole"),
    "405": (answer(405), "answers 405; it takes no spans at this path"),
    "415": (answer(415, b"what\r\nis\x1b this", "text/plain"), "answers 415: what is this."),
    "429": (answer(429), "answers 429."),
    "500": (answer(500, b"\xff\xfe" * 5000), "answers 500: "),
    "503": (answer(503, json.dumps({"message": "later"}).encode()), 'answers 503: {"message": '),
    "bomb": (
        answer(200, gzip.compress(bytes(30_000_000)), PROTOBUF, "Content-Encoding: gzip"),
        f"answers 200 with {PROTOBUF}",
    ),
    "long": (answer(200, b"\n" * (MOST_ANSWER + 1), PROTOBUF), f"answers 200 with {PROTOBUF}"),
    "not packed": (answer(200, b"x", PROTOBUF, "Content-Encoding: gzip"), f"200 with {PROTOBUF}"),
}  # fmt: skip


@pytest.mark.parametrize(("said", "words"), NOT_TAKEN.values(), ids=NOT_TAKEN)
def test_what_is_none(said, words, servers, caplog, monkeypatch):
    """Spans are kept, and one line has the status; they arrive once the endpoint takes them."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"x-key={TOKEN}")
    monkeypatch.setattr(sending, "FIRST_DELAY", SOON)
    with Endpoint(said) as endpoint:
        server = servers(endpoint=endpoint.url)
        assert not export(server, seconds=SOON)
        until(lambda: caplog.records)
        assert (server.spans_exported, server.spans_failed) == (0, 0)
        assert server.spans_kept == 3
        assert len(caplog.records) == 1
        assert words in caplog.text
        assert "sesame" not in caplog.text
        assert len(caplog.records[0].getMessage()) < 1000
        assert all(head.startswith(b"POST /v1/traces ") for head in endpoint.heads)
        endpoint.said = answer(200)
        until(lambda: server.flush(1).complete)
        assert server.spans_exported == 3


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_no_header_leaves_for_another_host(code, servers, caplog, monkeypatch):
    """Nobody is asked where a redirect leads to: not on this host, and on no other."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"authorization=Bearer%20{TOKEN}")
    with Endpoint(answer(200)) as other:
        with Endpoint(answer(code, b"", None, f"Location: {other.url}/v1/traces")) as endpoint:
            server = servers(endpoint=endpoint.url)
            assert not export(server, seconds=SOON)
            until(lambda: caplog.records)  # the answer is known, and to be a fault
            assert any(f"authorization: Bearer {TOKEN}".encode() in one for one in endpoint.heads)
            server.close(0)
        assert other.connections == 0


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (partial(2, "too old"), PROTOBUF),
        (b'{"partialSuccess": {"rejectedSpans": "2", "errorMessage": "too old"}}',
         "application/json"),
    ],
    ids=["protobuf", "JSON"],
)  # fmt: skip
def test_what_a_success_rejects_is_said_and_counted(body, kind, servers, caplog):
    """It is not sent again, as the protocol demands."""
    with Endpoint(answer(200, body, kind)) as endpoint:
        server = servers(endpoint=endpoint.url)
        assert not export(server)  # some are lost
        assert (server.spans_exported, server.spans_failed, server.spans_kept) == (1, 2, 0)
        assert len(endpoint.heads) == 1
    [line] = caplog.records
    assert line.getMessage() == (
        f"2 spans are lost: OTLP endpoint {endpoint.url}/v1/traces rejects them: too old."
    )


def test_what_a_success_warns_of_is_said_once(servers, caplog):
    """A success with words rejects nothing."""
    with Endpoint(answer(200, partial(0, "slow down"), PROTOBUF)) as endpoint:
        server = servers(endpoint=endpoint.url)
        assert all(export(server) for _ in range(3))
        assert server.spans_exported == 9
    assert [one.getMessage() for one in caplog.records] == [
        f"OTLP endpoint {endpoint.url}/v1/traces takes spans, and says: slow down"
    ]


def test_a_number_of_spans_that_cannot_be(servers):
    """An answer that rejects more than it got, or fewer than none, confuses no count."""
    for rejected, counts in ((2**40, (0, 3)), (-5, (3, 0))):
        with Endpoint(answer(200, partial(rejected), PROTOBUF)) as endpoint:
            server = servers(endpoint=endpoint.url)
            export(server)
            assert (server.spans_exported, server.spans_failed) == counts
            server.close(60)


def test_an_endpoint_that_asks_to_wait_is_waited_for(servers, caplog, monkeypatch):
    """Retry-After is kept also while somebody waits."""
    monkeypatch.setattr(sending, "FIRST_DELAY", SOON)  # what is waited for otherwise
    with Endpoint(answer(503, b"", None, "Retry-After: 3000")) as endpoint:
        server = servers(endpoint=endpoint.url)
        assert not export(server, seconds=SOON)
        until(lambda: caplog.records)
        assert not server.flush(20 * SOON).complete
        assert len(endpoint.heads) == 1
        server.close(0)
