"""Knows the token that programs send, in the header of either dialect."""

import hmac

from starlette.types import Scope

from dotflow.api.limits import header

# What says nothing about any run: the health check, the description of the API, the log in.
OPEN_PATHS = frozenset({"/healthz", "/docs", "/openapi.json", "/login"})

# Style, scripts and pictures of the pages: files of the package.
OPEN_FOLDER = "/static/"


def is_open(path: str) -> bool:
    """Whether a path says nothing about any run."""
    return path in OPEN_PATHS or path.startswith(OPEN_FOLDER)


def carries(scope: Scope, token: str) -> bool:
    """Whether a request has the token in ``X-User-Token`` or ``Authorization: Bearer``.

    Args:
        scope: The request.
        token: The server's token.
    """
    scheme, _, credentials = header(scope, b"authorization").partition(b" ")
    offered = [header(scope, b"x-user-token")]
    if scheme.lower() == b"bearer":
        offered.append(credentials.strip())
    return any(hmac.compare_digest(value, token.encode()) for value in offered)


def check_token(token: str) -> str:
    """Gives the token back if a header can carry it.

    Args:
        token: The server's token.

    Raises:
        ValueError: It is empty, has a space at an end, or holds more than printable ASCII.
    """
    if not token:
        raise ValueError("the token is empty: give a token, or None to let everybody in")
    if not (token.isascii() and token.isprintable()) or token != token.strip():
        raise ValueError("the token must be printable ASCII with no space at its ends")
    return token
