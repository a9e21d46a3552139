"""The dotflow-api that arguments and the environment name."""

from __future__ import annotations

import os

from dotflow.delivery.dialect import Destination, Dialect
from dotflow.logging import logger

VARIABLES = {
    Dialect.MANAGED: ("SERVER_BASE_URL", "SERVER_USER_TOKEN"),
    Dialect.DEFAULT: ("DOTFLOW_SERVER_URL", "DOTFLOW_USER_TOKEN"),
}


def find_destination(
    base_url: str | None = None,
    user_token: str | None = None,
    dialect: Dialect | str | None = None,
    timeout: float = 15.0,
) -> Destination | None:
    """The dotflow-api that is meant; None where none is.

    What is wrong in the environment is warned of and means none: it costs reports, not the work.

    Args:
        base_url: Its address; what the dialect's variable says without one.
        user_token: The token; what the dialect's variable says without one.
        dialect: "default" or "managed". Without one: the default where address and token are
            given; else the one whose variables are set, a managed one first.
        timeout: Seconds for one call.

    Raises:
        ValueError: There is no such dialect, or what was given as an argument cannot be used.
    """
    if dialect is not None:
        wanted = [Dialect(dialect)]
    elif base_url and user_token:
        wanted = [Dialect.DEFAULT]
    else:
        wanted = list(VARIABLES)
    for one in wanted:
        names = VARIABLES[one]
        url, token = base_url or os.environ.get(names[0]), user_token or os.environ.get(names[1])
        if url and token:
            return _destination(url, token, one, timeout, given=bool(base_url or user_token))
        if (url or token) and not (base_url or user_token):
            logger.warning(
                "%s is set and %s is not: nothing is reported there. Set both.",
                *(names if url else reversed(names)),
            )
    if base_url or user_token:
        otlp = "" if user_token else ". For an OTLP endpoint write ServerOtel(endpoint=...)"
        raise ValueError(
            "dotflow-api needs an address and a token: give base_url and user_token, or set "
            f"{' and '.join(VARIABLES[wanted[-1]])}{otlp}"
        )
    return None


def _destination(
    url: str, token: str, dialect: Dialect, timeout: float, given: bool
) -> Destination | None:
    try:
        return Destination(url, token, dialect, timeout)
    except ValueError as error:
        if given:
            raise
        logger.warning("%s and %s: %s. Nothing is reported there.", *VARIABLES[dialect], error)
        return None
