"""Serves below a path, and takes from a proxy what it says of a request, if it is trusted."""

import re

from starlette.types import ASGIApp, Receive, Scope, Send

from dotflow.api.limits import header

_PREFIX = re.compile(r"(/[A-Za-z0-9_.~-]+)+")
_HOST = re.compile(rb"[A-Za-z0-9_.:\[\]-]{1,300}")


class Prefix:
    """Hands on requests as if they stood at the root, with the prefix for the links in answers.

    The proxy may have taken the prefix off, or not.

    Args:
        app: The application behind.
        root_path: The prefix, as `/dotflow`; "" for none.
        behind_proxy: Whether ``X-Forwarded-Prefix``, ``-Proto`` and ``-Host`` are believed.
    """

    def __init__(self, app: ASGIApp, root_path: str, *, behind_proxy: bool) -> None:
        self._app = app
        self._root_path = root_path
        self._behind_proxy = behind_proxy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Calls the application with what the request would be without the prefix."""
        if scope["type"] == "http":
            scope = _believe(scope) if self._behind_proxy else scope
            scope = _strip(scope, scope.get("root_path") or self._root_path)
        await self._app(scope, receive, send)


def check_prefix(root_path: str) -> str:
    """Gives a prefix without the slash at its end.

    Args:
        root_path: It, as `/dotflow`; "" or "/" for none.

    Raises:
        ValueError: It is no path that links can begin with.
    """
    prefix = root_path.rstrip("/")
    if prefix and not _is_prefix(prefix):
        raise ValueError(f"{root_path!r} is no prefix: give a path as /dotflow, or nothing")
    return prefix


def _is_prefix(text: str) -> bool:
    return bool(_PREFIX.fullmatch(text)) and not {".", ".."} & set(text.split("/"))


def _believe(scope: Scope) -> Scope:
    said: dict[str, object] = {}
    prefix = header(scope, b"x-forwarded-prefix").decode("latin-1").rstrip("/")
    if _is_prefix(prefix):
        said["root_path"] = prefix
    scheme = header(scope, b"x-forwarded-proto").decode("latin-1").lower()
    if scheme in {"http", "https"}:
        said["scheme"] = scheme
    host = header(scope, b"x-forwarded-host")
    if _HOST.fullmatch(host):
        others = [one for one in scope["headers"] if one[0] != b"host"]
        said["headers"] = [(b"host", host), *others]
    return {**scope, **said}


def _strip(scope: Scope, prefix: str) -> Scope:
    path = scope["path"]
    raw = scope.get("raw_path") or path.encode()
    if prefix and (path + "/").startswith(prefix + "/"):
        path = path[len(prefix) :] or "/"
        # The prefix holds nothing that would be encoded, but some clients encode all the same.
        raw = raw[len(prefix) :] or b"/" if raw.startswith(prefix.encode()) else path.encode()
    return {**scope, "path": path, "raw_path": raw, "root_path": prefix}
