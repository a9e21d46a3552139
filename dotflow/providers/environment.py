"""The server that the environment asks for."""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING

from dotflow.delivery.dialect import Dialect
from dotflow.delivery.environment import find_destination
from dotflow.logging import logger
from dotflow.providers.server_api import ServerAPI
from dotflow.providers.server_default import ServerDefault

if TYPE_CHECKING:
    from dotflow.abc.server import Server


def server_from_environment() -> Server:
    """`DOTFLOW_SERVER=otel` is ServerOtel; a pair of variables is its dialect; else nothing.

    `SERVER_BASE_URL` and `SERVER_USER_TOKEN` make a ServerAPI, `DOTFLOW_SERVER_URL` and
    `DOTFLOW_USER_TOKEN` a ServerDefault that reports. Half a pair, or one that cannot be used, is
    warned of.
    """
    chosen = os.environ.get("DOTFLOW_SERVER", "").strip().lower()
    if chosen == "otel":
        try:
            # By name: this package does not import its neighbour, nor OpenTelemetry's SDK.
            server: Server = import_module("dotflow.otel").ServerOtel()
        except Exception as error:  # noqa: BLE001 - a wrong variable costs spans, not the work
            logger.warning("There are no spans, OpenTelemetry cannot be set up: %s", error)
        else:
            return server
    if chosen not in ("", "auto", "default", "api"):
        logger.warning("DOTFLOW_SERVER is %r: only 'otel' is known, and it is ignored.", chosen)
    managed = find_destination(dialect=Dialect.MANAGED)
    return ServerDefault() if managed is None else ServerAPI(managed.url, managed.token)
