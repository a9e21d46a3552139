"""How answers are sent: compressed for those who take it, set out for people who look at JSON."""

import json

from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dotflow.api.limits import header

LEAST_BYTES = 1024
"""Shorter answers are sent as they are."""

_LEVEL = 3
_STREAM_PATH = "/events"


class Compressed:
    """Compresses what is read by GET, never a stream: an event would wait in the compressor.

    Args:
        app: The application behind.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._gzip = GZipMiddleware(app, minimum_size=LEAST_BYTES, compresslevel=_LEVEL)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Calls the application."""
        is_read = scope["type"] == "http" and scope["method"] == "GET"
        is_kept = is_read and scope["path"] != _STREAM_PATH
        await (self._gzip if is_kept else self._app)(scope, receive, send)


class SetOut:
    """Sets out JSON in lines for a browser that asks for a page.

    Args:
        app: The application behind.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Calls the application."""
        is_person = (
            scope["type"] == "http"
            and scope["method"] == "GET"
            and b"text/html" in header(scope, b"accept")
        )
        await self._app(scope, receive, _Lines(send).send if is_person else send)


class _Lines:
    """Holds an answer that is JSON until it is whole."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message | None = None
        self._parts: list[bytes] = []

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _is_json(message):
            self._start = message
        elif self._start is None:
            await self._send(message)
        else:
            self._parts.append(message.get("body", b""))
            if not message.get("more_body", False):
                await self._send_whole(self._start)

    async def _send_whole(self, start: Message) -> None:
        content = _set_out(b"".join(self._parts))
        kept = [one for one in start["headers"] if one[0].lower() != b"content-length"]
        length = (b"content-length", str(len(content)).encode())
        await self._send({**start, "headers": [*kept, length, (b"vary", b"Accept")]})
        await self._send({"type": "http.response.body", "body": content})


def _is_json(start: Message) -> bool:
    kinds = [value for name, value in start["headers"] if name.lower() == b"content-type"]
    return any(one.startswith(b"application/json") for one in kinds)


def _set_out(content: bytes) -> bytes:
    try:
        return json.dumps(json.loads(content), indent=2, ensure_ascii=False).encode() + b"\n"
    except (ValueError, RecursionError):  # half a surrogate pair, a number of thousands of digits
        return content
