"""Why an OTLP endpoint did not take what it was sent, in words that name what to mend.

All of it is read after the endpoint's name, and none of it has a header's value.
"""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError, MaxRetryError, ProtocolError, ProxyError, SSLError
from urllib3.exceptions import TimeoutError as Urllib3TimeoutError

from dotflow.delivery.http.answers import causes_of
from dotflow.otel.export.otlp.endpoint import (
    VARIABLE,
    Unusable,
    headers_variable,
    protocol_variable,
)

if TYPE_CHECKING:
    from typing_extensions import Self

    from dotflow.delivery.http.bounds import Call
    from dotflow.otel.export.otlp.endpoint import Endpoint


class Why(str):
    """What is wrong, and what mends it, as one text.

    Args:
        problem: What is wrong.
        remedy: What mends it.
        joint: What stands between them.
        said: The endpoint's own words.
    """

    __slots__ = ("problem", "remedy")

    problem: str
    remedy: str

    def __new__(cls, problem: str, remedy: str, joint: str = ": ", said: str = "") -> Self:
        """Join both, and keep them."""
        # Its own words come last, for masking may cut them short: a name of a credential among
        # them, as in "send Authorization: Bearer", would take what to do along.
        words = f"; it says: {said}" if said else ""
        made = super().__new__(cls, f"{problem}{joint}{remedy}{words}")
        made.problem, made.remedy = f"{problem}{words}", remedy
        return made


REFUSED = "could not be reached: the connection was refused"
BROKEN = "closed the connection without an answer"

NOT_TLS = frozenset({"WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL", "PACKET_LENGTH_TOO_LONG",
                     "RECORD_LAYER_FAILURE", "HTTP_REQUEST"})  # fmt: skip
_WRAPPERS = (requests.RequestException, MaxRetryError)

UNKNOWN_TO_HTTP, UNKNOWN_TO_GRPC = frozenset({404, 405, 501}), "UNIMPLEMENTED"
"""What is answered where nobody takes what was sent."""

TLS_ALERT = b"\x15\x03"
SETTINGS = b"\x04\x00"
"""Type and flags of the frame that a speaker of HTTP/2 begins with, after three bytes of length."""


def of_http(error: Exception, call: Call, endpoint: Endpoint) -> str:
    """Why a call over HTTP got no answer."""
    if isinstance(error, Unusable):
        return str(error)
    # Without what only says that a call failed, and wraps why.
    found = causes_of(error)
    causes = [one for one in found if not isinstance(one, _WRAPPERS)] or [error]
    return (
        _of_tls(causes, call, endpoint)
        or _of_another_protocol(call.first, endpoint)
        or _of_connecting(causes, call, endpoint)
        or _of_answering(causes, call, endpoint)
    )


def of_grpc(code: str, details: str, said: str, endpoint: Endpoint) -> str:
    """Why a call over gRPC failed.

    Args:
        code: The name of its status.
        details: What gRPC, or the endpoint, says of it.
        said: The same, fit to be repeated.
        endpoint: The endpoint.
    """
    if code == "UNAVAILABLE" and (why := _of_unavailable(details, endpoint)):
        return why
    if code == "DEADLINE_EXCEEDED":
        return late(endpoint)
    remedy = ""
    if code in ("UNAUTHENTICATED", "PERMISSION_DENIED"):
        remedy = _of_refusing(endpoint)
    elif code == UNKNOWN_TO_GRPC:
        remedy = (
            f"it takes no {endpoint.signal.what}: see whether {endpoint.variable} is its address"
        )
    return _answers(code, remedy, said)


