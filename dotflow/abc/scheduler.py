"""The Scheduler contract: run a workflow whenever it is due."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class Scheduler(ABC):
    """Runs a workflow whenever it is due: `DotFlow.schedule` calls `start`."""

    @abstractmethod
    def start(self, workflow: Callable[..., Any], **kwargs: Any) -> None:
        """Call `workflow(**kwargs)` at each due time; return when no further run will start."""

    @abstractmethod
    def stop(self) -> None:
        """Start no further run; any thread may call this method."""
