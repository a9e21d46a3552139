"""Whatever a server does, a call costs bounded time and memory, and goes where it should."""

from __future__ import annotations

import gzip
import threading
import time
import tracemalloc

import pytest
from support.calls import BROKEN, UNREACHED, send
from support.fault_server import TOKEN
from support.hostile_server import (
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
from dotflow.delivery.dialect import Destination, Dialect
from dotflow.delivery.http.client import Client
from dotflow.delivery.message import Delivered, Instead, Refused, TryLater

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_proxies")]

TIMEOUT = 0.5
GRACE = 20.0  # seconds, for a machine that is busy
MEMORY = 4_000_000  # bytes

LARGE = task_post(1, initial_context="x" * 5_000_000)
CREATED = b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
HANDSHAKE = b"\x16\x03\x03\x40\x00"  # a record of TLS that is long


@pytest.fixture(scope="module")
def bomb():
    return gzip.compress(b"\0" * 30_000_000)


@pytest.fixture
def reference(tmp_path):
    """A real dotflow-api."""
    with ApiServer(f"sqlite:///{tmp_path}/records.db", TOKEN) as server:
        yield server


KEPT = pytest.mark.parametrize("is_kept", [False, True], ids=["first", "kept"])
"""Whether the call is the first one of its connection: the others are made in another way."""


def hostile(script, is_kept):
    """A server that does it with a connection, or after one good answer on that."""

    def after_one(connection, stopped):
        request(connection)
        connection.sendall(CREATED)
        script(connection, stopped)

    return HostileServer(after_one if is_kept else script)


def ask(url, is_kept, *messages, timeout=30):
    """What became of messages, after a first one that went well on the connection."""
    messages = messages or (workflow_post(),)
    if not is_kept:
        return send(url, *messages, timeout=timeout)
    first, *others = send(url, workflow_post(), *messages, timeout=timeout)
    assert first == Delivered()
    return others if others[1:] else others[0]


def timed(url, *messages, timeout=TIMEOUT, is_kept=False):
    """What became of it, which it did within twice the timeout."""
    started = time.monotonic()
    outcome = ask(url, is_kept, *messages, timeout=timeout)
    assert time.monotonic() - started < 2 * timeout + GRACE
    return outcome


LATE = TryLater("the server did not answer in time", is_too_much=True)


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
@KEPT
def test_a_server_that_drips(script, is_kept):
    """A call ends in its time also where every single byte comes in time."""
    with hostile(script, is_kept) as server:
        assert timed(server.url, is_kept=is_kept) == LATE


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
        assert timed(server.url, LARGE, timeout=3) == LATE


def test_a_server_that_does_not_read_over_tls(tls, trusted):
    """A large message that nobody takes ends in its time also over TLS, record by record."""
    with HostileServer(over_tls(tls, hang)) as server:
        assert timed(server.url.replace("http", "https"), LARGE, timeout=3) == LATE


def test_a_server_that_reads_slowly_over_tls(tls, trusted):
    """That every record is taken in time is not enough."""

    def sip(connection, stopped):
        while not stopped.wait(0.05):
            connection.recv(2**14)

    with HostileServer(over_tls(tls, sip)) as server:
        assert timed(server.url.replace("http", "https"), LARGE, timeout=3) == LATE


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
@KEPT
def test_a_server_that_floods(first, unit, is_kept):
    """What a server may say before and around its answer has an end, long before the time has."""
    with hostile(flood(first, unit), is_kept) as server:
        tracemalloc.start()
        outcome = ask(server.url, is_kept)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert outcome in (BROKEN, TryLater("the server's answer is too long", is_too_much=True))
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
@KEPT
def test_an_answer_without_end(first, expected, is_kept):
    """Of an answer only as much is read as an id or a reason needs; the status counts."""
    with hostile(flood(first, b"x" * 1000), is_kept) as server:
        tracemalloc.start()
        outcome = ask(server.url, is_kept)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert isinstance(outcome, expected)
    assert peak < MEMORY


@pytest.mark.parametrize("code", [201, 302, 400, 503])
@pytest.mark.parametrize("coding", [b"gzip", b"gzip, gzip", b"deflate"])
@KEPT
def test_a_bomb_is_not_unpacked(code, coding, bomb, is_kept):
    """A compressed answer, for which nobody asked, is not unpacked."""
    head = b"HTTP/1.1 %d X\r\nLocation: /x\r\nContent-Encoding: %s\r\nContent-Length: %d\r\n\r\n"
    with hostile(say(head % (code, coding, len(bomb)) + bomb), is_kept) as server:
        tracemalloc.start()
        ask(server.url, is_kept)
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
@KEPT
def test_garbage_is_tried_again(answer, is_kept):
    """What is no answer says nothing of the message: it is kept."""
    with hostile(say(answer), is_kept) as server:
        outcome = ask(server.url, is_kept)
    assert isinstance(outcome, TryLater)
    assert not outcome.everywhere


@pytest.mark.parametrize(
    "headers",
    [b"Content-Length: 0", b"Content-Type: text/html\r\nContent-Length: 0",
     b"Content-Length: -5", b"Content-Length: x", b"Content-Length: " + b"9" * 5000,
     b"no header at all", b": x", b"X\0Y: z", b" folded: x", b"X: \xff\xfe",
     b"Content-Type: \xff; charset=\0", b"Transfer-Encoding: x"],
)  # fmt: skip
@KEPT
def test_odd_headers_do_no_harm(headers, is_kept):
    """The status counts, whatever stands beside it."""
    with hostile(say(b"HTTP/1.1 200 OK\r\n" + headers + b"\r\n\r\n"), is_kept) as server:
        assert ask(server.url, is_kept) == Delivered()


HTML = b"<!DOCTYPE html><title>Log in</title>"


@pytest.mark.parametrize("kind", [b"text/html; charset=utf-8", b"TEXT/HTML", b"text/plain", None])
@pytest.mark.parametrize("code", [b"200 OK", b"201 Created", b"409 Conflict"])
@KEPT
def test_a_page_is_no_answer(kind, code, is_kept):
    """A login page is no success: what was sent is kept, and everything waits."""
    head = b"" if kind is None else b"Content-Type: " + kind + b"\r\n"
    page = b"HTTP/1.1 " + code + b"\r\n" + head + b"Content-Length: %d\r\n\r\n" % len(HTML) + HTML
    with hostile(say(page), is_kept) as server:
        outcome = ask(server.url, is_kept)
    assert isinstance(outcome, TryLater)
    assert outcome.everywhere
    assert outcome.reason.startswith(code[:3].decode())
    assert "which is no dotflow-api's" in outcome.reason


@pytest.mark.parametrize("kind", [b"application/json", b"application/json; charset=utf-8",
                                  b"application/problem+json", b"Text/JSON"])  # fmt: skip
@KEPT
def test_json_is_an_answer_by_all_its_names(kind, is_kept):
    """An answer in JSON counts, whatever its content type adds to that."""
    answer = CREATED.replace(b"\r\n", b"\r\nContent-Type: " + kind + b"\r\n", 1)
    with hostile(say(answer), is_kept) as server:
        assert ask(server.url, is_kept) == Delivered()


@pytest.mark.parametrize("code", [100, 102, 103, 199])
@KEPT
def test_an_interim_answer_is_none(code, is_kept):
    """The answer is what comes after interim ones; where nothing does there was none."""
    interim = b"HTTP/1.1 %d X\r\nLink: </x>\r\n\r\n" % code
    with hostile(say(interim * 3 + CREATED, interim), is_kept) as server:
        assert ask(server.url, is_kept, workflow_post(), workflow_post()) == [Delivered(), BROKEN]


@KEPT
def test_another_protocol_is_no_answer(is_kept):
    """A server that changes the protocol has not said what became of the message."""
    answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"
    with hostile(say(answer), is_kept) as server:
        assert isinstance(ask(server.url, is_kept), TryLater)


@KEPT
def test_more_than_one_answer_does_not_answer_the_next(is_kept):
    """What a server says unasked is not taken for the answer to the next message."""
    refused = b"HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n"
    with hostile(say(CREATED + refused, CREATED, stays=True), is_kept) as server:
        assert ask(server.url, is_kept, workflow_post(), workflow_post()) == [
            Delivered(),
            Delivered(),
        ]


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
        assert not channel.flush(0.1).complete  # how many wait is known once the log is read
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
