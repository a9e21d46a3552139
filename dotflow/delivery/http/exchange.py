"""A request and its answer on a connection that is open: written and read with little around them.

urllib3 and `http.client` take half a millisecond of processor for a call, most of it for headers. A
thread has one call after the other on one connection. So only the first one, which connects, and
what is out of the ordinary is theirs: whatever is not plain here goes their way.
"""

from __future__ import annotations

import contextlib
import io
import re
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse, parse_headers
from typing import TYPE_CHECKING, Any, NamedTuple

from urllib3.exceptions import ProtocolError

from dotflow.delivery.http.bounds import Call, within
from dotflow.delivery.http.sockets import forget, guard, is_ours

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Self

_TARGET = re.compile(r"/[\x21-\x7e]*\Z")
_FIELDS = re.compile(r"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+: [\x20-\x7e]*\r\n)*\Z")
_STATUS = re.compile(r"HTTP/1\.1 ([2-5][0-9][0-9])(?: [^\r\n]*)?\Z")
_LENGTH = re.compile(r"[0-9]{1,12}\Z")
_END = b"\r\n\r\n"
_BODILESS = (204, 205, 304)
_ONCE = frozenset({"connection", "content-length", "transfer-encoding"})


def request_of(
    method: str, target: str, host: str, headers: Mapping[str, str], body: bytes | None
) -> bytes | None:
    """A request as it is sent; None of one that is not plain.

    Args:
        method: The method.
        target: The path, quoted.
        host: What the header of that name says.
        headers: All other headers, but that for the length.
        body: The body.
    """
    lines = [f"Host: {host}\r\n", *[f"{name}: {value}\r\n" for name, value in headers.items()]]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}\r\n")
    fields = "".join(lines)
    # As many lines as there are fields: no value has a line of its own in it.
    is_plain = _FIELDS.match(fields) and fields.count("\n") == len(lines)
    if not host or not is_plain or not _TARGET.match(target):
        return None
    return f"{method} {target} HTTP/1.1\r\n{fields}\r\n".encode("ascii") + (body or b"")


class WholeAnswer:
    """An answer that came in one piece, as urllib3 would give it; a context manager.

    Args:
        head: Its head.
        body: Its body.
        is_over: Whether another request may follow.

    Attributes:
        status: The HTTP status.
        headers: The headers, with small letters in their names.
        length_remaining: How much of the body did not come: nothing.
    """

    __slots__ = ("_body", "headers", "is_over", "length_remaining", "status")

    def __init__(self, head: _Head, body: bytes, is_over: bool) -> None:
        self.status = head.status
        self.headers = Headers(head.headers)
        self.length_remaining = 0
        self.is_over = is_over
        self._body = body

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def read(self, most: int, decode_content: bool = False) -> bytes:  # noqa: ARG002
        """The next bytes of the body, as they came; none at its end.

        Args:
            most: How many.
            decode_content: Of no account: nothing is unpacked.
        """
        part, self._body = self._body[:most], self._body[most:]
        return part


def whole_answer(data: bytes) -> WholeAnswer | None:
    """The answer that begins with these bytes; None if it is not plain, or they are not all."""
    head = _head_of(data)
    if head is None or len(data) < head.size + head.length:
        return None
    end = head.size + head.length
    # Who says more than was asked for is asked nothing more.
    return WholeAnswer(head, data[head.size : end], head.may_go_on and len(data) == end)


class PlainAnswer:
    """An answer on a connection that is open, as urllib3 would give it.

    Args:
        answer: What `http.client` would read the answer with.

    Attributes:
        status: The HTTP status.
        headers: The headers, with small letters in their names.
        is_over: Whether all of it was read, and another request may follow.

    Raises:
        ProtocolError: It is no answer, or did not come.
    """

    def __init__(self, answer: HTTPResponse) -> None:
        self._answer = answer
        self.is_over = self._may_go_on = False
        self.length_remaining: int | None = None
        with as_protocol_errors():
            if not self._is_plain():
                self._begin()

    def _is_plain(self) -> bool:
        """Whether the head of the answer is one that needs no library."""
        file: Any = self._answer.fp
        head = _head_of(file.peek())
        if head is None:
            return False
        file.read(head.size)
        self.status = head.status
        self.headers = Headers(head.headers)
        self.length_remaining = head.length
        self._file = file
        self._may_go_on = head.may_go_on
        return True

    def _begin(self) -> None:
        """Read the head as `http.client` does."""
        answer = self._answer
        answer.begin()
        _see_to_length(answer)
        self.status = answer.status
        first = reversed(answer.msg.items())
        self.headers = Headers({name.lower(): value for name, value in first})
        self.length_remaining = answer.length
        self._file = answer
        self._may_go_on = not answer.will_close

    def read(self, most: int, decode_content: bool = False) -> bytes:  # noqa: ARG002
        """The next bytes of the body, as they came; none at its end.

        Args:
            most: How many.
            decode_content: Of no account: nothing is unpacked.

        Raises:
            ProtocolError: The connection ended within it.
        """
        remaining = self.length_remaining
        with as_protocol_errors():
            part: bytes = self._file.read(most if remaining is None else min(most, remaining))
        if remaining is not None:
            self.length_remaining = remaining - len(part)
        is_at_end = self._answer.isclosed() if remaining is None else not self.length_remaining
        self.is_over = self._may_go_on and is_at_end
        return part

    def close(self) -> None:
        """Let go of what read the answer; the connection stays open."""
        with contextlib.suppress(OSError):
            self._answer.close()


