"""Kept-alive connections on which every call is bounded, in time and in what is read.

A timeout of `requests` is one of each wait: a server that sends a byte a second keeps to it for
ever. Here it is one of the call, whatever takes the time: the connection, a proxy's tunnel, TLS,
the request, interim answers, headers, chunks and trailers. Redirects are not followed, cookies not
kept, `.netrc` not read: `requests` does that above what is used here. It only says, once a thread,
what the environment wants of proxies and CA bundles. urllib3 connects and makes the first call.

A socket that is not ours any more is neither used nor closed (see dotflow.delivery.http.sockets);
over SOCKS connections are not ours to guard.
"""

from __future__ import annotations

import contextlib
import os
import socket
import weakref
from typing import TYPE_CHECKING, Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import Retry
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError
from urllib3.util.connection import is_connection_dropped

from dotflow.delivery.http.bounds import Call, within
from dotflow.delivery.http.exchange import (
    BoundedAnswer,
    PlainAnswer,
    as_protocol_errors,
    limit,
    request_of,
    whole_answer,
)
from dotflow.delivery.http.sockets import Identity, close_ours, forget, guard, identity_of, is_ours
from dotflow.delivery.http.untraced import untraced

if TYPE_CHECKING:
    from collections.abc import Iterator

PART = 2**14
"""Bytes that are sent at a time: one record of TLS, so that the time is looked at between them."""

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
        # The one that is open, between two plain calls: at most one, taken and put in one step.
        self._kept: list[_InBounds] = []
        self._is_closed = False

    def call(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str], seconds: float
    ) -> contextlib.AbstractContextManager[Any]:
        """Make a call; within it the answer's headers have come, and its body can be read.

        Args:
            method: The method.
            path: The path below the address, quoted; the address itself if it is empty.
            body: The body.
            headers: All headers.
            seconds: How long one wait may take.
        """
        target = self._base + path if path else self._target
        connection = None if self._pool.proxy else self._take()
        if isinstance(connection, _InBounds) and connection.sock is not None:
            request = request_of(method, target, connection.host_said, headers, body)
            if request is not None:
                return self._plain(connection, method, request)
        if connection is not None:
            self._pool._put_conn(connection)
        return self._usual(method, target, body, headers, seconds)

    def _take(self) -> Any:
        """A connection that may be open; one that is not ours, or was dropped, is closed."""
        try:
            connection = self._kept.pop()
        except IndexError:
            return self._pool._get_conn()
        if is_connection_dropped(connection):
            connection.close()
        connection.look()  # the last thing before it is used
        return connection

    def _plain(
        self, connection: _InBounds, method: str, request: bytes
    ) -> contextlib.AbstractContextManager[Any]:
        """A call on a connection that is open."""
        try:
            with as_protocol_errors():
                start = connection.exchange(request)
        except BaseException:
            connection.close()
            self._pool._put_conn(connection)
            raise
        answer = whole_answer(start)
        if answer is None:
            return self._longer(connection, method, start)
        self._keep(connection, answer.is_over)
        return answer

    @contextlib.contextmanager
    def _longer(self, connection: _InBounds, method: str, start: bytes) -> Iterator[PlainAnswer]:
        """An answer that is not plain, or has not come in one piece."""
        answer = None
        try:
            answer = PlainAnswer(BoundedAnswer(connection.sock, start=start, method=method))
            yield answer
        finally:
            if answer is not None:
                answer.close()
            self._keep(connection, answer is not None and answer.is_over)

    def _keep(self, connection: _InBounds, is_over: bool) -> None:
        """Keep a connection for the next call; one that has more to say is closed."""
        if not is_over:
            connection.close()
        if not is_over or self._kept:  # a signal's handler has called between
            self._pool._put_conn(connection)
            return
        self._kept.append(connection)
        if self._is_closed:  # meanwhile, by another thread
            self._close_kept()

    def _close_kept(self) -> None:
        with contextlib.suppress(IndexError):
            self._kept.pop().close()

    @contextlib.contextmanager
    def _usual(
        self, method: str, target: str, body: bytes | None, headers: dict[str, str], seconds: float
    ) -> Iterator[Any]:
        """A call by urllib3, which connects where that is needed."""
        with untraced():
            response = self._pool.urlopen(
                method, target, body=body, headers=headers, redirect=False,
                assert_same_host=False, preload_content=False, decode_content=False,
                retries=_ONCE, timeout=seconds,
            )  # fmt: skip
        try:
            yield response
        finally:
            response.close()  # which also ends a connection that has more to say
            response.release_conn()

    def close(self) -> None:
        """Close all connections at once."""
        self._is_closed = True
        self._close_kept()
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


class _InBounds(HTTPConnection):
    """A connection that keeps to the bounds of the call it is used for."""

    response_class = BoundedAnswer
    debuglevel = 0  # http.client's, where a program sets it for all, prints headers: the token too
    identity: Identity | None = None
    process = 0  # the one that made it
    host_said = ""  # the header, as a call of urllib3 has it

    def putheader(self, header: Any, *values: Any) -> None:
        """Take a header of a request."""
        if header == "Host" and values:
            said = values[0]
            self.host_said = said.decode("latin-1") if isinstance(said, bytes) else said
        super().putheader(header, *values)

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
        within.call.is_connecting = True
        super().connect()
        within.call.is_connecting = False

    def send(self, data: Any) -> None:
        """Send a part of a request."""
        for start in range(0, len(data), PART):
            if self.sock is not None:
                guard(self.sock, self.identity)
                within.call.identity = self.identity
                limit(self.sock, within.call)
            super().send(data[start : start + PART])

    def exchange(self, request: bytes) -> bytes:
        """Send a request on a connection that was looked at; return the first bytes after it."""
        sock: Any = self.sock
        with contextlib.suppress(BrokenPipeError):  # the answer says why
            if len(request) > PART:
                self.send(request)
            else:
                within.call.identity = self.identity
                limit(sock, within.call)
                sock.sendall(request)
        guard(sock, self.identity)
        limit(sock, within.call)
        start: bytes = sock.recv(PART)
        return start

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
        call: Call = within.call
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
