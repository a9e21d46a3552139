"""Runs the application: in a thread of this process, or in the foreground."""

import asyncio
import contextlib
import ipaddress
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any

import uvicorn
from fastapi import FastAPI
from typing_extensions import Self

from dotflow.api.app import create_app
from dotflow.api.database import CONNECTIONS, absolute
from dotflow.api.guard.connections import (
    Connections,
    make_room,
    most_connections,
    tell_sparingly,
)
from dotflow.api.workers import Workers, check_workers

# Longer than a client keeps an idle connection, so that it is not the server who hangs up just
# when the next request is on its way.
_KEEP_ALIVE_SECONDS = 75
_SHUTDOWN_SECONDS = 5
_START_SECONDS = 30
_LAST_PORT = 65535


class ApiServer:
    """Serves dotflow-api from a thread of this process, for tests and for programs of your own.

    A context manager: at the end of the block, the thread, its sockets and the database connections
    are gone. You may start the server again, on the same port and the same database.

    Args:
        database: A database URL as `create_app` takes it.
        token: The token that requests must carry; None lets everybody in.
        host: The address to listen on.
        port: The port to listen on; 0 takes a free port.
        read_only: Whether the server only shows what is in the database.
        options: Further arguments of `create_app`, by name.
    """

    def __init__(
        self,
        database: str,
        token: str | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        read_only: bool = False,
        **options: Any,
    ) -> None:
        self._database = absolute(database)
        self._token = token
        self._host = host
        self._port = port
        self._options = {"read_only": read_only, **options}
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The address of the server; its port is known once the server has started."""
        return _url(self._host, self._port)

    def start(self) -> None:
        """Start the server, and return when it answers.

        Raises:
            RuntimeError: The server runs already, or did not come up.
            ValueError: The database URL, the token, the port or `keep` cannot be used.
            ImportError: The database's driver is not installed.
            OSError: The port is taken, or the database does not answer.
        """
        if self._thread is not None:
            raise RuntimeError("this server is running: call stop() first")
        app = create_app(self._database, self._token, **self._options)
        listener = _listen(self._host, self._port)
        self._port = listener.getsockname()[1]
        quiet = {"log_config": None, "log_level": "warning"}
        self._server = server = _Server(app, lambda: None, **quiet)
        self._thread = threading.Thread(
            target=self._run, args=(server, listener), name="dotflow-api", daemon=True
        )
        self._thread.start()
        if not server.came_up():
            self.stop()
            raise RuntimeError(f"the server at {self.url} did not come up")

    def stop(self) -> None:
        """Finish the requests that are under way, and close everything; may be called twice."""
        if self._server is not None:
            self._server.should_exit = True
        if self._thread is not None:
            self._thread.join()
        self._server = self._thread = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        state = "stopped" if self._thread is None else "running"
        return f"<ApiServer {self.url} {state}>"

    @staticmethod
    def _run(server: "_Server", listener: socket.socket) -> None:
        try:
            with listener:
                server.run(sockets=[listener])
            server.join_workers()
        finally:
            server.settled.set()


def serve(
    database: str,
    token: str | None = None,
    host: str = "127.0.0.1",
    port: int = 8000,
    announce: Callable[[str], None] | None = None,
    *,
    workers: int = 1,
    connections: int = CONNECTIONS,
    **options: Any,
) -> None:
    """Serves dotflow-api in the foreground until SIGINT or SIGTERM.

    Args:
        database: A database URL as `create_app` takes it.
        token: What requests must carry; None lets everybody in.
        host: The address to listen on.
        port: The port to listen on; 0 takes a free one.
        announce: Called with the URL once the server answers.
        workers: How many processes serve, more than one on PostgreSQL alone. This one then brings
            the tables up to date, deletes what is not kept, and replaces a worker that ends; it is
            to be called in the main thread.
        connections: How many connections to the database all of them have at once, three for each
            worker at least. One that deletes what is not kept comes besides.
        options: Whatever else `create_app` takes, by name.

    Raises:
        ValueError: The database URL, the token, the port, the number of workers or ``keep`` cannot
            be used, or others than this machine could call without a token.
        ImportError: The database's driver is not installed.
        OSError: The port is taken, or the database does not answer.
        RuntimeError: A worker did not come up; it has said why.
    """
    _address(host, port)
    _check_callers(host, token)
    check_workers(database, workers, connections)
    options["connections"] = connections // workers
    app = create_app(database, token, **options)
    make_room()
    with _listen(host, port) as listener, contextlib.suppress(KeyboardInterrupt):
        url = _url(host, listener.getsockname()[1])

        def say() -> None:
            if announce is not None:
                announce(url)

        if workers == 1:
            _Server(app, say).run(sockets=[listener])
            return
        given = {"database": database, "token": token, "options": options}
        with _keeping(app):
            Workers(workers, listener, given, say).run()


@contextlib.contextmanager
def _keeping(app: FastAPI) -> Iterator[None]:
    """Has what is not kept deleted, beside workers that leave it to this process."""
    if app.state.read_only:
        yield
        return
    with contextlib.closing(app.state.store), contextlib.closing(app.state.keeper):
        app.state.keeper.start()
        yield


def work(listener: int, database: str, token: str | None, options: Mapping[str, Any]) -> None:
    """Serves dotflow-api as one of several processes, until it is told to end or its input ends.

    Args:
        listener: The descriptor of the socket that all of them accept connections from.
        database: A database URL as `create_app` takes it; the tables are up to date.
        token: What requests must carry; None lets everybody in.
        options: Whatever else `create_app` takes, by name.
    """
    app = create_app(database, token, is_worker=True, **options)
    server = _Server(app, _say_that_it_answers, log_config=None, log_level="warning")
    threading.Thread(target=_end_with_input, args=(server,), daemon=True).start()
    with _Shared(fileno=listener) as shared:
        server.run(sockets=[shared])


def _say_that_it_answers() -> None:
    os.write(sys.stdout.fileno(), b"1")


def _end_with_input(server: "_Server") -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    server.should_exit = True


class _Shared(socket.socket):
    """A listening socket of several processes: each takes one connection, then gives way.

    asyncio accepts all that wait at once, and one process would have them all for as long as they
    are open.
    """

    _gives_way = False

    def accept(self) -> tuple[socket.socket, Any]:
        """Gives a connection, every other time that it is asked."""
        self._gives_way = not self._gives_way
        if not self._gives_way:
            raise BlockingIOError
        try:
            return super().accept()
        except BlockingIOError:  # another one was faster
            self._gives_way = False
            raise


class _Server(uvicorn.Server):
    """A uvicorn server that says when it has come up."""

    def __init__(self, app: FastAPI, on_start: Callable[[], None], **options: Any) -> None:
        super().__init__(_config(app, **options))
        self._app = app
        self.settled = threading.Event()
        self._on_start = on_start
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(tell_sparingly)
        await super().startup(sockets=sockets)
        self.settled.set()
        self._on_start()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Streams of events end by themselves only in minutes: they would be waited for.
        self._app.state.changes.end()
        await super().shutdown(sockets=sockets)
        for one in list(self.server_state.connections):
            # A client connected as the others were told to end, and has asked for nothing.
            one.transport.abort()
        await asyncio.sleep(0)  # the loop closes what was aborted in its next round

    def came_up(self) -> bool:
        return self.settled.wait(_START_SECONDS) and self.started

    def join_workers(self) -> None:
        # AnyIO tells the threads that ran our handlers to end, but waits for none of them.
        for thread in threading.enumerate():
            if self._loop is not None and getattr(thread, "loop", None) is self._loop:
                thread.join(_SHUTDOWN_SECONDS)


def _config(app: FastAPI, **options: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        lifespan="on",
        # The one that bounds the head of a request, whatever else is installed.
        http=Connections(most_connections()).protocol,  # type: ignore[arg-type]
        ws="none",
        proxy_headers=False,
        server_header=False,
        access_log=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
        **options,
    )


def _check_callers(host: str, token: str | None) -> None:
    """Holds that whoever is not on this machine needs the token."""
    if token is None and not _is_loopback(_address(host, 0)[1][0]):
        raise ValueError(
            f"without a token everybody who reaches {host or 'this machine'} could read and write "
            "records: give one (--token, or DOTFLOW_API_TOKEN), or listen on 127.0.0.1"
        )


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address.split("%", maxsplit=1)[0]).is_loopback


def _address(host: str, port: int) -> tuple[socket.AddressFamily, Any]:
    if not 0 <= port <= _LAST_PORT:
        raise ValueError(f"there is no port {port}: give one from 1 to {_LAST_PORT}, or 0 for any")
    try:
        # No host stands for all addresses, here as for whoever listens.
        found = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (socket.gaierror, UnicodeError) as error:
        raise OSError(f"cannot listen on {host!r}: this machine has no such address") from error
    family, _, _, _, address = found[0]
    return family, address


def _listen(host: str, port: int) -> socket.socket:
    family, address = _address(host, port)
    # asyncio switches Nagle's delay off only where the protocol is given; with it, an answer on a
    # kept-alive connection takes 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
    except OSError as error:
        listener.close()
        words = f"cannot listen on {host}:{port}: {error.strerror}; give another port, or 0 for any"
        raise OSError(error.errno, words) from error
    return listener


def _url(host: str, port: int) -> str:
    # An address that stands for all of them is one to listen on, not one to call.
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"
