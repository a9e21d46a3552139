"""The server that the environment asks for."""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING

from dotflow.delivery.dialect import Dialect
from dotflow.delivery.environment import VARIABLES, find_destination
from dotflow.logging import logger
from dotflow.providers.server_api import ServerAPI
from dotflow.providers.server_default import ServerDefault
from dotflow.providers.server_none import ServerNone

if TYPE_CHECKING:
    from dotflow.abc.server import Server

SERVER_VARIABLE = "DOTFLOW_SERVER"


class ServerChoice:
    """The values of `DOTFLOW_SERVER`, and of `--server`."""

    AUTO = "auto"
    DEFAULT = "default"
    API = "api"
    OTEL = "otel"
    NONE = "none"
    ALL = (AUTO, DEFAULT, API, OTEL, NONE)


def server_from_environment() -> Server:
    """What `DOTFLOW_SERVER` says; without it, what the pairs of variables say; else nothing.

    | `DOTFLOW_SERVER` | server |
    | --- | --- |
    | `otel` | ServerOtel |
    | `api` | ServerAPI of `SERVER_BASE_URL` and `SERVER_USER_TOKEN` |
    | `default` | ServerDefault of `DOTFLOW_SERVER_URL` and `DOTFLOW_USER_TOKEN` |
    | `none` | none, whatever else is set |
    | `auto`, or not set | ServerAPI where its pair is set, else ServerDefault |

    A pair that is missing, half or of no use is warned of, and nothing is reported there.
    """
    chosen = os.environ.get(SERVER_VARIABLE, "").strip().lower() or ServerChoice.AUTO
    if chosen == ServerChoice.NONE:
        return ServerNone()
    if chosen == ServerChoice.OTEL and (server := _server_otel()) is not None:
        return server
    if chosen == ServerChoice.API:
        return _server_api() or _unset(chosen, Dialect.MANAGED)
    if chosen == ServerChoice.DEFAULT:
        return ServerDefault() if _is_set(Dialect.DEFAULT) else _unset(chosen, Dialect.DEFAULT)
    if chosen not in ServerChoice.ALL:
        logger.warning(
            "%s is %r, which is none of %s: it is ignored.",
            SERVER_VARIABLE, chosen, ", ".join(ServerChoice.ALL),
        )  # fmt: skip
    return _server_api() or ServerDefault()


def _server_otel() -> Server | None:
    try:
        # By name: this package does not import its neighbour, nor OpenTelemetry's SDK.
        server: Server = import_module("dotflow.otel").ServerOtel()
    except Exception as error:  # noqa: BLE001 - a wrong variable costs spans, not the work
        logger.warning("There are no spans, OpenTelemetry cannot be set up: %s", error)
        return None
    return server


def _server_api() -> ServerAPI | None:
    managed = find_destination(dialect=Dialect.MANAGED)
    return None if managed is None else ServerAPI(managed.url, managed.token)


def _is_set(dialect: Dialect) -> bool:
    return any(os.environ.get(name) for name in VARIABLES[dialect])


def _unset(chosen: str, dialect: Dialect) -> Server:
    """The server of a choice whose variables are not there: half a pair was warned of already."""
    if not _is_set(dialect):
        logger.warning(
            "%s is %r, and neither %s nor %s is set: nothing is reported.",
            SERVER_VARIABLE, chosen, *VARIABLES[dialect],
        )  # fmt: skip
    return ServerNone()
