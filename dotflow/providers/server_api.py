"""Reports to dotflow-api, in the managed dialect."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dotflow.delivery.channel import Channel
from dotflow.delivery.dialect import Destination, Dialect
from dotflow.delivery.numbering import next_task_id
from dotflow.providers.reporting import ReportingServer
from dotflow.runlog.lines import MANAGED

if TYPE_CHECKING:
    from uuid import UUID

    from dotflow.runlog.texts import Redact


class ServerAPI(ReportingServer):
    """Reports to the dotflow-api that manages the run (the managed dialect).

    Args:
        base_url: The address of dotflow-api.
        user_token: The token.
        timeout: How many seconds one call may take, in the background.
        contexts: Whether reports carry the tasks' contexts.
        redact: Called as `redact(role, value)` with the role ("initial", "previous", "current" or
            "error") and a value; reports carry what the function returns.
        whole_values: Whether reports carry the values of keys that look like credentials; by
            default `DOTFLOW_WHOLE_VALUES` decides.

    Raises:
        ValueError: The address is not an http or https URL.
    """

    def __init__(
        self,
        base_url: str,
        user_token: str,
        timeout: float = 15.0,
        *,
        contexts: bool = True,
        redact: Redact | None = None,
        whole_values: bool | None = None,
    ) -> None:
        self._api = Channel(Destination(base_url, user_token, Dialect.MANAGED, timeout))
        super().__init__(self._api, MANAGED, contexts, redact, whole_values)

    def get_next_task_id(self, workflow: str | UUID) -> int:
        """The number that dotflow-api says; where it says none, one that cannot collide."""
        return next_task_id(self._api, str(workflow))
