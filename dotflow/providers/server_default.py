"""Reports to dotflow-api, in the default dialect."""

from __future__ import annotations

import os

from dotflow.providers.reporting import ReportingServer

VARIABLES = ("DOTFLOW_SERVER_URL", "DOTFLOW_USER_TOKEN")


class ServerDefault(ReportingServer):
    """Reports to the dotflow-api of a URL and a token; without both it reports nothing.

    Args:
        base_url: Its address; `DOTFLOW_SERVER_URL` without one.
        user_token: The token; `DOTFLOW_USER_TOKEN` without one.
        timeout: Seconds for one call, in the background.

    Raises:
        ValueError: An address without a token (or the reverse), or one that is no URL, was given.
    """

    def __init__(
        self,
        base_url: str | None = None,
        user_token: str | None = None,
        timeout: float = 15.0,
    ) -> None:
        if not any((base_url, user_token, *map(os.environ.get, VARIABLES))):
            super().__init__(None)
            return
        # Here, for who reports nowhere need not wait for what delivers.
        from dotflow.delivery.channel import Channel
        from dotflow.delivery.dialect import Dialect
        from dotflow.delivery.environment import find_destination

        destination = find_destination(base_url, user_token, Dialect.DEFAULT, timeout)
        super().__init__(None if destination is None else Channel(destination))
