"""The server that the environment asks for."""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING

from dotflow.logging import logger
from dotflow.providers.server_api import ServerAPI
from dotflow.providers.server_default import ServerDefault
from dotflow.providers.server_none import ServerNone

if TYPE_CHECKING:
    from collections.abc import Callable

    from dotflow.abc.server import Server

MANAGED = ("SERVER_BASE_URL", "SERVER_USER_TOKEN")
DEFAULT = ("DOTFLOW_SERVER_URL", "DOTFLOW_USER_TOKEN")


def server_from_environment() -> Server:
    """`DOTFLOW_SERVER=otel` is ServerOtel; a pair of variables is its dialect; else nothing.

    `SERVER_BASE_URL` and `SERVER_USER_TOKEN` make a ServerAPI, `DOTFLOW_SERVER_URL` and
    `DOTFLOW_USER_TOKEN` a ServerDefault that reports. Half a pair is warned of.
    """
    chosen = os.environ.get("DOTFLOW_SERVER", "").strip().lower()
    if chosen == "otel":
        # By name: this package does not import its neighbour, nor OpenTelemetry's SDK.
        server: Server = import_module("dotflow.otel").ServerOtel()
        return server
    if chosen not in ("", "auto", "default", "api"):
        logger.warning("DOTFLOW_SERVER is %r: only 'otel' is known, and it is ignored.", chosen)
    if _complete(MANAGED):
        return _made(MANAGED, ServerAPI)
    if _complete(DEFAULT):
        return _made(DEFAULT, ServerDefault)
    return ServerDefault()


def _made(pair: tuple[str, str], server: Callable[[str, str], Server]) -> Server:
    """The server of a pair of variables; a wrong address is warned of, and the work goes on."""
    try:
        return server(os.environ[pair[0]], os.environ[pair[1]])
    except ValueError as error:
        logger.warning("%s: %s. Nothing is reported there.", pair[0], error)
        return ServerNone()


def _complete(pair: tuple[str, str]) -> bool:
    """Whether both variables of a pair are set; half a pair is warned of."""
    missing = [name for name in pair if not os.environ.get(name)]
    if len(missing) == 1:
        present = next(name for name in pair if name not in missing)
        logger.warning(
            "%s is set and %s is not: nothing is reported there. Set both.", present, missing[0]
        )
    return not missing