def of_status(status: int, said: str, endpoint: Endpoint) -> str:
    """What an HTTP status means that is no success.

    Args:
        status: The status.
        said: What the endpoint says of it; of a redirect, where it leads.
        endpoint: The endpoint.
    """
    if 300 <= status < 400:  # noqa: PLR2004
        to = f" to {said}" if said else ""
        return Why(
            f"answers {status}, a redirect{to}, which is not followed",
            f"{endpoint.variable} is to name the endpoint itself",
        )
    remedy = ""
    if status in (401, 403):
        remedy = _of_refusing(endpoint)
    elif status in UNKNOWN_TO_HTTP:
        remedy = f"it takes no {endpoint.signal.what} at this path: {_of_path(endpoint)}"
    return _answers(status, remedy, said)


def _of_refusing(endpoint: Endpoint) -> str:
    """What to do where an endpoint knows us not."""
    return f"see whether {headers_variable(endpoint.signal)} holds what it asks for"


def _answers(what: int | str, remedy: str, said: str) -> str:
    """What an endpoint answers."""
    if not remedy:
        return f"answers {what}: {said}" if said else f"answers {what}"
    return Why(f"answers {what}", remedy, "; ", said)


def of_a_stranger(status: int, kind: str, endpoint: Endpoint) -> str:
    """That a success was no OTLP endpoint's."""
    shown = "".join(c for c in kind if c.isascii() and c.isprintable())[:80]
    what = f"{shown or 'something'} that is not an OTLP answer"
    return Why(f"answers {status} with {what}", f"see whether {endpoint.variable} is its address")


def is_about_tls(body: bytes) -> bool:
    """Whether a server says that it was to be spoken to by TLS, as those of Go and nginx do."""
    return b"HTTP request" in body and b"HTTPS" in body


def late(endpoint: Endpoint) -> str:
    """That no answer came in time."""
    return f"did not answer within {endpoint.timeout:g} s"


def speaks_tls(endpoint: Endpoint) -> str:
    """That an endpoint is spoken to in plain text that speaks TLS."""
    return Why("speaks TLS", f"write https:// in {endpoint.variable}")


def _of_another_protocol(first: bytes, endpoint: Endpoint) -> str:
    """What is spoken there, by the first bytes that came, where it is no HTTP."""
    if first.startswith(TLS_ALERT):
        return speaks_tls(endpoint)
    if first[3:5] == SETTINGS and first[:1] == b"\0":
        return _speaks_grpc(endpoint)
    return ""


def _of_tls(causes: list[BaseException], call: Call, endpoint: Endpoint) -> str:
    """What is wrong with its TLS."""
    found = [one for one in causes if isinstance(one, ssl.SSLError)]
    if not call.is_connecting:
        return ""
    for one in found:
        if isinstance(one, ssl.SSLCertVerificationError):
            return _untrusted(one.verify_message)
    reason = str(found[0].reason or "no reason was given") if found else ""
    if reason in NOT_TLS:
        return _speaks_no_tls(endpoint)
    if "NO_APPLICATION_PROTOCOL" in reason:
        return _speaks_grpc(endpoint)
    if reason:
        return f"lets no TLS connection be made ({reason})"
    # urllib3 1 compares the names itself.
    return (
        _untrusted("hostname mismatch") if any(isinstance(one, SSLError) for one in causes) else ""
    )


def _untrusted(why: str) -> str:
    return Why(
        f"has a certificate that could not be verified ({why})",
        "OTEL_EXPORTER_OTLP_CERTIFICATE names the file of its authority's",
    )


def _of_connecting(causes: list[BaseException], call: Call, endpoint: Endpoint) -> str:
    """Why no connection was made."""
    if any(isinstance(one, ProxyError) for one in causes):
        return "could not be reached through the proxy that the environment names"
    if not call.is_connecting:
        return ""
    host = urlsplit(endpoint.url).hostname
    for one in causes:
        if isinstance(one, (socket.gaierror, UnicodeError)):
            return _unknown_host(host)
        if isinstance(one, ConnectionRefusedError):
            return REFUSED
    if any(isinstance(one, (TimeoutError, Urllib3TimeoutError)) for one in causes):
        return f"could not be reached within {endpoint.timeout:g} s"
    named = [one.strerror for one in causes if isinstance(one, OSError) and one.strerror]
    return f"could not be reached: {named[-1] if named else 'the connection was closed'}"


