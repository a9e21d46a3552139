"""Lets in requests that carry the token, in the header of either dialect."""

import hmac
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from dotflow.api.limits import header, refuse

# What says nothing about any run: the health check, and the description of the API.
OPEN_PATHS = frozenset({"/healthz", "/docs", "/openapi.json"})


# Style, scripts and pictures of the pages: files of the package.
OPEN_FOLDER = "/static/"


def is_open(path: str) -> bool:
    """Whether a path says nothing about any run."""
    return path in OPEN_PATHS or path.startswith(OPEN_FOLDER)


class TokenCheck:
    """Hands on requests with the right token and answers 401 to the others, their body unread.

    Args:
        app: The application behind.
        token: What ``X-User-Token: TOKEN`` or ``Authorization: Bearer TOKEN`` must carry.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Calls the application if the request may come in."""
        guarded = scope["type"] == "http" and not is_open(scope["path"])
        if guarded and not self._admits(scope):
            detail = "no token, or a wrong one: send X-User-Token or Authorization: Bearer"
            headers = {b"www-authenticate": b"Bearer"}
            await refuse(scope, receive, send, status=401, detail=detail, headers=headers)
            return
        await self._app(scope, receive, send)

    def _admits(self, scope: Scope) -> bool:
        scheme, _, credentials = header(scope, b"authorization").partition(b" ")
        offered = [header(scope, b"x-user-token")]
        if scheme.lower() == b"bearer":
            offered.append(credentials.strip())
        return any(hmac.compare_digest(value, self._token) for value in offered)


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


def describe_security(openapi: dict[str, Any]) -> None:
    """Adds both headers to the description of every guarded operation.

    FastAPI would describe them if they were dependencies; those run after the body was read, and
    cost each request a third of a millisecond.

    Args:
        openapi: The document; it is changed in place.
    """
    openapi.setdefault("components", {})["securitySchemes"] = {
        "UserToken": {"type": "apiKey", "in": "header", "name": "X-User-Token"},
        "BearerToken": {"type": "http", "scheme": "bearer"},
    }
    refused = {
        "description": "Unauthorized",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}}},
    }
    for path, operations in openapi["paths"].items():
        for operation in operations.values() if path not in OPEN_PATHS else ():
            operation["security"] = [{"UserToken": []}, {"BearerToken": []}]
            operation["responses"]["401"] = refused
