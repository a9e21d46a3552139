"""Whatever a server does, a call costs bounded time and memory, and goes where it should."""

from __future__ import annotations

import gzip
import os
import socket
import ssl
import threading
import time
import tracemalloc

import pytest
import trustme
from support.fault_server import TOKEN, FaultServer, status
from support.hostile_server import (
    ConnectProxy,
    HostileServer,
    drip,
    flood,
    hang,
    over_tls,
    request,
    say,
)
from support.messages import task_post, workflow_patch, workflow_post
from support.reports import put_workflow

from dotflow.api import ApiServer
from dotflow.delivery.channel import Channel
from dotflow.delivery.client import Client
from dotflow.delivery.dialect import Destination, Dialect
from dotflow.delivery.message import Delivered, Instead, Refused, TryLater

pytestmark = pytest.mark.slow

TIMEOUT = 0.2
GRACE = 2.0  # seconds, for a machine that is busy
MEMORY = 4_000_000  # bytes

LARGE = task_post(1, initial_context="x" * 5_000_000)
CREATED = b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
HANDSHAKE = b"\x16\x03\x03\x40\x00"  # a record of TLS that is long


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


def certified(authority, *names):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


@pytest.fixture(scope="module")
def bomb():
    return gzip.compress(b"\0" * 30_000_000)


@pytest.fixture
def tls(authority):
    return certified(authority, "127.0.0.1")


@pytest.fixture
def trusted(authority, monkeypatch, tmp_path):
    """Has the environment name the bundle of the tests' own authority."""
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(path))
    return path


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE",
                 "CURL_CA_BUNDLE"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def reference(tmp_path):
    """A real dotflow-api."""
    with ApiServer(f"sqlite:///{tmp_path}/records.db", TOKEN) as server:
        yield server


def send(url, *messages, timeout=30):
    client = Client(Destination(url, TOKEN, timeout=timeout))
    outcomes = [client.send(one) for one in messages or [workflow_post()]]
    client.close()
    return outcomes if messages[1:] else outcomes[0]


def timed(url, *messages, timeout=TIMEOUT):
    """What became of it, which it did within twice the timeout."""
    started = time.monotonic()
    outcome = send(url, *messages, timeout=timeout)
    assert time.monotonic() - started < 2 * timeout + GRACE
    return outcome


LATE = TryLater("the server did not answer in time")
UNREACHED = TryLater("the server could not be reached", everywhere=True)
BROKEN = TryLater("the server broke off the connection")


