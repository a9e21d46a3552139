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
    """Reports to a dotflow-api; without an address and a token it reports nothing.

    Args:
        base_url: The address of dotflow-api; by default `DOTFLOW_SERVER_URL`.
        user_token: The token; by default `DOTFLOW_USER_TOKEN`.
        timeout: How many seconds one call may take, in the background.
        contexts: Whether reports carry the tasks' contexts.
        redact: Called as `redact(role, value)` with the role ("initial", "previous", "current" or
            "error") and a value; reports carry what the function returns.
        whole_values: Whether reports carry the values of keys that look like credentials; by
            default `DOTFLOW_WHOLE_VALUES` decides.

    Raises:
        ValueError: Only one of address and token is given; or the address is not a URL.
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
