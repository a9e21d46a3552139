"""The Server of who reports nowhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dotflow.abc.server import Server

if TYPE_CHECKING:
    from uuid import UUID

    from dotflow.abc.task import TaskView


class ServerNone(Server):
    """Reports nothing, whatever the environment says."""

    silent = True

    def create_workflow(self, workflow: str | UUID) -> None:
        """Do nothing."""

    def update_workflow(self, workflow: str | UUID, status: str = "") -> None:
        """Do nothing."""

    def create_task(self, task: TaskView) -> None:
        """Do nothing."""

    def update_task(self, task: TaskView) -> None:
        """Do nothing."""
