"""Kept-alive connections on which every call is bounded, in time and in what is read.

A timeout of `requests` is one of each wait: a server that sends a byte a second keeps to it for
ever. Here it is one of the call, whatever takes the time: the connection, a proxy's tunnel, TLS,
the request, interim answers, headers, chunks and trailers. Redirects are not followed, cookies not
kept, `.netrc` not read: `requests` does that above what is used here. It only says, once a thread,
what the environment wants of proxies and CA bundles: the calls themselves are urllib3's.

A socket that is not ours any more is neither used nor closed (see dotflow.delivery.sockets); over
SOCKS connections are not ours to guard.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import os
import socket
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import Retry
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from dotflow.delivery.sockets import Identity, close_ours, forget, guard, identity_of, is_ours

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from typing_extensions import Self

MAX_BYTES = 2**18
"""Bytes of all that a server may say in one call: headers and what frames the body too."""

FIRST = 16
"""Bytes of an answer that are kept, whatever becomes of it."""

PART = 2**14
"""Bytes that are sent at a time: one record of TLS, so that the time is looked at between them."""


class Call:
    """What one call may cost, and how far it came; within it, this thread's calls are bounded.

    It ends within twice its seconds: half of that for the connection, no single wait longer.

    Args:
        seconds: The time for an answer.
        most: Bytes that the body of the answer may have.
        in_all: Seconds for all of it, in place of twice as many.

    Attributes:
        identity: The device and the inode of the socket that the call is on.
        first: The first bytes of the last answer: they show who speaks another protocol.
    """

    def __init__(self, seconds: float, most: int = 0, in_all: float | None = None) -> None:
        self.identity: Identity | None = None
        self.is_connecting = False
        self.is_too_long = False
        self.first = b""
        self._seconds = seconds
        began = time.monotonic()
        self._connected_by = began + seconds
        self._ends = began + (2 * seconds if in_all is None else in_all)
        self._bytes = MAX_BYTES + most

    def __enter__(self) -> Self:
        self._outer = getattr(_thread, "call", None)  # a signal's handler may call in a call
        _thread.call = self
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _thread.call = self._outer

    def left(self) -> float:
        """Seconds that the next wait may take.

        Raises:
            TimeoutError: None are left.
        """
        ends = self._connected_by if self.is_connecting else self._ends
        left = min(self._seconds, ends - time.monotonic())
        if left <= 0:
            raise TimeoutError("the call is out of time")
        return left

    def count(self, size: int, part: Any) -> None:
        """Take note of bytes that came.

        Raises:
            OSError: They were too many.
        """
        if len(self.first) < FIRST:
            self.first += bytes(part[: min(size, FIRST - len(self.first))])
        self._bytes -= size
        if self._bytes < 0:
            self.is_too_long = True
            raise OSError("the answer is too long")


_thread = threading.local()

_made: weakref.WeakSet[_InBounds] = weakref.WeakSet()
_let_go: list[BoundedAdapter] = []
"""A forked child's copies of its parent's, which must not become garbage."""

_ONCE = Retry(total=False, redirect=False)


class Connections:
    """The connections of one thread to one address; to be used within a `Call`.

    Args:
        url: The address.
        verify: The file of a CA bundle; without one what the environment says.
        cert: The file of a client's certificate, or those of it and of its key.

    Raises:
        OSError: The environment, or the address, lets no call be made.
        HTTPError: The same.
    """

    def __init__(self, url: str, verify: str | None = None, cert: Any = None) -> None:
        self._adapter = BoundedAdapter()
        settings = requests.Session().merge_environment_settings(
            url, {}, stream=True, verify=verify, cert=cert
        )
        request = requests.Request("POST", url).prepare()
        self._pool = self._adapter.pool(request, settings)
        target = self._adapter.request_url(request, settings["proxies"])
        self._target, self._base = target, target.rstrip("/")

    @contextlib.contextmanager
    def call(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str], seconds: float
    ) -> Iterator[Any]:
        """Make a call; the answer's headers have come, and its body can be read.

        Args:
            method: The method.
            path: The path below the address, quoted; the address itself if it is empty.
            body: The body.
            headers: All headers.
            seconds: How long one wait may take.
        """
        target = self._base + path if path else self._target
        response = self._pool.urlopen(
            method, target, body=body, headers=headers, redirect=False,
            assert_same_host=False, preload_content=False, decode_content=False, retries=_ONCE,
            timeout=seconds,
        )  # fmt: skip
        try:
            yield response
        finally:
            response.close()  # which also ends a connection that has more to say
            response.release_conn()

    def close(self) -> None:
        """Close all connections at once."""
        self._adapter.close()

    def let_go(self) -> None:
        """Close a forked child's copies of the parent's sockets, and nothing else."""
        self._adapter.let_go()


class BoundedAdapter(HTTPAdapter):
    """Finds the pool of connections as `requests` does; also for a session, within a `Call`."""

    def __init__(self) -> None:
        super().__init__(pool_connections=1, pool_maxsize=1)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def pool(self, request: requests.PreparedRequest, settings: Any) -> HTTPConnectionPool:
        """The pool for the address of a request, with the environment's proxies and CA bundle."""
        verify, proxies, cert = settings["verify"], settings["proxies"], settings["cert"]
        find: Any = getattr(self, "get_connection_with_tls_context", None)
        if find is None:  # requests 2.31
            pool: Any = self.get_connection(str(request.url), proxies)
        else:
            pool = find(request, verify, proxies=proxies, cert=cert)
        check: Any = self.cert_verify
        check(pool, request.url, verify, cert)
        return pool  # type: ignore[no-any-return]

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """Whoever makes the connections over a proxy."""
        manager = super().proxy_manager_for(proxy, **options)
        # SOCKS has connections of its own: there only each wait is bounded.
        if not proxy.lower().startswith("socks"):
            manager.pool_classes_by_scheme = _POOLS
        return manager

    def close(self) -> None:
        """Close all connections at once; urllib3 would wait for a garbage collection."""
        for pool in self._pools():
            pool.close()
        super().close()

    def let_go(self) -> None:
        """Close the sockets without a word to the objects that read from them."""
        # No pool is asked: a thread that is not here may have held its lock, as it may again when
        # the pool is garbage.
        _let_go.append(self)
        for connection in list(_made):
            if connection.process != os.getpid():
                connection.let_go()

    def _pools(self) -> Iterator[Any]:
        for manager in (self.poolmanager, *self.proxy_manager.values()):
            for key in manager.pools.keys():  # noqa: SIM118 - no dict, but like one
                yield manager.pools[key]


