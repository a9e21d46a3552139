"""Servers on real sockets that keep to no rule, and a proxy that keeps to one."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl

    from typing_extensions import Self

Script = Callable[[socket.socket, threading.Event], None]
"""What a server does with a connection, until it is told to stop."""

PAUSE = 0.02
"""Seconds between the bytes of a server that drips: well within any timeout."""


def request(connection: socket.socket) -> bytes:
    """Read a request with its body, and return its head."""
    raw = b""
    while b"\r\n\r\n" not in raw:
        part = connection.recv(65536)
        if not part:
            return raw
        raw += part
    head, _, body = raw.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: *(\d+)", head)
    left = (int(length[1]) if length else 0) - len(body)
    while left > 0:
        left -= len(connection.recv(65536)) or left
    return head


def drip(first: bytes, unit: bytes = b" ", reads: bool = True) -> Script:
    """Say something, and then bit by bit more, without end."""

    def script(connection, stopped):
        if reads:
            request(connection)
        connection.sendall(first)
        while not stopped.wait(PAUSE):
            connection.sendall(unit)

    return script


def flood(first: bytes, unit: bytes) -> Script:
    """Say something, and then more, as fast as it is taken, without end."""

    def script(connection, stopped):
        request(connection)
        connection.sendall(first)
        many = unit * (65536 // len(unit) + 1)
        while not stopped.is_set():
            connection.sendall(many)

    return script


def say(*answers: bytes, stays: bool = False) -> Script:
    """Answer one request after another; then close, or stay and say no more."""

    def script(connection, stopped):
        for answer in answers:
            if not request(connection):
                return
            connection.sendall(answer)
        if stays:
            stopped.wait()

    return script


def hang(connection: socket.socket, stopped: threading.Event) -> None:
    """Accept, and neither read nor write."""
    stopped.wait()


def over_tls(context: ssl.SSLContext, script: Script) -> Script:
    """The same over TLS."""

    def wrapped(connection, stopped):
        with context.wrap_socket(connection, server_side=True) as secure:
            script(secure, stopped)

    return wrapped


class HostileServer:
    """Does with each connection what the script says."""

    def __init__(self, script: Script, port: int = 0) -> None:
        self.script = script
        self.connections = 0
        self._stopped = threading.Event()
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port = self._listener.getsockname()[1]
        self._begin(self._accept)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._stopped.set()
        # A thread that is in accept() is woken by a connection.
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port)).close()
        self._threads[0].join()
        self._listener.close()
        for one in self._open:
            with contextlib.suppress(OSError):  # which has ended by itself
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def _begin(self, run: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=run, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            if self._stopped.is_set():
                connection.close()
                return
            self.connections += 1
            self._begin(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        handle = connection.dup()  # TLS takes the other one over; by this one __exit__ ends it
        self._open.append(handle)
        with handle, connection, contextlib.suppress(OSError):
            self.script(connection, self._stopped)


class ConnectProxy(HostileServer):
    """A proxy that makes tunnels to where it is told, or always to one port of this machine."""

    def __init__(self, port: int | None = None) -> None:
        self.heads: list[bytes] = []
        self._to = port
        super().__init__(self._tunnel)

    def _tunnel(self, connection, stopped):
        head = request(connection)
        self.heads.append(head)
        port = self._to or int(head.split(b" ")[1].rpartition(b":")[2])
        with socket.create_connection(("127.0.0.1", port)) as upstream:
            connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            self._begin(self._pump, upstream, connection)
            self._pump(connection, upstream)

    @staticmethod
    def _pump(source, target):
        with contextlib.suppress(OSError):
            while part := source.recv(65536):
                target.sendall(part)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)
