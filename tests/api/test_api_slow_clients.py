"""Clients that never finish, never read, or are very many: the others are served meanwhile."""

import asyncio
import contextlib
import logging
import resource
import socket
import time
from collections.abc import Callable, Iterator
from typing import BinaryIO

import pytest
import requests
from api_client import TOKEN
from starlette.types import Message, Receive, Scope, Send

from dotflow.api import ApiServer
from dotflow.api import limits as bodies
from dotflow.api.guard import connections as bounds

HEAD = f"POST /workflows HTTP/1.1\r\nHost: x\r\nX-User-Token: {TOKEN}\r\n"
BODY = "Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
SLOW_HEAD = HEAD.encode()
SLOW_BODY = (HEAD + BODY).encode()
SLOW_STRANGER = b"POST /workflows HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{"


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "HEAD_SECONDS", 1.0)
    monkeypatch.setattr(bounds, "PATIENCE_SECONDS", 1.0)
    monkeypatch.setattr(bounds, "_LOOK_SECONDS", 0.1)


@pytest.fixture
def opened() -> Iterator[Callable[[ApiServer, bytes], socket.socket]]:
    with contextlib.ExitStack() as stack:

        def connect(server: ApiServer, begin: bytes) -> socket.socket:
            host, _, port = server.url.removeprefix("http://").partition(":")
            one = stack.enter_context(socket.create_connection((host, int(port)), timeout=60))
            one.sendall(begin)
            return one

        yield connect


def _size(answers: BinaryIO) -> int:
    """Reads a head and gives how long the body behind it is."""
    size = 0
    while (line := answers.readline()) != b"\r\n":
        if line.lower().startswith(b"content-length:"):
            size = int(line.partition(b":")[2])
    return size


def is_served(server: ApiServer) -> bool:
    url = f"{server.url}/workflows"
    return requests.get(url, headers={"X-User-Token": TOKEN}, timeout=60).ok


def is_over(connection: socket.socket) -> bool:
    with contextlib.suppress(ConnectionError):
        while connection.recv(65536):
            pass
    return True


@pytest.mark.usefixtures("brief")
def test_client_that_never_finishes_is_not_waited_for(
    sqlite_url: str, opened: Callable[[ApiServer, bytes], socket.socket]
) -> None:
    """Half a head, half a body, nothing at all, or a body after its answer: each has its time."""
    with ApiServer(sqlite_url, TOKEN) as server:
        begun = [opened(server, one) for one in (b"", SLOW_HEAD, SLOW_BODY, SLOW_STRANGER)]
        assert is_served(server)
        assert all(is_over(one) for one in begun)
        assert is_served(server)


@pytest.mark.slow
@pytest.mark.usefixtures("brief")
def test_client_that_takes_its_time_is_waited_for(
    sqlite_url: str, opened: Callable[[ApiServer, bytes], socket.socket]
) -> None:
    """An idle connection goes on after longer than a head may take."""
    with ApiServer(sqlite_url, TOKEN) as server:
        ask = f"GET /healthz HTTP/1.1\r\nHost: x\r\nX-User-Token: {TOKEN}\r\n\r\n".encode()
        one = opened(server, ask)
        with one.makefile("rb") as answers:
            assert answers.read(_size(answers)) == b'{"status":"ok"}'
            time.sleep(2 * bounds.HEAD_SECONDS)
            one.sendall(ask)
            assert answers.read(_size(answers)) == b'{"status":"ok"}'


