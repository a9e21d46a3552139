"""Reports to dotflow-api, in the default dialect."""

from __future__ import annotations

import os

from dotflow.delivery.channel import Channel
from dotflow.delivery.dialect import Destination, Dialect
from dotflow.providers.reporting import ReportingServer


class ServerDefault(ReportingServer):
    """Reports to the dotflow-api of a URL and a token; without both it reports nothing.

    Args:
        base_url: Its address; `DOTFLOW_SERVER_URL` without one.
        user_token: The token; `DOTFLOW_USER_TOKEN` without one.
        timeout: Seconds for one call, in the background.

    Raises:
        ValueError: The address is no http or https URL.
    """

    def __init__(
        self,
        base_url: str | None = None,
        user_token: str | None = None,
        timeout: float = 15.0,
    ) -> None:
        url = base_url or os.environ.get("DOTFLOW_SERVER_URL")
        token = user_token or os.environ.get("DOTFLOW_USER_TOKEN")
        channel = None
        if url and token:
            channel = Channel(Destination(url, token, Dialect.DEFAULT, timeout))
        super().__init__(channel)