def _see_to_length(answer: Any) -> None:
    """Have a length that was said twice be one; of several that differ none is believed."""
    said = {one.strip() for one in ",".join(answer.msg.get_all("Content-Length", ())).split(",")}
    if answer.chunked or (answer.length is not None and len(said) == 1):
        return
    if len(said) > 1:
        raise ProtocolError("lengths that differ")
    only = said.pop()
    answer.length = int(only) if _LENGTH.match(only) else None


class Headers(dict[str, str]):
    """Headers by their names in small letters; they are asked for in any."""

    def get(self, name: str, default: Any = None) -> Any:
        """The value of a header."""
        return super().get(name.lower(), default)


class _Head(NamedTuple):
    """The head of an answer, and how many bytes it and the body have."""

    status: int
    headers: dict[str, str]
    size: int
    length: int

    @property
    def may_go_on(self) -> bool:
        """Whether another request may follow on the connection."""
        return self.headers.get("connection", "keep-alive").lower() == "keep-alive"


def _head_of(data: bytes) -> _Head | None:
    """The head of the answer that begins with these bytes; None if it needs a library."""
    end = data.find(_END)
    if end < 0:
        return None
    line, *fields = data[:end].decode("latin-1").split("\r\n")
    found, headers = _STATUS.match(line), _headers(fields)
    if found is None or headers is None:
        return None
    status, length = int(found[1]), headers.get("content-length", "")
    if "transfer-encoding" in headers or status in _BODILESS or not _LENGTH.match(length):
        return None
    return _Head(status, headers, end + len(_END), int(length))


def _headers(fields: list[str]) -> dict[str, str] | None:
    """The first header of each name, in small letters; None if one is not plain."""
    found: dict[str, str] = {}
    for field in fields:
        name, colon, value = field.partition(":")
        key = name.lower()
        if not colon or not name or name.strip() != name or (key in _ONCE and key in found):
            return None
        found.setdefault(key, value.strip())
    return found


def limit(sock: Any, call: Call) -> None:
    """Have the next wait of a socket take no longer than its call has left."""
    left = call.left()
    if sock.gettimeout() != left:  # most often it is what it was in the call before
        sock.settimeout(left)


class BoundedAnswer(HTTPResponse):
    """An answer that is read within its call's bounds."""

    def __init__(self, sock: Any, *args: Any, start: bytes = b"", **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        within.call.first = b""
        self.fp = io.BufferedReader(_Bounded(sock, self.fp.detach(), within.call, start))

    def _read_status(self) -> tuple[str, int, str]:
        """The status of the answer itself; interim ones may come before it (RFC 9110, 15.2)."""
        while True:
            found: tuple[str, int, str] = super()._read_status()  # type: ignore[misc]
            if not HTTPStatus.SWITCHING_PROTOCOLS < found[1] < HTTPStatus.OK:
                return found
            parse_headers(self.fp)

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

    def __init__(self, sock: Any, raw: Any, call: Call, start: bytes = b"") -> None:
        self._sock, self._raw, self._call, self._start = sock, raw, call, start
        self._identity = call.identity

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._start:
            size = min(len(buffer), len(self._start))
            buffer[:size], self._start = self._start[:size], self._start[size:]
        else:
            # A socket that was closed meanwhile says so by itself.
            if self._sock.fileno() >= 0:
                guard(self._sock, self._identity)
                limit(self._sock, self._call)
            size = self._raw.readinto(buffer) or 0
        self._call.count(size, buffer)
        return size

    def close(self) -> None:
        if not self.closed:
            if not is_ours(self._sock, self._identity):
                forget(self._sock)
            self._raw.close()
        super().close()


class as_protocol_errors:  # noqa: N801 - it is called as a function is
    """Have what goes wrong with a connection be urllib3's error, as it is in its calls."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, (OSError, HTTPException)):
            raise ProtocolError("the connection was aborted", error) from error