def _of_answering(causes: list[BaseException], call: Call, endpoint: Endpoint) -> str:
    """Why there is a connection, and no answer."""
    if call.is_too_long:
        return "gave an answer that is too long"
    if any(isinstance(one, (TimeoutError, Urllib3TimeoutError)) for one in causes):
        return late(endpoint)
    if isinstance(causes[0], (HTTPError, ProtocolError, ConnectionError)):
        broken = "gave an answer that is no HTTP, or broke it off"
        return broken if call.first else _broken(endpoint)
    if isinstance(causes[0], OSError) and causes[0].strerror:
        return f"could not be spoken to: {causes[0].strerror}"
    # Not the text of others, which may hold a header, or a proxy's password.
    return "could not be spoken to: the address, a header or a proxy of the environment is wrong"


def _of_unavailable(details: str, endpoint: Endpoint) -> str:
    """Why gRPC has no connection, by its own words."""
    for words, why in (
        ("http1.x server", _speaks_no_grpc(endpoint)),
        ("Expected SETTINGS frame", _speaks_no_grpc(endpoint)),
        ("Connection refused", REFUSED),
        ("WRONG_VERSION_NUMBER", _speaks_no_tls(endpoint)),
        ("CERTIFICATE_VERIFY_FAILED", _untrusted(details.rpartition("FAILED: ")[2])),
    ):
        if words in details:
            return why
    if "resolv" in details or "DNS" in details:
        return _unknown_host(urlsplit(f"//{endpoint.url}").hostname)
    if "failed to connect" not in details:
        return ""
    other = _protocol(endpoint, "http/protobuf")
    if endpoint.is_secure:
        return Why(BROKEN, f"if it speaks HTTP, set {other}", "; ")
    tls = _broken(endpoint)
    return Why(BROKEN, f"{tls.removeprefix(f'{BROKEN}: ')}; if it speaks HTTP, set {other}")


def _of_path(endpoint: Endpoint) -> str:
    path, added = urlsplit(endpoint.url).path, endpoint.signal.path
    if endpoint.variable != VARIABLE:
        return f"{endpoint.variable} is the whole address, which mostly ends in {added}"
    if path.count(added) > 1:
        return f"{VARIABLE} must not end in {added}: dotflow adds it"
    return f"{added} is added to {VARIABLE}; {endpoint.signal.prefix}ENDPOINT is used as it is"


def _broken(endpoint: Endpoint) -> str:
    if endpoint.is_secure:
        return BROKEN
    return Why(BROKEN, f"if it speaks TLS, write https:// in {endpoint.variable}")


def _unknown_host(host: str | None) -> str:
    return f"could not be reached: the host name {host} does not resolve"


def _speaks_no_tls(endpoint: Endpoint) -> str:
    return Why("does not speak TLS", f"write http:// in {endpoint.variable}")


def _speaks_no_grpc(endpoint: Endpoint) -> str:
    return Why(
        "does not speak gRPC",
        f"if it speaks HTTP, set {_protocol(endpoint, 'http/protobuf')}, "
        f"else the port of gRPC (mostly 4317) in {endpoint.variable}",
    )


def _speaks_grpc(endpoint: Endpoint) -> str:
    return Why(
        "speaks gRPC, not HTTP",
        f"set {_protocol(endpoint, 'grpc')}, or the port of HTTP (mostly 4318) in "
        f"{endpoint.variable}",
    )


def _protocol(endpoint: Endpoint, protocol: str) -> str:
    is_argument = endpoint.variable == "endpoint"
    variable = protocol_variable(endpoint.signal)
    return f'protocol="{protocol}"' if is_argument else f"{variable}={protocol}"