class _Answer(http.client.HTTPResponse):
    """An answer that is read within its call's bounds."""

    def __init__(self, sock: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        _thread.call.first = b""
        self.fp = io.BufferedReader(_Bounded(sock, self.fp.detach(), _thread.call))

    def _read_status(self) -> tuple[str, int, str]:
        """The status of the answer itself; interim ones may come before it (RFC 9110, 15.2)."""
        while True:
            found: tuple[str, int, str] = super()._read_status()  # type: ignore[misc]
            if not http.client.SWITCHING_PROTOCOLS < found[1] < http.client.OK:
                return found
            http.client.parse_headers(self.fp)

    def begin(self) -> None:
        """Read the headers."""
        super().begin()
        # Headers that cannot be parsed are nothing to us; urllib3 would log them with what they
        # hold, which may be what we sent.
        self.msg.defects.clear()
        self.msg.set_payload("")
        del self.msg["Set-Cookie"]  # requests would parse it


class _Bounded(io.RawIOBase):
    """What a socket has to say, within the bounds of a call."""

    def __init__(self, sock: Any, raw: Any, call: Call) -> None:
        self._sock, self._raw, self._call = sock, raw, call
        self._identity = call.identity

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        # A socket that was closed meanwhile says so by itself.
        if self._sock.fileno() >= 0:
            guard(self._sock, self._identity)
            self._sock.settimeout(self._call.left())
        size: int = self._raw.readinto(buffer) or 0
        self._call.count(size, buffer)
        return size

    def close(self) -> None:
        if not self.closed:
            if not is_ours(self._sock, self._identity):
                forget(self._sock)
            self._raw.close()
        super().close()


class _InBounds(HTTPConnection):
    """A connection that keeps to the bounds of the call it is used for."""

    response_class = _Answer
    debuglevel = 0  # http.client's, where a program sets it for all, prints headers: the token too
    identity: Identity | None = None
    process = 0  # the one that made it

    def look(self) -> None:
        """Forget a socket that is not ours any more; the next call connects anew."""
        if self.sock is not None and not is_ours(self.sock, self.identity):
            forget(self.sock)
            self.close()

    def close(self) -> None:
        """Close the socket if it is ours."""
        if self.sock is not None and not is_ours(self.sock, self.identity):
            forget(self.sock)
        super().close()

    def let_go(self) -> None:
        """Close the descriptor of the socket, if it is ours."""
        sock, self.sock = self.sock, None
        if sock is None:
            return
        close_ours(sock, self.identity)

    def connect(self) -> None:
        """Connect, with the proxy's tunnel and TLS where there are any."""
        _thread.call.is_connecting = True
        super().connect()
        _thread.call.is_connecting = False

    def send(self, data: Any) -> None:
        """Send a part of a request."""
        for start in range(0, len(data), PART):
            if self.sock is not None:
                guard(self.sock, self.identity)
                _thread.call.identity = self.identity
                self.sock.settimeout(_thread.call.left())
            super().send(data[start : start + PART])

    def _new_conn(self) -> socket.socket:
        """A socket to the first of the host's addresses that takes it."""
        try:
            found = socket.getaddrinfo(
                self._dns_host.strip("[]"), self.port, type=socket.SOCK_STREAM
            )
            sock = self._first(found)
        except TimeoutError as error:
            raise ConnectTimeoutError(self, "no connection in time") from error
        except (OSError, UnicodeError) as error:
            raise NewConnectionError(self, f"no connection: {error}") from error
        self.identity = identity_of(sock)  # TLS changes the object, but not the descriptor
        return sock

    def _first(self, found: list[Any]) -> socket.socket:
        # Among them they have the time of one: a dead one must leave some to the next.
        family, kind, protocol, _, address = found[0]
        try:
            return self._connected(socket.socket(family, kind, protocol), address, len(found))
        except OSError:
            if not found[1:]:
                raise
        return self._first(found[1:])

    def _connected(self, sock: socket.socket, address: Any, sharers: int) -> socket.socket:
        call: Call = _thread.call
        identity = identity_of(sock)
        try:
            for option in self.socket_options or ():
                sock.setsockopt(*option)
            sock.settimeout(call.left() / sharers)
            sock.connect(address)
            sock.settimeout(call.left())  # TLS takes it over, for all of its handshake
        except BaseException:
            close_ours(sock, identity)
            raise
        return sock


class _HttpsConnection(_InBounds, HTTPSConnection):
    """The same over TLS."""


class _Pool(HTTPConnectionPool):
    """Connections whose sockets are looked at before they are used."""

    ConnectionCls = _InBounds

    def _new_conn(self) -> Any:
        connection: Any = super()._new_conn()
        connection.process = os.getpid()
        _made.add(connection)
        return connection

    def _get_conn(self, timeout: float | None = None) -> Any:
        connection: Any = super()._get_conn(timeout)
        connection.look()
        return connection


class _HttpsPool(_Pool, HTTPSConnectionPool):
    """The same over TLS."""

    ConnectionCls = _HttpsConnection


_POOLS = {"http": _Pool, "https": _HttpsPool}
