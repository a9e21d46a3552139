"""Reports to dotflow-api, in the default dialect."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from dotflow.providers.reporting import ReportingServer

if TYPE_CHECKING:
    from dotflow.runlog.texts import Redact

POLICY = "default"
VARIABLES = ("DOTFLOW_SERVER_URL", "DOTFLOW_USER_TOKEN")


class ServerDefault(ReportingServer):
    """Reports to the dotflow-api of a URL and a token; without both it reports nothing.

    Args:
        base_url: Its address; `DOTFLOW_SERVER_URL` without one.
        user_token: The token; `DOTFLOW_USER_TOKEN` without one.
        timeout: Seconds for one call, in the background.
        contexts: Whether reports carry the tasks' contexts.
        redact: Called as `redact(role, value)` with the role ("initial", "previous", "current" or
            "error") and a value; reports carry what it returns.
        whole_values: Whether values under keys that look like credentials are reported too;
            without it what `DOTFLOW_WHOLE_VALUES` says.

    Raises:
        ValueError: An address without a token (or the reverse), or one that is no URL, was given.
    """

    def __init__(
        self,
        base_url: str | None = None,
        user_token: str | None = None,
        timeout: float = 15.0,
        *,
        contexts: bool = True,
        redact: Redact | None = None,
        whole_values: bool | None = None,
    ) -> None:
        if not any((base_url, user_token, *map(os.environ.get, VARIABLES))):
            super().__init__(None, POLICY, contexts, redact, whole_values)
            return
        # Here, for who reports nowhere need not wait for what delivers.
        from dotflow.delivery.channel import Channel
        from dotflow.delivery.dialect import Dialect
        from dotflow.delivery.environment import find_destination

        destination = find_destination(base_url, user_token, Dialect.DEFAULT, timeout)
        channel = None if destination is None else Channel(destination)
        super().__init__(channel, POLICY, contexts, redact, whole_values)
