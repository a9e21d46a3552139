"""Bounds on what a request may bring, in plain ASGI, before anything parses it."""

import json
from collections.abc import Mapping
from urllib.parse import unquote

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from typing_extensions import Self

MAX_BODY_BYTES = 6 * 2**20
# Not more than a single call may bring: so no item of a bulk is larger than its single call.
MAX_BULK_BYTES = 5 * 2**20
MAX_HELD_BYTES = 64 * 2**20
"""Bytes of all bodies that are read or worked on at once."""
MAX_LOGIN_BYTES = 8 * 2**10
BULK_PATH = "/bulk"
LOGIN_PATH = "/login"
_LIMITS = {BULK_PATH: MAX_BULK_BYTES, LOGIN_PATH: MAX_LOGIN_BYTES}
_MAX_DISCARDED_BYTES = 64 * 2**20
_MAX_DIGITS = 20


class BodyLimit:
    """Hands on requests whose body fits, and answers 413 to the others.

    The bytes are counted as they come, so a length that is absent or untrue changes nothing; no
    more than the limit is ever held.

    Args:
        app: The application behind.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._all = _Room(MAX_HELD_BYTES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Reads the body, then calls the application with it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = _LIMITS.get(scope["path"], MAX_BODY_BYTES)
        with _Held(self._all) as held:
            try:
                body = None if _declares_over(scope, limit) else await _read(receive, held, limit)
            except ClientDisconnect:
                # Half a body may be good JSON by chance: it is not what the client meant to say.
                return
            if held.is_refused:
                detail = "the server has as many bodies as it holds at once; try again"
                answer = {b"retry-after": b"1"}
                await refuse(scope, receive, send, status=503, detail=detail, headers=answer)
            elif body is None:
                detail = f"the body is larger than {limit} bytes"
                await refuse(scope, receive, send, status=413, detail=detail)
            else:
                await self._app(scope, _replay(body, receive), send)


class _Room:
    """Bytes that bodies may still take, all together; the event loop's alone."""

    def __init__(self, left: int) -> None:
        self.left = left


class _Held:
    """What one body takes of the room, until its request is answered."""

    def __init__(self, room: _Room) -> None:
        self._room = room
        self._taken = 0
        self.is_refused = False

    def take(self, count: int) -> bool:
        """Takes so many bytes, or says that there is no room for them."""
        self.is_refused = count > self._room.left
        if not self.is_refused:
            self._room.left -= count
            self._taken += count
        return not self.is_refused

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._room.left += self._taken


class EncodedPath:
    """Keeps an encoded slash inside its part of the path.

    A workflow id may hold a slash. The server in front has decoded the path already, so here it is
    decoded once more from the raw bytes, all but ``%2F`` and ``%25``; `decode_part` does those.

    Args:
        app: The application behind.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Calls the application with a path that can be split at its slashes."""
        if scope["type"] == "http":
            raw = scope.get("raw_path") or b""
            path = decode_path(raw.decode("latin-1")) if b"%" in raw else scope["path"]
            # The router takes the prefix off again, as the servers' convention has it.
            scope = {**scope, "path": scope.get("root_path", "") + path}
        await self._app(scope, receive, send)


def decode_path(raw: str) -> str:
    """Gives a path that can be split at its slashes: all is decoded but ``%2F`` and ``%25``.

    Args:
        raw: The path as it was sent, without a query.
    """
    kept = raw.replace("%25", "%2525").replace("%2F", "%252F").replace("%2f", "%252F")
    return unquote(kept)


def decode_part(part: str) -> str:
    """Gives one part of a path as the caller meant it.

    Args:
        part: A part of a path that went through `decode_path`.
    """
    return part.replace("%2F", "/").replace("%25", "%")


def header(scope: Scope, name: bytes) -> bytes:
    """Gives the first value of a request's header, or nothing.

    Args:
        scope: The request.
        name: The header's name, in lower case.
    """
    return next((value for key, value in scope["headers"] if key == name), b"")


async def refuse(
    scope: Scope,
    receive: Receive,
    send: Send,
    *,
    status: int,
    detail: str,
    headers: Mapping[bytes, bytes] | None = None,
) -> None:
    """Answers a request that goes no further.

    Args:
        scope: The request.
        receive: Its body, which is read and thrown away, within reason.
        send: Where the answer goes.
        status: The HTTP status.
        detail: The reason, for the body.
        headers: What the answer carries besides.
    """
    # A client that is still sending when the connection closes loses the answer. One that waits
    # for "100 Continue" sends nothing before it has an answer.
    if not header(scope, b"expect"):
        await _discard(receive)
    content = json.dumps({"detail": detail}).encode()
    fields = {
        **(headers or {}),
        b"content-type": b"application/json",
        b"content-length": str(len(content)).encode(),
    }
    await send({"type": "http.response.start", "status": status, "headers": list(fields.items())})
    await send({"type": "http.response.body", "body": content})


async def _discard(receive: Receive) -> None:
    room = _MAX_DISCARDED_BYTES
    more = True
    while more and room > 0:
        message = await receive()
        room -= len(message.get("body", b""))
        more = message["type"] == "http.request" and message.get("more_body", False)


def _declares_over(scope: Scope, limit: int) -> bool:
    declared = header(scope, b"content-length")
    # Only some digits are read: int() refuses a number of thousands of them.
    return declared.isdigit() and int(declared[:_MAX_DIGITS]) > limit


async def _read(receive: Receive, held: _Held, limit: int) -> bytes | None:
    chunks: list[bytes] = []
    room = limit
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk = message.get("body", b"")
        room -= len(chunk)
        if room < 0 or not held.take(len(chunk)):
            return None
        chunks.append(chunk)
        more = message.get("more_body", False)
    return b"".join(chunks)


def _replay(body: bytes, receive: Receive) -> Receive:
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return replay
