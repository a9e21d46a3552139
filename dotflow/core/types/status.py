"""The states of a task."""

from __future__ import annotations


class TypeStatus:
    """The values of `Task.status`; dotflow never sets `PAUSED`."""

    NOT_STARTED = "Not started"
    IN_PROGRESS = "In progress"
    COMPLETED = "Completed"
    PAUSED = "Paused"
    RETRY = "Retry"
    FAILED = "Failed"

    @classmethod
    def get_symbol(cls, status: str) -> str | None:
        """The symbol of a status; None for any other text."""
        return {
            cls.NOT_STARTED: "⚪",
            cls.IN_PROGRESS: "🔵",
            cls.COMPLETED: "✅",
            cls.PAUSED: "◼️",
            cls.RETRY: "❗",
            cls.FAILED: "❌",
        }.get(status)
