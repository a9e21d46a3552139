"""The server, and who is told of failures, that the environment asks for."""

from __future__ import annotations

import os
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from dotflow.logging import logger
from dotflow.providers.notify_default import NotifyDefault
from dotflow.providers.server_none import ServerNone
from dotflow.runlog import history

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dotflow.abc.notify import Notify
    from dotflow.abc.server import Server

SERVER_VARIABLE = "DOTFLOW_SERVER"
NOTIFY_URLS = "DOTFLOW_NOTIFY_URLS"
NOTIFY_ON = "DOTFLOW_NOTIFY_ON"

# As in `dotflow.delivery.environment`, which is loaded only if one of them is set.
MANAGED = ("SERVER_BASE_URL", "SERVER_USER_TOKEN")
DEFAULT = ("DOTFLOW_SERVER_URL", "DOTFLOW_USER_TOKEN")


class ServerChoice:
    """The values of `DOTFLOW_SERVER`, and of `--server`."""

    AUTO = "auto"
    DEFAULT = "default"
    API = "api"
    OTEL = "otel"
    NONE = "none"
    ALL = (AUTO, DEFAULT, API, OTEL, NONE)


_tracing: Mapping[str, Any] | None = None


def trace_by_default(options: Mapping[str, Any] | None) -> None:
    """Have ServerOtel be the server where neither a program nor `DOTFLOW_SERVER` says another.

    Args:
        options: The arguments of ServerOtel; None takes it back.
    """
    global _tracing  # noqa: PLW0603 - a program is instrumented, or it is not
    _tracing = options


def traces_by_default() -> bool:
    """Whether a Config that is given no server has ServerOtel."""
    choice = _choice()
    return choice == ServerChoice.OTEL or (choice == ServerChoice.AUTO and _tracing is not None)


def chosen_server(given: Server | None, has_tracer: bool = False) -> Server:
    """The server of a Config: what its program gave, unless the environment says `none`.

    Args:
        given: What `Config(server=...)` was given; None leaves it to the environment.
        has_tracer: Whether the Config was given a tracer: then it has its spans already.
    """
    if given is None or _choice() == ServerChoice.NONE:
        return server_from_environment(has_tracer)
    return given


def notify_from_environment() -> Notify:
    """NotifyApprise if `DOTFLOW_NOTIFY_URLS` names addresses; else one that tells nobody."""
    urls = os.environ.get(NOTIFY_URLS, "").strip()
    if not urls:
        return NotifyDefault()
    return _notify_of(urls, os.environ.get(NOTIFY_ON, ""))


@lru_cache(maxsize=8)
def _notify_of(urls: str, on: str) -> Notify:  # noqa: ARG001 - they are what it is remembered by
    """One for all the workflows of a process: it keeps what waits for each address."""
    try:
        # By name: Apprise is not there for everybody, and takes its time to load.
        notify: Notify = import_module("dotflow.providers.notify_apprise").NotifyApprise()
    except Exception as error:  # noqa: BLE001 - whatever it is, it costs notices, not the work
        logger.warning("%s is set, but no notice can be sent: %s", NOTIFY_URLS, error)
        return NotifyDefault()
    return notify


def _choice() -> str:
    return os.environ.get(SERVER_VARIABLE, "").strip().lower() or ServerChoice.AUTO


def server_from_environment(has_tracer: bool = False) -> Server:
    """What `DOTFLOW_SERVER` says; without it, what the pairs of variables say; else nothing.

    | `DOTFLOW_SERVER` | server |
    | --- | --- |
    | `otel` | ServerOtel |
    | `api` | ServerAPI of `SERVER_BASE_URL` and `SERVER_USER_TOKEN` |
    | `default` | ServerDefault of `DOTFLOW_SERVER_URL` and `DOTFLOW_USER_TOKEN` |
    | `none` | none, whatever else is set, or given in code |
    | `auto`, or not set | ServerAPI where its pair is set, else ServerDefault |

    With `auto` an instrumented program has a ServerOtel (see `trace_by_default`).

    A pair that is missing, half or of no use is warned of, and nothing is reported there.
    """
    chosen = _choice()
    if chosen == ServerChoice.NONE:
        return ServerNone()
    if chosen not in ServerChoice.ALL:
        logger.warning(
            "%s is %r, which is none of %s: it is ignored.",
            SERVER_VARIABLE, chosen, ", ".join(ServerChoice.ALL),
        )  # fmt: skip
        chosen = ServerChoice.AUTO
    is_traced = chosen == ServerChoice.AUTO and _tracing is not None and not has_tracer
    if is_traced or chosen == ServerChoice.OTEL:
        server = _server_otel(_tracing or {})
        if server is not None:
            return server
    return _server_of_dotflow_api(chosen)


def _server_of_dotflow_api(chosen: str) -> Server:
    # Here, for a program that reports nowhere need not wait for what delivers.
    from dotflow.providers.server_default import ServerDefault

    if chosen == ServerChoice.API:
        return _server_api() or _unset(chosen, MANAGED)
    if chosen == ServerChoice.DEFAULT:
        return ServerDefault() if _is_set(DEFAULT) else _unset(chosen, DEFAULT)
    if not (_is_set(MANAGED) or _is_set(DEFAULT)):
        server = ServerDefault()
        server.silent = not history.wanted()
        return server
    return _server_api() or ServerDefault()


def _server_otel(options: Mapping[str, Any]) -> Server | None:
    try:
        # By name: this package does not import its neighbour, nor OpenTelemetry's SDK.
        server: Server = import_module("dotflow.otel").ServerOtel(**options)
    except Exception as error:  # noqa: BLE001 - a wrong variable costs spans, not the work
        logger.warning("There are no spans, because OpenTelemetry cannot be set up: %s", error)
        return None
    return server


def _server_api() -> Server | None:
    from dotflow.delivery.dialect import Dialect
    from dotflow.delivery.environment import find_destination
    from dotflow.providers.server_api import ServerAPI

    managed = find_destination(dialect=Dialect.MANAGED)
    return None if managed is None else ServerAPI(managed.url, managed.token)


def _is_set(variables: tuple[str, str]) -> bool:
    return any(os.environ.get(name) for name in variables)


def _unset(chosen: str, variables: tuple[str, str]) -> Server:
    """The server of a choice whose variables are not there: half a pair was warned of already."""
    if not _is_set(variables):
        logger.warning(
            "%s is %r, but neither %s nor %s is set: nothing is reported.",
            SERVER_VARIABLE, chosen, *variables,
        )  # fmt: skip
    return ServerNone()
