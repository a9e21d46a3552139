"""Knows by which names a server may be asked, and whether a browser's page is its own."""

import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.types import Scope

from dotflow.api.limits import header


def is_known(host: bytes, allowed: Collection[str] = ()) -> bool:
    """Whether no stranger's name led here: with one, their page could read what we answer.

    An address is good: only a name can be made to lead elsewhere. So is no name at all, which no
    browser sends.

    Args:
        host: The request's ``Host``.
        allowed: Names that are good besides those of the loopback.
    """
    name = _name(host.decode("latin-1"))
    if name in {"", "localhost", *(one.lower() for one in allowed)} or name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True


def is_own(scope: Scope, *, needs_origin: bool) -> bool:
    """Whether it is no other site's page that sends a request.

    Args:
        scope: The request.
        needs_origin: Whether it is a browser for sure: those say where they come from.
    """
    # Browsers say it outright, over https and on the loopback.
    site = header(scope, b"sec-fetch-site")
    if site:
        return site in {b"same-origin", b"none"}
    origin = header(scope, b"origin").decode("latin-1").lower()
    if not origin:
        return not needs_origin
    host = header(scope, b"host").decode("latin-1").lower()
    return origin in {f"http://{host}", f"https://{host}"}


def _name(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".") if host else ""
    except ValueError:
        return "?"