@pytest.mark.parametrize(
    "script",
    [
        drip(b"", b"H"),
        drip(b"HTTP/1.1 200 ", b"x"),
        drip(b"HTTP/1.1 200 OK\r\nX: ", b"x"),
        drip(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        drip(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"),
        drip(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"),
        drip(b"HTTP/1.1 200 OK\r\n\r\n"),
        drip(CHUNKED, b"1\r\nx\r\n"),
        drip(CHUNKED + b"1;", b"x"),
        drip(CHUNKED + b"0\r\n", b"X: y\r\n"),
        hang,
    ],
    ids=["status", "reason", "header", "headers", "100", "103", "body", "endless", "chunks",
         "extension", "trailers", "nothing"],
)  # fmt: skip
def test_a_server_that_drips(script):
    """A call ends in its time also where every single byte comes in time."""
    with HostileServer(script) as server:
        assert timed(server.url) == LATE


@pytest.mark.parametrize(
    "script",
    [
        drip(b"HTTP/1.1 200 OK\r\nX: ", b"x"),
        drip(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"),
        hang,
    ],
)
def test_a_server_that_drips_over_tls(script, tls, trusted):
    """The same holds over TLS."""
    with HostileServer(over_tls(tls, script)) as server:
        assert timed(server.url.replace("http", "https")) == LATE


@pytest.mark.parametrize("script", [drip(HANDSHAKE, b"\0", reads=False), hang])
def test_a_handshake_that_does_not_end(script):
    """A TLS handshake has no more time than the rest of a connection."""
    with HostileServer(script) as server:
        assert timed(server.url.replace("http", "https")) == UNREACHED


@pytest.mark.parametrize(
    "script",
    [
        drip(b"HTTP/1.1 200 OK\r\n", b"X"),
        drip(b"HTTP/1.1 200 OK\r\n\r\n", HANDSHAKE + b"\0" * 10),
        hang,
    ],
)
def test_a_proxy_that_drips(script, monkeypatch):
    """A proxy's tunnel has no more time than the rest of a connection, nor has TLS in it."""
    with HostileServer(script) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        assert timed("https://dotflow.invalid") == UNREACHED


def test_a_server_that_does_not_read():
    """A large message that nobody takes ends in its time."""
    with HostileServer(hang) as server:
        assert timed(server.url, LARGE) == LATE


def test_a_server_that_does_not_read_over_tls(tls, trusted):
    """A large message that nobody takes ends in its time also over TLS, record by record."""
    with HostileServer(over_tls(tls, hang)) as server:
        assert timed(server.url.replace("http", "https"), LARGE) == LATE


def test_a_server_that_reads_slowly_over_tls(tls, trusted):
    """That every record is taken in time is not enough."""

    def sip(connection, stopped):
        while not stopped.wait(0.05):
            connection.recv(2**14)

    with HostileServer(over_tls(tls, sip)) as server:
        assert timed(server.url.replace("http", "https"), LARGE) == LATE


@pytest.mark.parametrize(
    ("first", "unit"),
    [
        (b"", b"H"),
        (b"HTTP/1.1 200 ", b"x"),
        (b"HTTP/1.1 200 OK\r\nX: ", b"x"),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        (b"HTTP/1.1 200 OK\r\n", b"X: " + b"y" * 60_000 + b"\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\nX: " + b"y" * 60_000 + b"\r\n\r\n"),
        (b"", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"),
        (CHUNKED, b"1;" + b"x" * 60_000 + b"\r\ny\r\n"),
        (CHUNKED + b"1;", b"x"),
        (CHUNKED + b"0\r\n", b"X: y\r\n"),
        (CHUNKED, b"\r\n"),
        (CHUNKED, b"z"),
        (CHUNKED, b"-1\r\n"),
    ],
)
def test_a_server_that_floods(first, unit):
    """What a server may say before and around its answer has an end, long before the time has."""
    with HostileServer(flood(first, unit)) as server:
        tracemalloc.start()
        outcome = send(server.url)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert outcome in (BROKEN, TryLater("the server's answer is too long"))
    assert peak < MEMORY


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n", Delivered),
        (b"HTTP/1.1 200 OK\r\n\r\n", Delivered),
        (b"HTTP/1.1 400 No\r\nContent-Length: 10000000000\r\n\r\n", Refused),
        (b"HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n", Refused),
        (b"HTTP/1.1 307 Found\r\nLocation: http://[\r\n\r\n", Refused),
        (b"HTTP/1.1 503 No\r\n\r\n", TryLater),
    ],
)
def test_an_answer_without_end(first, expected):
    """Of an answer only as much is read as an id or a reason needs; the status counts."""
    with HostileServer(flood(first, b"x" * 1000)) as server:
        tracemalloc.start()
        outcome = send(server.url)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert isinstance(outcome, expected)
    assert peak < MEMORY


@pytest.mark.parametrize("code", [201, 302, 400, 503])
@pytest.mark.parametrize("coding", [b"gzip", b"gzip, gzip", b"deflate"])
def test_a_bomb_is_not_unpacked(code, coding, bomb):
    """A compressed answer, for which nobody asked, is not unpacked."""
    head = b"HTTP/1.1 %d X\r\nLocation: /x\r\nContent-Encoding: %s\r\nContent-Length: %d\r\n\r\n"
    with HostileServer(say(head % (code, coding, len(bomb)) + bomb)) as server:
        tracemalloc.start()
        send(server.url)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < MEMORY


@pytest.mark.parametrize(
    "answer",
    [
        b"what?",
        b"<html>an answer of HTTP/0.9</html>\r\n" * 50,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 99 X\r\n\r\n",
        b"HTTP/1.1 1000 X\r\n\r\n",
        b"HTTP/1.1 \xd9\xa2\xd9\xa0\xd9\xa0 X\r\n\r\n",
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{}",
        CHUNKED + b"zz\r\n{}",
        CHUNKED + b"-5\r\n{}",
        CHUNKED + b"fffffffffffffffffffff\r\n{}",
        b"\0" * 100,
        b"",
    ],
)
def test_garbage_is_tried_again(answer):
    """What is no answer says nothing of the message: it is kept."""
    with HostileServer(say(answer)) as server:
        outcome = send(server.url)
    assert isinstance(outcome, TryLater)
    assert not outcome.everywhere


@pytest.mark.parametrize(
    "headers",
    [b"Content-Length: 0", b"Content-Type: text/html\r\nContent-Length: 0",
     b"Content-Length: -5", b"Content-Length: x", b"Content-Length: " + b"9" * 5000,
     b"no header at all", b": x", b"X\0Y: z", b" folded: x", b"X: \xff\xfe",
     b"Content-Type: \xff; charset=\0", b"Transfer-Encoding: x"],
)  # fmt: skip
def test_odd_headers_do_no_harm(headers):
    """The status counts, whatever stands beside it."""
    with HostileServer(say(b"HTTP/1.1 200 OK\r\n" + headers + b"\r\n\r\n")) as server:
        assert send(server.url) == Delivered()


HTML = b"<!DOCTYPE html><title>Log in</title>"


@pytest.mark.parametrize("kind", [b"text/html; charset=utf-8", b"TEXT/HTML", b"text/plain", None])
@pytest.mark.parametrize("code", [b"200 OK", b"201 Created", b"409 Conflict"])
def test_a_page_is_no_answer(kind, code):
    """A login page is no success: what was sent is kept, and everything waits."""
    head = b"" if kind is None else b"Content-Type: " + kind + b"\r\n"
    page = b"HTTP/1.1 " + code + b"\r\n" + head + b"Content-Length: %d\r\n\r\n" % len(HTML) + HTML
    with HostileServer(say(page)) as server:
        outcome = send(server.url)
    assert isinstance(outcome, TryLater)
    assert outcome.everywhere
    assert outcome.reason.startswith(code[:3].decode())
    assert "which is no dotflow-api's" in outcome.reason


@pytest.mark.parametrize("kind", [b"application/json", b"application/json; charset=utf-8",
                                  b"application/problem+json", b"Text/JSON"])  # fmt: skip
def test_json_is_an_answer_by_all_its_names(kind):
    """An answer in JSON counts, whatever its content type adds to that."""
    answer = CREATED.replace(b"\r\n", b"\r\nContent-Type: " + kind + b"\r\n", 1)
    with HostileServer(say(answer)) as server:
        assert send(server.url) == Delivered()


@pytest.mark.parametrize("code", [100, 102, 103, 199])
def test_an_interim_answer_is_none(code):
    """The answer is what comes after interim ones; where nothing does there was none."""
    interim = b"HTTP/1.1 %d X\r\nLink: </x>\r\n\r\n" % code
    with HostileServer(say(interim * 3 + CREATED, interim)) as server:
        assert send(server.url, workflow_post(), workflow_post()) == [Delivered(), BROKEN]


def test_another_protocol_is_no_answer():
    """A server that changes the protocol has not said what became of the message."""
    answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"
    with HostileServer(say(answer)) as server:
        assert isinstance(send(server.url), TryLater)


def test_more_than_one_answer_does_not_answer_the_next():
    """What a server says unasked is not taken for the answer to the next message."""
    refused = b"HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n"
    with HostileServer(say(CREATED + refused, CREATED, stays=True)) as server:
        assert send(server.url, workflow_post(), workflow_post()) == [Delivered(), Delivered()]


def test_an_answer_before_the_message_is_read():
    """A server that has seen enough of a large message, and says so, is heard."""

    def enough(connection, stopped):
        connection.recv(1000)
        connection.sendall(b"HTTP/1.1 413 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        while connection.recv(65536):
            pass

    with HostileServer(enough) as server:
        assert isinstance(send(server.url, LARGE), Instead)


def test_cookies_are_neither_kept_nor_sent():
    """A server cannot have us carry anything from one call to another."""
    heads = []

    def look(connection, stopped):
        for _ in range(2):
            heads.append(request(connection))
            connection.sendall(CREATED.replace(b"\r\n", b"\r\nSet-Cookie: a=b; Path=/\r\n", 1))

    with HostileServer(look) as server:
        send(server.url, workflow_post(), workflow_post())
    assert len(heads) == 2
    assert b"cookie" not in heads[1].lower()


@pytest.mark.parametrize(
    "script",
    [hang, drip(b"HTTP/1.1 200 OK\r\nX: ", b"x"), drip(HANDSHAKE, b"\0", reads=False), say(b"")],
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_flush_and_close_keep_their_time(script, scheme, monkeypatch):
    """However long a call may take, nobody waits for it longer than he said."""
    with HostileServer(script) as server:
        channel = Channel(Destination(server.url.replace("http", scheme), TOKEN, timeout=30))
        for number in range(5):
            put_workflow(channel, f"w{number}")
        started = time.monotonic()
        assert channel.flush(0.1).pending == 5
        assert time.monotonic() - started < 0.1 + GRACE
        started = time.monotonic()
        channel.close(0.1)
        assert time.monotonic() - started < 0.1 + GRACE


def test_close_does_not_wait_for_a_call():
    """The connections of a client can be closed while a call hangs in one."""
    with HostileServer(hang) as server:
        client = Client(Destination(server.url, TOKEN, timeout=30))
        thread = threading.Thread(target=client.send, args=[workflow_post()])
        thread.start()
        while not server.connections:
            time.sleep(0.005)
        started = time.monotonic()
        client.close()
        assert time.monotonic() - started < GRACE
    thread.join()


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_tls_with_the_bundle_of_the_environment(variable, tls, authority, monkeypatch, tmp_path):
    """A server whose authority the environment names is trusted, and its connection kept."""
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv(variable, str(tmp_path / "ca.pem"))
    api = FaultServer(tls=tls)
    assert send(api.url, workflow_post(), task_post(1)) == [Delivered(), Delivered("srv-1")]
    assert api.connections == 1
    api.close()


def test_a_closed_connection_over_tls_costs_nothing(tls, trusted):
    """Also over TLS a connection that the server has closed is made anew, without a failure."""
    api = FaultServer(tls=tls)
    client = Client(Destination(api.url, TOKEN))
    for number in range(2):
        assert client.send(workflow_post(f"w{number}")) == Delivered()
        api.drop_idle()
    client.close()
    assert len(api.seen) == 2
    api.close()


def test_an_unknown_authority_is_not_trusted(tls):
    """A certificate of somebody else's has all messages wait, and says why."""
    api = FaultServer(tls=tls)
    outcome = send(api.url)
    assert isinstance(outcome, TryLater)
    assert outcome.everywhere
    assert outcome.reason.startswith("the server's certificate could not be verified: ")
    assert api.seen == []
    api.close()


def test_a_certificate_for_another_host_is_not_trusted(authority, trusted):
    """A certificate that is good, but another host's, is not enough."""
    api = FaultServer(tls=certified(authority, "dotflow.example"))
    outcome = send(api.url)
    assert isinstance(outcome, TryLater)
    assert outcome.everywhere
    assert "mismatch" in outcome.reason
    assert api.seen == []
    api.close()


def test_tls_that_breaks_off(tls, trusted):
    """Where TLS breaks in a call, it was trusted before: that is no reason to keep others back."""

    def garble(connection, stopped):
        request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        with socket.socket(fileno=os.dup(connection.fileno())) as below:
            below.sendall(b"garbage" * 100)
        stopped.wait()

    with HostileServer(over_tls(tls, garble)) as server:
        assert send(server.url.replace("http", "https")) == BROKEN


def test_https_where_there_is_no_tls(api):
    """An address of https for a server of http is said to be no TLS."""
    outcome = send(api.url.replace("http", "https"))
    assert isinstance(outcome, TryLater)
    assert outcome.everywhere
    assert outcome.reason.startswith("no TLS connection could be made: ")
    assert api.seen == []


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_bundle_that_is_none(content, tls, monkeypatch, tmp_path):
    """A bundle that is not there, or is none, has all messages wait."""
    path = tmp_path / "bundle.pem"
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(path))
    api = FaultServer(tls=tls)
    outcome = send(api.url)
    assert isinstance(outcome, TryLater)
    assert outcome.everywhere
    assert api.seen == []
    api.close()


def test_a_tunnel_through_a_proxy(authority, trusted, monkeypatch):
    """Over HTTPS_PROXY a message goes to the server in TLS; the proxy sees its name, no token."""
    api = FaultServer(tls=certified(authority, "dotflow.invalid"))
    with ConnectProxy(int(api.url.rpartition(":")[2])) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("//", "//us%C3%A9r:p4ss@"))
        messages = workflow_post(), task_post(1)
        assert send("https://dotflow.invalid", *messages) == [Delivered(), Delivered("srv-1")]
    assert len(proxy.heads) == 1
    assert proxy.heads[0].startswith(b"CONNECT dotflow.invalid:443 ")
    assert b"Proxy-Authorization: Basic " in proxy.heads[0]
    assert TOKEN.encode() not in proxy.heads[0]
    assert "proxy-authorization" not in api.seen[0].headers
    api.close()


def test_tls_is_verified_through_a_proxy(authority, trusted, monkeypatch):
    """A proxy that leads somewhere else gets nothing."""
    api = FaultServer(tls=certified(authority, "elsewhere.invalid"))
    with ConnectProxy(int(api.url.rpartition(":")[2])) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        outcome = send("https://dotflow.invalid")
    assert isinstance(outcome, TryLater)
    assert "certificate" in outcome.reason
    assert api.seen == []
    api.close()


def test_a_proxy_for_plain_http(api, monkeypatch):
    """HTTP_PROXY is given the whole address, in which no id is changed."""
    api.on("PATCH", status(200))
    monkeypatch.setenv("http_proxy", api.url)
    assert send("http://dotflow.invalid/base", workflow_patch("..", status="x")) == Delivered()
    assert api.lines() == ["PATCH http://dotflow.invalid/base/workflows/%2E%2E"]


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 407 Who are you\r\n\r\n", b"HTTP/1.1 502 No\r\n\r\n", b"?\r\n\r\n", b""]
)
def test_a_proxy_that_refuses(answer, monkeypatch):
    """A proxy that makes no tunnel has all messages wait."""
    with HostileServer(say(answer)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        assert send("https://dotflow.invalid") == UNREACHED


def test_no_proxy_is_honoured(api, monkeypatch):
    """A host that NO_PROXY names is called without the proxy."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert send(api.url) == Delivered()


@pytest.mark.parametrize(
    "proxy",
    ["what://us3r:p4ss@h", "http://us3r:p4ss@h:port", "socks5://us3r:p4ss@127.0.0.1:1"],
)
def test_a_proxy_that_is_none(proxy, api, monkeypatch):
    """A proxy that cannot be one has the messages wait, and its password is not repeated."""
    monkeypatch.setenv("http_proxy", proxy)
    outcome = send(api.url)
    assert isinstance(outcome, TryLater)
    assert outcome.everywhere
    assert "p4ss" not in outcome.reason
    assert api.seen == []


def test_a_host_of_several_addresses(api, monkeypatch):
    """A host is called at the first of its addresses that answers; where none does, it is over."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        closed = listener.getsockname()
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", closed)] * 3
    open_one = ("127.0.0.1", int(api.url.rpartition(":")[2]))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: list(found))
    assert send("http://dotflow.invalid") == TryLater(
        "the server could not be reached: connection refused", everywhere=True
    )
    found.append((socket.AF_INET, socket.SOCK_STREAM, 6, "", open_one))
    assert send("http://dotflow.invalid") == Delivered()


@pytest.mark.parametrize("dialect", list(Dialect))
def test_every_id_arrives_at_the_reference_server(dialect, reference):
    """The reference dotflow-api knows a record by the id that it was made with."""
    client = Client(Destination(reference.url, TOKEN, dialect))
    for workflow in ("a/../b", "%2e%2e", "a b?#", "...", "%00", "ż"):
        assert client.send(workflow_post(workflow)) == Delivered()
        assert client.send(workflow_patch(workflow, status="Completed")) == Delivered()
    client.close()


def test_an_id_of_dots_is_no_folder_to_the_reference_server(reference):
    """An id of dots is looked for as a workflow's, not taken for another route."""
    client = Client(Destination(reference.url, TOKEN, Dialect.MANAGED))
    for workflow in (".", ".."):
        outcome = client.send(workflow_patch(workflow, status="Completed"))
        assert isinstance(outcome, Refused)
        assert "workflow" in outcome.reason
    client.close()
