import json
import socket
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from api_client import TOKEN, exchange

from dotflow.api.limits import MAX_BODY_BYTES

HEAD = (
    f"POST /workflows HTTP/1.1\r\nHost: x\r\nX-User-Token: {TOKEN}\r\n"
    "Content-Type: application/json\r\n"
).encode()


def chunks(count: int) -> Iterator[bytes]:
    for _ in range(count):
        yield b" " * 2**16


def test_body_at_the_limit_is_taken(api: Any) -> None:
    """A body of exactly the limit goes through and comes back whole."""
    path = api.task(api.workflow())
    body = {"current_context": ""}
    size = MAX_BODY_BYTES - len(json.dumps(body))
    text = json.dumps({"current_context": "x" * size}).encode()
    assert len(text) == MAX_BODY_BYTES
    assert api.raw("PATCH", path, text).status_code == 200
    assert len(api.get(path).json()["current_context"]) == size
    assert api.raw("PATCH", path, text + b" ").status_code == 413


def test_chunked_body_is_counted(api: Any) -> None:
    """Without a length the bytes are counted as they come; the client gets its answer."""
    answer = api.raw("POST", "/workflows", chunks(2 * MAX_BODY_BYTES // 2**16))
    assert answer.status_code == 413
    assert str(MAX_BODY_BYTES) in answer.json()["detail"]
    assert api.get("/healthz").status_code == 200


def test_refused_body_is_not_held(api: Any) -> None:
    """However much is sent, no more than the limit is in memory."""
    tracemalloc.start()
    try:
        assert api.raw("POST", "/workflows", chunks(5 * MAX_BODY_BYTES // 2**16)).ok is False
        assert tracemalloc.get_traced_memory()[1] < 3 * MAX_BODY_BYTES
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("length", ["99999999", "9" * 5000])
def test_declared_length_is_enough_to_refuse(api: Any, length: str) -> None:
    """A client that asks first is refused by the length that it declares."""
    request = f"Content-Length: {length}\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
    answer = exchange(api.server.url, HEAD + request.encode())
    assert answer.split()[1] in {b"413", b"400"}


def test_length_may_not_lie(api: Any) -> None:
    """Bytes past the declared length are not taken for the body."""
    kind = b"Connection: close\r\n"
    request = HEAD + kind + b"Content-Length: 2\r\n\r\n{}" + b" " * (2 * 2**20)
    try:
        answer = exchange(api.server.url, request)
    except ConnectionError:
        answer = b""
    assert not answer or answer.split()[1] in {b"422", b"400"}
    assert api.get("/healthz").status_code == 200


def test_half_a_body_is_not_applied(api: Any) -> None:
    """A connection that ends early has said nothing, even where its half is good JSON."""
    host, _, port = api.server.url.removeprefix("http://").partition(":")
    kind = b"Content-Length: 100\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(HEAD + kind + b'{"id": "half-sent"}')
        connection.shutdown(socket.SHUT_WR)
        connection.recv(65536)
    assert api.get("/workflows/half-sent").status_code == 404


def test_length_and_chunks_together_are_harmless(api: Any) -> None:
    """A small length does not smuggle a large chunked body past the limit."""
    chunk = b"600000\r\n" + b" " * 0x600000 + b"\r\n"
    head = b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    try:
        answer = exchange(api.server.url, HEAD + head + 2 * chunk + b"0\r\n\r\n")
    except ConnectionError:
        answer = b""
    assert not answer or answer.split()[1] in {b"413", b"400"}
    assert api.get("/healthz").status_code == 200
