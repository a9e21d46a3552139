"""Several processes on one socket: who starts, replaces and ends them. No database is needed."""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from dotflow.api import workers as module
from dotflow.api.server import _Shared, serve
from dotflow.api.workers import Workers

# What a worker does here: it tells the socket that it was given who it is, and whoever calls has
# it end as it says. Its input ends when it shall.
CODE = """
import json, os, socket, sys, threading
given = json.loads(sys.stdin.buffer.readline())
listener = socket.socket(fileno=given["listener"])
def serve():
    while True:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"%d" % os.getpid())
            if connection.recv(9) == b"die":
                os._exit(7)
threading.Thread(target=serve, daemon=True).start()
os.write(1, b"1")
while os.read(0, 1):
    pass
"""
DEADLINE = 60


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def ask(listener: socket.socket, said: bytes = b"thanks") -> int:
    """Gives the id of the process that answers."""
    with socket.create_connection(listener.getsockname(), timeout=DEADLINE) as connection:
        pid = int(connection.recv(20))
        connection.sendall(said)
        connection.recv(1)
    return pid


def run_meanwhile(
    listener: socket.socket, count: int, act: Callable[[], None], end: signal.Signals
) -> None:
    """Runs workers and, once all answer, does something in a thread and sends a signal."""

    def go() -> None:
        try:
            act()
        finally:
            os.kill(os.getpid(), end)

    thread = threading.Thread(target=go)
    try:
        Workers(count, listener, {}, thread.start).run()
    finally:
        thread.join()


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.usefixtures("terminable")
def test_one_that_ends_is_replaced(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Another takes its place, a warning says so, and at SIGTERM all end."""
    monkeypatch.setattr(module, "_CODE", CODE)

    seen: list[int] = []

    def kill_one() -> None:
        seen.append(ask(listener, b"die"))
        until = time.monotonic() + DEADLINE
        while len(set(seen)) < 3 and time.monotonic() < until:
            seen.append(ask(listener))

    run_meanwhile(listener, 2, kill_one, signal.SIGTERM)
    assert len(set(seen)) == 3
    assert seen.count(seen[0]) == 1
    assert all(is_gone(pid) for pid in seen)
    assert "ended (status 7): another one takes its place in 0.5 s" in caplog.text


@pytest.fixture
def terminable() -> Iterator[None]:
    """Lets a SIGTERM that is passed on through; holds that it was, and that handlers are back."""
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    yield
    assert handlers == (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))
    signal.signal(signal.SIGTERM, before)
    assert heard == [signal.SIGTERM]


def test_ctrl_c_is_passed_on(listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    """All have ended by then."""
    monkeypatch.setattr(module, "_CODE", CODE)
    seen: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        run_meanwhile(listener, 1, lambda: seen.append(ask(listener)), signal.SIGINT)
    assert [is_gone(pid) for pid in seen] == [True]


def test_a_worker_takes_one_connection_and_gives_way(listener: socket.socket) -> None:
    """What waits besides is for the others; if nothing waits, it looks again at once."""
    with _Shared(fileno=os.dup(listener.fileno())) as shared:
        shared.setblocking(False)
        for waiting in (2, 0, 1):
            callers = [socket.create_connection(listener.getsockname()) for _ in range(waiting)]
            for _ in range(waiting):
                shared.accept()[0].close()
                with pytest.raises(BlockingIOError):
                    shared.accept()
            with pytest.raises(BlockingIOError):
                shared.accept()
            for caller in callers:
                caller.close()


def test_one_that_never_comes_up_ends_all(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that cannot start says so, and does not try for ever."""
    monkeypatch.setattr(module, "_CODE", "raise SystemExit(3)")
    with pytest.raises(RuntimeError, match="did not come up"):
        Workers(2, listener, {}, pytest.fail).run()


def test_none_outlives_the_first_process(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However that ends: it cannot tell them to."""
    monkeypatch.setattr(module, "_CODE", CODE)
    given = {"listener": listener.fileno(), "path": []}
    worker = module._Worker(given)
    assert worker.hear()
    worker.channel.shutdown(socket.SHUT_RDWR)
    assert worker.process.wait(DEADLINE) == 0
    worker.close()


@pytest.mark.parametrize(
    ("count", "remedy"),
    [
        (0, "from 1 to 64"),
        (65, "from 1 to 64"),
        (15, "give 45 or more"),
        (2, "--database postgresql"),
    ],
)
def test_a_number_that_cannot_serve_is_refused(sqlite_url: str, count: int, remedy: str) -> None:
    """SQLite has one process, and there are as many as help; the message says what to give."""
    with pytest.raises(ValueError, match=remedy):
        serve(sqlite_url, "t", port=0, workers=count)
