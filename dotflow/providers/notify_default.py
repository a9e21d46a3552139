"""The Notify of who wants to be told of nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dotflow.abc.notify import Notify

if TYPE_CHECKING:
    from dotflow.abc.task import TaskView


class NotifyDefault(Notify):
    """Tells nobody: the default if `DOTFLOW_NOTIFY_URLS` is not set."""

    def hook_status_task(self, task: TaskView) -> None:
        """Do nothing."""