def test_idle_connections_make_room(
    sqlite_url: str,
    opened: Callable[[ApiServer, bytes], socket.socket],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One more connection than there may be ends the one that waits for longest, said once."""
    monkeypatch.setattr(bounds, "MOST", 8)
    with ApiServer(sqlite_url, TOKEN) as server:
        begun = [opened(server, SLOW_BODY) for _ in range(8)]
        idle = [opened(server, b"") for _ in range(20)]
        assert is_served(server)
        assert all(is_over(one) for one in idle[:12])
        for one in begun:
            one.close()
    assert len([one for one in caplog.records if one.levelno >= logging.WARNING]) <= 1


def test_bodies_have_one_bound_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where as much is held as may be, one more body is to be tried again; then there is room."""
    monkeypatch.setattr(bodies, "MAX_HELD_BYTES", 10)
    asyncio.run(_hold_bodies())


async def _hold_bodies() -> None:
    is_held, may_end = asyncio.Event(), asyncio.Event()

    async def work(_scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["body"] == b"12345678"
        is_held.set()
        await may_end.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def receive() -> Message:
        return {"type": "http.request", "body": b"12345678"}

    async def call() -> Message:
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        await limit({"type": "http", "path": "/workflows", "headers": []}, receive, send)
        return sent[0]

    limit = bodies.BodyLimit(work)
    first = asyncio.create_task(call())
    await is_held.wait()
    refused = await call()
    assert (refused["status"], dict(refused["headers"])[b"retry-after"]) == (503, b"1")
    may_end.set()
    assert [(await first)["status"], (await call())["status"]] == [200, 200]


def test_flood_of_bad_requests_says_little(
    sqlite_url: str,
    opened: Callable[[ApiServer, bytes], socket.socket],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What is no HTTP, and heads without end, are refused; the log names each kind once."""
    with ApiServer(sqlite_url, TOKEN) as server:
        for number in range(40):
            junk = (
                b"\x16\x03\x01 no http\r\n\r\n" if number % 2 else SLOW_HEAD + b"a: b\r\n" * 20000
            )
            with contextlib.suppress(ConnectionError):
                assert is_over(opened(server, junk))
        assert is_served(server)
    assert len([one for one in caplog.records if one.levelno >= logging.WARNING]) <= 2


def test_burst_of_connections_says_once_that_there_is_no_room(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What asyncio has to say of each connection is one line; all else is said as ever."""
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(bounds.tell_sparingly)
    for _ in range(100):
        loop.call_exception_handler({"message": "socket.accept() out of system resource"})
    loop.call_exception_handler({"message": "something else"})
    loop.close()
    said = [one.getMessage() for one in caplog.records]
    assert said == ["This process may open no more files: new connections wait.", "something else"]


@pytest.mark.slow
@pytest.mark.usefixtures("brief")
def test_client_that_does_not_read_is_not_waited_for(
    sqlite_url: str,
    opened: Callable[[ApiServer, bytes], socket.socket],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Answers that nobody reads are thrown away with their connection."""
    monkeypatch.setattr(bounds, "LEAST_RATE", 8 * 2**20)
    headers = {"X-User-Token": TOKEN}
    with ApiServer(sqlite_url, TOKEN) as server:
        url = f"{server.url}/workflows"
        assert requests.post(url, json={"id": "a"}, headers=headers, timeout=60).ok
        task = {"id": 1, "name": "x", "initial_context": "x" * (5 * 2**20)}
        assert requests.post(f"{url}/a/tasks", json=task, headers=headers, timeout=60).ok
        ask = f"GET /workflows/a/tasks/1 HTTP/1.1\r\nHost: x\r\nX-User-Token: {TOKEN}\r\n\r\n"
        deaf = opened(server, 4 * ask.encode())
        open_ = server._server.server_state.connections  # type: ignore[union-attr]
        until = time.monotonic() + 60
        is_there = [False]
        while is_there[-1] or not any(is_there):
            is_there.append(any(one.client == deaf.getsockname() for one in [*open_]))
            assert time.monotonic() < until
            time.sleep(0.05)
        received = 0
        with contextlib.suppress(ConnectionError):
            while chunk := deaf.recv(2**20):
                received += len(chunk)
        assert received < 4 * 5 * 2**20


@pytest.mark.slow
def test_many_idle_and_half_sent_are_nothing_to_others(
    sqlite_url: str, opened: Callable[[ApiServer, bytes], socket.socket]
) -> None:
    """Hundreds that never finish do not stop the server, with the token or without."""
    with ApiServer(sqlite_url, TOKEN) as server:
        begun = []
        for begin in (SLOW_HEAD, SLOW_BODY, SLOW_STRANGER, b""):
            begun += [opened(server, begin) for _ in range(400)]
            assert is_served(server)
        for one in begun:
            one.close()


def test_server_may_have_all_its_connections() -> None:
    """A program that may open few files asks for more; one that may open many keeps them."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (512, before[1]))
        assert bounds.most_connections() == 384
        bounds.make_room()
        assert bounds.most_connections() == min(2000, before[1] * 3 // 4)
        may_open, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        bounds.make_room()
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == may_open
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
