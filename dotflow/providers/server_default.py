"""Reports to dotflow-api, in the default dialect."""

from __future__ import annotations

from dotflow.delivery.channel import Channel
from dotflow.delivery.dialect import Dialect
from dotflow.delivery.environment import find_destination
from dotflow.providers.reporting import ReportingServer


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
        destination = find_destination(base_url, user_token, Dialect.DEFAULT, timeout)
        super().__init__(None if destination is None else Channel(destination))
