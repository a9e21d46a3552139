"""Looks after connections: there are not too many, and none is held for one who never ends."""

import asyncio
import logging
import time
from collections.abc import Iterator
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

try:
    import resource
except ImportError:  # Windows has no such limit.
    resource = None  # type: ignore[assignment]

MOST = 2000
"""Connections at once; one more takes the place of the one that has been idle for longest."""

HEAD_SECONDS = 20.0
"""How long a request's head may take; that of a first request from when its connection is open."""

PATIENCE_SECONDS = 30.0
"""How long a body, and an answer to one who reads slowly, may take besides `LEAST_RATE`."""

LEAST_RATE = 16 * 2**10
"""Bytes a second at which bodies come and answers go at least."""

MOST_UNREAD = 128 * 2**20
"""Bytes of answers that wait for clients to read them, all together."""

_MOST_FILES = 2 * MOST
_LOOK_SECONDS = 1.0
_QUIET_SECONDS = 60.0
_NO_ROOM = "socket.accept() out of system resource"

logger = logging.getLogger("dotflow.api.connections")


class _Sparing(logging.Filter):
    """Lets a warning through once a minute: what a flood of bad requests says is said once."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno > logging.WARNING:
            return True
        now = time.monotonic()
        if now - self._said.get(str(record.msg), -_QUIET_SECONDS) < _QUIET_SECONDS:
            return False
        self._said[str(record.msg)] = now
        return True


logger.setLevel(logging.WARNING)
logger.addFilter(_Sparing())


def tell_sparingly(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Says once a minute that there is no room for connections; asyncio writes pages of that.

    Args:
        loop: The loop of the server, which calls this.
        context: What it has to say.
    """
    if context.get("message") == _NO_ROOM:
        logger.warning("This process may open no more files: new connections wait.")
    else:
        loop.default_exception_handler(context)


class Connections:
    """All connections of a server; the event loop's alone.

    Args:
        most: How many there are at once.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: set[Connection] = set()
        # Those without a request under way, since when; the one that waits for longest is first.
        self._waiting: dict[Connection, float] = {}
        self._look: asyncio.TimerHandle | None = None

    def protocol(self, **given: Any) -> "Connection":
        """Gives the protocol of a new connection, as uvicorn asks for it."""
        return Connection(self, **given)

    def add(self, connection: "Connection") -> None:
        """Takes one more, in place of another if there are as many as there may be."""
        if len(self._open) >= self._most:
            logger.warning("%d connections are open: the idle ones make room", self._most)
            victim = next(self._victims(), connection)
            victim.drop()
            self.remove(victim)
            if victim is connection:
                return
        self._open.add(connection)
        self.waits(connection)
        if self._look is None:
            self._look = connection.loop.call_later(
                _LOOK_SECONDS, self._look_after, connection.loop
            )

    def remove(self, connection: "Connection") -> None:
        """Forgets one."""
        self._open.discard(connection)
        self._waiting.pop(connection, None)

    def waits(self, connection: "Connection") -> None:
        """Knows that a connection has no request under way, from now on."""
        self._waiting.pop(connection, None)
        if connection in self._open:
            self._waiting[connection] = connection.loop.time()

    def works(self, connection: "Connection") -> None:
        """Knows that a connection has a request under way."""
        self._waiting.pop(connection, None)

    def _victims(self) -> Iterator["Connection"]:
        yield from self._waiting
        yield from (one for one in self._open if one.is_sending)

    def _look_after(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for one in [*self._open]:
            if one.is_late(now, self._waiting.get(one)):
                one.drop()
        unread = sorted(self._open, key=lambda one: one.unread)
        room = MOST_UNREAD
        for one in unread:
            room -= one.unread
            if room < 0:
                one.drop()
        self._look = loop.call_later(_LOOK_SECONDS, self._look_after, loop) if self._open else None


class Connection(H11Protocol):
    """A connection that ends if its client is too slow to be waited for."""

    def __init__(self, all_of_them: Connections, **given: Any) -> None:
        super().__init__(**given)
        self.logger = logger
        self._all = all_of_them
        self._is_partial = False
        self._known: object = None
        self._began = 0.0
        self._received = 0
        self._unread_since: float | None = None
        self._most_unread = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begins."""
        super().connection_made(transport)
        self._all.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends."""
        self._all.remove(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Goes on."""
        super().data_received(data)
        self._received += len(data)
        if self._has_request:
            self._is_partial = False
            self._all.works(self)
            if self._known is not self.cycle:
                self._known, self._began, self._received = self.cycle, self.loop.time(), 0
        elif not self._is_partial:
            # From here on, the rest of a head has its time.
            self._is_partial = True
            self._all.waits(self)

    def on_response_complete(self) -> None:
        """Waits for the next request."""
        self._is_partial = False
        self._all.waits(self)
        super().on_response_complete()
        if self._has_request:  # it was sent before the answer to the one before
            self._all.works(self)

    @property
    def unread(self) -> int:
        """Bytes that were answered and that the client has not read."""
        return 0 if self.transport is None else self.transport.get_write_buffer_size()

    @property
    def is_sending(self) -> bool:
        """Whether its client has begun a request and not ended it."""
        return self._has_request and self.cycle.more_body

    @property
    def _has_request(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def is_late(self, now: float, waits_since: float | None) -> bool:
        """Whether its client had its time.

        Args:
            now: The event loop's time.
            waits_since: Since when no request is under way; None if one is.
        """
        return self._reads_slowly(now) or (
            self._sends_slowly(now)
            if waits_since is None
            else self._owes_head and now - waits_since > HEAD_SECONDS
        )

    def drop(self) -> None:
        """Ends it at once: whoever does not read would not read a farewell."""
        self.transport.abort()

    @property
    def _owes_head(self) -> bool:
        # Or the rest of a body that was answered already. Idle ones are uvicorn's to end.
        return self.cycle is None or self._is_partial or self.conn.their_state is not h11.IDLE

    def _sends_slowly(self, now: float) -> bool:
        if not self.is_sending or self.flow.read_paused or self._known is not self.cycle:
            return False
        return now - self._began > PATIENCE_SECONDS + self._received / LEAST_RATE

    def _reads_slowly(self, now: float) -> bool:
        if not self.unread:
            self._unread_since, self._most_unread = None, 0
            return False
        if self._unread_since is None:
            self._unread_since = now
        self._most_unread = max(self._most_unread, self.unread)
        return now - self._unread_since > PATIENCE_SECONDS + self._most_unread / LEAST_RATE


def make_room() -> None:
    """Lets this process open as many files as it is allowed to, if that is more than it may now.

    Many systems let a program open 1,024 until it asks for more.
    """
    if resource is None:
        return
    may_open, allowed = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if allowed == resource.RLIM_INFINITY else min(allowed, _MOST_FILES)
    if may_open != resource.RLIM_INFINITY and may_open < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, allowed))


def most_connections() -> int:
    """Gives how many connections this process can bear, by the descriptors that it may open."""
    if resource is None:
        return MOST
    may_open, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST if may_open == resource.RLIM_INFINITY else max(8, min(MOST, may_open * 3 // 4))
