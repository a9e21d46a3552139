"""What a server's answer says, and what it means if there is none."""

from __future__ import annotations

import json
import socket
import ssl
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import requests
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    LocationValueError,
    NewConnectionError,
    ProtocolError,
    ProxyError,
    SSLError,
)
from urllib3.exceptions import TimeoutError as Urllib3TimeoutError

from dotflow.delivery.message import TryLater

if TYPE_CHECKING:
    from dotflow.delivery.http.bounds import Call

LONGEST_RETRY_AFTER = 3600
"""Seconds that a Retry-After is believed."""

MAX_DIGITS = 9

LATER = frozenset({408, 425, 429})
"""Statuses below 500 after which the same message may be taken another time."""

_UNREACHED = (ConnectTimeoutError, NewConnectionError, ProxyError)
_UNUSABLE = (
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    LocationValueError,
)


class Answer(NamedTuple):
    """An answer, read and parsed.

    Attributes:
        status: The HTTP status.
        body: The body, parsed if it is JSON; else its text.
        after: Seconds that Retry-After asks to wait.
        foreign: The content type of an answer that is no dotflow-api's; empty for one that is.
    """

    status: int
    body: Any
    after: float | None = None
    foreign: str = ""


def read_answer(response: Any, most: int) -> Answer:
    """Read an answer, at most so many bytes of its body.

    Raises:
        HTTPError: It broke off.
        OSError: The same, or the call's bounds were met.
    """
    raw = read_body(response, most)
    headers = response.headers
    return Answer(
        response.status, _parsed(raw), retry_after(headers.get("Retry-After")),
        _foreign(headers.get("Content-Type"), raw),
    )  # fmt: skip


def is_for_later(status: int) -> bool:
    """Whether the same message may be taken another time."""
    # An interim status is no answer: what was to follow did not.
    return status in LATER or status >= 500 or status < 200  # noqa: PLR2004


def failure(error: Exception, call: Call) -> TryLater:
    """What kind of failure it was; without the error's text, which may hold secrets.

    If a server cannot be reached, no message reaches it. If it breaks off or takes too long, this
    one message may be the cause.
    """
    causes = causes_of(error)
    why = _unusable(error) or _untrusted(error, causes, call)
    if why is not None:
        return TryLater(why, everywhere=True)
    if call.is_connecting or any(isinstance(one, _UNREACHED) for one in causes):
        return TryLater(f"the server could not be reached{_how(causes)}", everywhere=True)
    if call.is_too_long:
        return TryLater("the server's answer is too long", is_too_much=True)
    if any(isinstance(one, (TimeoutError, Urllib3TimeoutError)) for one in causes):
        return TryLater("the server did not answer in time", is_too_much=True)
    return TryLater("the server broke off the connection")


def _how(causes: list[BaseException]) -> str:
    """What kept a connection from being made, where the system says it in words of its own."""
    if any(isinstance(one, ConnectionRefusedError) for one in causes):
        return ": connection refused"
    if any(isinstance(one, socket.gaierror) for one in causes):
        return ": no such host"
    return ""


def read_body(response: Any, most: int) -> bytes:
    """The first bytes, as they came: a compressed answer is not unpacked."""
    raw, part = b"", b"-"
    try:
        # The last of the reads finds out whether the answer is complete.
        while part and len(raw) < most:
            part = response.read(most - len(raw), decode_content=False)
            raw += part
    except ValueError as error:  # http.client, of a chunk whose length is below 0
        raise ProtocolError("a broken chunk") from error
    if not part and response.length_remaining:  # urllib3 says so only from 2.0 on
        raise ProtocolError("not all of it came")
    return raw


def _parsed(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return raw.decode("utf-8", "replace")


def _foreign(content_type: str | None, raw: bytes) -> str:
    """The content type if it shows that no dotflow-api wrote the body; else nothing."""
    if not raw:
        return ""
    if content_type is None:
        return "text/html" if raw.lstrip()[:1] == b"<" else ""
    main = content_type.split(";", 1)[0].strip().lower()
    if main in ("application/json", "text/json", "") or main.endswith("+json"):
        return ""
    return "".join(c for c in main if c.isascii() and c.isprintable())[:80] or "of no known type"


def retry_after(value: str | None) -> float | None:
    """Seconds that a Retry-After header asks for, given in seconds or as a date (RFC 9110)."""
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(min(LONGEST_RETRY_AFTER, int(value[:MAX_DIGITS])))
    try:
        at = parsedate_to_datetime(value)
        if at.tzinfo is None:
            at = at.replace(tzinfo=timezone.utc)
        seconds = (at - datetime.now(timezone.utc)).total_seconds()
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return min(float(LONGEST_RETRY_AFTER), max(0.0, seconds))


def _unusable(error: Exception) -> str | None:
    """What keeps any call from being made: a fault of the environment, or of the address."""
    if isinstance(error, _UNUSABLE):
        # Its text may hold a proxy's password.
        return "no call could be made: the address, or a proxy of the environment, cannot be used"
    if not isinstance(error, (requests.RequestException, HTTPError)):
        return f"no call could be made: {error}"  # a CA bundle that is not there
    return None


def _untrusted(error: Exception, causes: list[BaseException], call: Call) -> str | None:
    """What is wrong with the server's TLS; None if it was trusted, or has none."""
    tls = [one for one in causes if isinstance(one, ssl.SSLError)]
    for one in tls:
        if isinstance(one, ssl.SSLCertVerificationError):
            return f"the server's certificate could not be verified: {one.verify_message}"
    if not call.is_connecting:  # it broke off, if in a way of TLS
        return None
    if tls:
        return f"no TLS connection could be made: {tls[0].reason or 'no reason was given'}"
    if isinstance(error, SSLError):  # urllib3 1 compares the names itself
        return "the server's certificate could not be verified: hostname mismatch"
    return None


def causes_of(error: BaseException) -> list[BaseException]:
    """An error, and all that it came from: urllib3 keeps some of it as arguments."""
    found = [error]
    for one in found:
        others = (one.__cause__, one.__context__, getattr(one, "reason", None), *one.args)
        found += [
            other for other in others if isinstance(other, BaseException) and other not in found
        ]
    return found
