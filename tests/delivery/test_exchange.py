"""Calls on a connection that is open are made in a way of our own: it says and hears the same."""

from __future__ import annotations

import pytest
from support.calls import BROKEN, send
from support.fault_server import TOKEN
from support.hostile_server import HostileServer, request, say
from support.messages import workflow_post

from dotflow.delivery.dialect import Destination
from dotflow.delivery.http.client import Client
from dotflow.delivery.http.exchange import request_of, whole_answer
from dotflow.delivery.message import Delivered, Refused, TryLater

pytestmark = pytest.mark.usefixtures("no_proxies")

CREATED = b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}"
CHUNKED = b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"


def second(*answers, stays=True):
    """What becomes of a second call, and how many connections there were."""
    with HostileServer(say(CREATED, *answers, stays=stays)) as server:
        first, *others = send(server.url, *[workflow_post()] * (1 + len(answers)))
        assert first == Delivered()
        return *others, server.connections


def test_both_ways_say_the_same():
    """The second call has the request line and the headers of the first one, which is urllib3's."""
    heads = []

    def look(connection, stopped):
        for _ in range(2):
            heads.append(request(connection))
            connection.sendall(CREATED)

    with HostileServer(look) as server:
        send(server.url + "/below", *[workflow_post()] * 2)
        assert server.connections == 1
    line, *headers = heads[0].split(b"\r\n")
    assert line == b"POST /below/workflows HTTP/1.1"
    said = sorted(headers)
    assert heads[1].split(b"\r\n")[0] == line
    assert sorted(heads[1].split(b"\r\n")[1:]) == said
    assert len(said) == len(set(said))


@pytest.mark.parametrize(
    "answer",
    [
        CREATED,
        CHUNKED,
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + CREATED,
        CREATED.replace(b"\r\n", b"\r\ncontent-LENGTH: 2\r\n", 1),
        CREATED.replace(b"\r\n", b"\r\nX: y\r\n folded\r\nX: z\r\n", 1),
        CREATED.replace(b" Created", b""),
        b"HTTP/1.1 409 Conflict\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_an_answer_of_any_kind_is_heard(answer):
    """Whatever way the answer is framed, and the connection goes on."""
    assert second(answer, CREATED) == (Delivered(), Delivered(), 1)


@pytest.mark.parametrize(
    "answer",
    [
        CREATED.replace(b"\r\n", b"\r\nConnection: close\r\n", 1),
        CREATED.replace(b"HTTP/1.1", b"HTTP/1.0"),
        b"HTTP/1.1 400 No\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100000,
        CREATED + b"HTTP/1.1 500 Nobody asked\r\n\r\n",
    ],
)
def test_a_connection_that_ends_is_followed_by_another(answer):
    """After an answer that is the last one, or was not read to its end, comes a new connection."""
    with HostileServer(say(CREATED, answer, stays=True)) as server:
        outcomes = send(server.url, *[workflow_post()] * 3)
        assert server.connections == 2
    assert outcomes[2] == Delivered()
    assert isinstance(outcomes[1], (Delivered, Refused))


def test_an_answer_may_come_in_pieces():
    """An answer that comes byte by byte is heard as a whole one is, and the connection goes on."""

    def trickle(connection, stopped):
        for pieces in ([CREATED], [CREATED[at : at + 1] for at in range(len(CREATED))], [CREATED]):
            request(connection)
            for piece in pieces:
                connection.sendall(piece)
        stopped.wait()

    with HostileServer(trickle) as server:
        assert send(server.url, *[workflow_post()] * 3) == [Delivered()] * 3
        assert server.connections == 1


def test_what_is_not_whole_is_no_answer():
    """The first bytes of an answer are read on."""
    assert not any(whole_answer(CREATED[:cut]) for cut in range(len(CREATED)))
    assert whole_answer(CREATED).read(9) == b"{}"


def test_what_breaks_off_is_sent_again():
    """Half an answer is none."""
    half = b"HTTP/1.1 201 Created\r\nContent-Length: 50\r\n\r\n{}"
    assert second(half, stays=False) == (BROKEN, 1)
    assert second(b"HTTP/1.1 2", stays=False) == (BROKEN, 1)


def test_lengths_that_differ_are_not_believed():
    """Nobody knows where such an answer ends, whichever of the two ways it is read."""
    two = CREATED.replace(b"\r\n", b"\r\nContent-Length: 1\r\n", 1)
    outcome, _ = second(two)
    assert isinstance(outcome, TryLater)
    assert second(CREATED.replace(b": 2", b": 2, 2"))[0] == Delivered()


def test_a_server_that_hangs_is_left():
    """A second call has its time, too."""
    with HostileServer(say(CREATED, stays=True)) as server:
        client = Client(Destination(server.url, TOKEN, timeout=1.0))
        assert client.send(workflow_post()) == Delivered()
        late = client.send(workflow_post())
        client.close()
    assert late == TryLater("the server did not answer in time", is_too_much=True)


@pytest.mark.parametrize(
    ("target", "host", "headers"),
    [
        ("/x y", "host", {}),
        ("/x\r\nA: b", "host", {}),
        ("http://host/x", "host", {}),
        ("/x", "", {}),
        ("/x", "host\r\nA: b", {}),
        ("/x", "host", {"A": "b\r\nC: d"}),
        ("/x", "host", {"A": "b\n"}),
        ("/x", "host", {"A\r\n": "b"}),
        ("/x", "host", {"A": "\u00e9"}),
    ],
)
def test_what_is_not_plain_goes_another_way(target, host, headers):
    """Nothing in a header or an address can be taken for another header, or another request."""
    assert request_of("GET", target, host, headers, None) is None
    assert request_of("GET", "/x", "host", {"A": "b"}, None) == (
        b"GET /x HTTP/1.1\r\nHost: host\r\nA: b\r\n\r\n"
    )
