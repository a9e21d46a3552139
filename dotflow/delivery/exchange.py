"""A request and its answer on a connection that is open: written and read with little around them.

urllib3 and `http.client` take half a millisecond of processor for a call, most of it for headers. A
thread has one call after the other on one connection. So only the first one, which connects, and
what is out of the ordinary is theirs: whatever is not plain here goes their way.
"""

from __future__ import annotations

import contextlib
import re
from http.client import HTTPException, HTTPResponse
from typing import TYPE_CHECKING, Any

from urllib3.exceptions import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Mapping

_TARGET = re.compile(r"/[\x21-\x7e]*\Z")
_FIELD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+: [\x20-\x7e]*\Z")
_STATUS = re.compile(rb"HTTP/1\.1 ([2-5][0-9][0-9])(?: [^\r\n]*)?\Z")
_LENGTH = re.compile(rb"[0-9]{1,12}\Z")
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
    fields = [f"Host: {host}", *(f"{name}: {value}" for name, value in headers.items())]
    if body is not None:
        fields.append(f"Content-Length: {len(body)}")
    if not host or not _TARGET.match(target) or not all(map(_FIELD.match, fields)):
        return None
    head = "\r\n".join((f"{method} {target} HTTP/1.1", *fields, "", ""))
    return head.encode("ascii") + (body or b"")


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
        start: bytes = file.peek()
        end = start.find(_END)
        status, *fields = start[: max(end, 0)].split(b"\r\n")
        found, headers = _STATUS.match(status), _headers(fields)
        if end < 0 or found is None or headers is None:
            return False
        length = headers.get("content-length", "").encode()
        self.status = int(found[1])
        unusual = "transfer-encoding" in headers or self.status in _BODILESS
        if unusual or not _LENGTH.match(length):
            return False
        file.read(end + len(_END))
        self.headers = Headers(headers)
        self.length_remaining = int(length)
        self._file = file
        self._may_go_on = headers.get("connection", "keep-alive").lower() == "keep-alive"
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
    only = said.pop().encode()
    answer.length = int(only) if _LENGTH.match(only) else None


class Headers(dict[str, str]):
    """Headers by their names in small letters; they are asked for in any."""

    def get(self, name: str, default: Any = None) -> Any:
        """The value of a header."""
        return super().get(name.lower(), default)


def _headers(fields: list[bytes]) -> dict[str, str] | None:
    """The first header of each name, in small letters; None if one is not plain."""
    found: dict[str, str] = {}
    for field in fields:
        name, colon, value = field.partition(b":")
        key = name.decode("latin-1").lower()
        if not colon or not name or name.strip() != name or (key in _ONCE and key in found):
            return None
        found.setdefault(key, value.decode("latin-1").strip())
    return found


class as_protocol_errors:  # noqa: N801 - it is called as a function is
    """Have what goes wrong with a connection be urllib3's error, as it is in its calls."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, (OSError, HTTPException)):
            raise ProtocolError("the connection was aborted", error) from error
