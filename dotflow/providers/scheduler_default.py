"""The Scheduler of who starts workflows by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dotflow.abc.scheduler import Scheduler

if TYPE_CHECKING:
    from collections.abc import Callable


class SchedulerDefault(Scheduler):
    """Schedules nothing: the default of the slot `scheduler`."""

    def start(self, workflow: Callable[..., Any], **kwargs: Any) -> None:
        """Do nothing."""

    def stop(self) -> None:
        """Do nothing."""
