"""Lets requests in, or says why not, by their head alone."""

from collections.abc import Collection
from typing import NamedTuple

from starlette.types import ASGIApp, Receive, Scope, Send

from dotflow.api.errors import UNAVAILABLE
from dotflow.api.guard.origins import is_known, is_own
from dotflow.api.guard.sessions import SESSION, Sessions
from dotflow.api.guard.tokens import carries, is_open
from dotflow.api.limits import LOGIN_PATH, header, refuse
from dotflow.api.web.links import Links

_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_FORM = b"application/x-www-form-urlencoded"
_JSON = b"application/json"
_FORM_PATHS = frozenset({LOGIN_PATH, "/logout"})

_NO_TOKEN = "no token, or a wrong one: send the header X-User-Token or Authorization"  # noqa: S105
_ELSEWHERE = (
    "a page of another site may change nothing here; if a proxy stands in front, have it send the "
    "Host that the browser asked for, or X-Forwarded-Host and start with --behind-proxy"
)
_STRANGE_HOST = (
    "this server has no token, so it answers only to localhost and to addresses: ask for one of "
    "these, allow the name (--allow-host NAME), or set a token (DOTFLOW_API_TOKEN)"
)


class _Refusal(NamedTuple):
    status: int
    detail: str
    headers: dict[bytes, bytes]


_UNKNOWABLE = _Refusal(503, "the database does not answer; try again", {b"retry-after": b"1"})


class Gate:
    """Hands on requests that may come in and answers the others, their body unread.

    Args:
        app: The application behind.
        token: What programs must carry; None lets in everybody who asks for a known host.
        sessions: Those of people who gave the token; None where there is no token.
        allowed_hosts: Names that a server without a token answers to, besides the loopback's.
    """

    def __init__(
        self,
        app: ASGIApp,
        token: str | None,
        sessions: Sessions | None,
        allowed_hosts: Collection[str],
    ) -> None:
        self._app = app
        self._token = token
        self._sessions = sessions
        self._allowed_hosts = allowed_hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Calls the application if the request may come in."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            scope = {**scope, SESSION: await self._has_session(scope)}
            refusal = self._refusal(scope)
        except UNAVAILABLE:  # it is the database that knows who has logged out
            refusal = _UNKNOWABLE
        if refusal is None:
            await self._app(scope, receive, send)
            return
        status, detail, headers = refusal
        await refuse(scope, receive, send, status=status, detail=detail, headers=headers)

    async def _has_session(self, scope: Scope) -> bool:
        return self._sessions is not None and await self._sessions.admits(scope)

    def _refusal(self, scope: Scope) -> _Refusal | None:
        if self._token is None:
            if not is_known(header(scope, b"host"), self._allowed_hosts):
                return _Refusal(421, _STRANGE_HOST, {})
        elif carries(scope, self._token):
            # A page of another site cannot send a header of ours.
            return _wrong_kind(scope)
        elif not (scope[SESSION] or is_open(scope["path"])):
            return _unknown(scope)
        if scope["method"] in _READS:
            return None
        if not is_own(scope, needs_origin=scope[SESSION]):
            return _Refusal(403, _ELSEWHERE, {})
        return _wrong_kind(scope)


def _unknown(scope: Scope) -> _Refusal:
    if scope["method"] != "GET" or b"text/html" not in header(scope, b"accept"):
        return _Refusal(401, _NO_TOKEN, {b"www-authenticate": b"Bearer"})
    asked = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
    query = scope["query_string"].decode("latin-1")
    after = f"{asked}?{query}" if query else asked
    address = Links(scope.get("root_path", "")).login(None if after == "/" else after)
    return _Refusal(303, "log in first", {b"location": address.encode()})


def _wrong_kind(scope: Scope) -> _Refusal | None:
    has_body = header(scope, b"content-length") not in {b"", b"0"}
    has_body = has_body or bool(header(scope, b"transfer-encoding"))
    if scope["method"] in _READS or not has_body:
        return None
    wanted = _FORM if scope["path"] in _FORM_PATHS else _JSON
    kind = header(scope, b"content-type").partition(b";")[0].strip().lower()
    if kind == wanted:
        return None
    detail = f"the body must be {wanted.decode()}: say so in Content-Type"
    return _Refusal(415, detail, {})
