"""What waits for one destination."""

from __future__ import annotations

from typing import NamedTuple

BEFORE = "outbox"
"""The folder in which the version before kept what waited."""

OTLP = "OTLP "
"""How the names of OTLP endpoints begin."""

OTLP_LOGS = "OTLP endpoint for logs "
"""How the names of those begin that log records go to, and not spans."""


def unit_of(destination: str) -> str:
    """What goes to a destination, one of it in words."""
    if destination.startswith(OTLP_LOGS):
        return "log record"
    return "span" if destination.startswith(OTLP) else "message"


class Waiting(NamedTuple):
    """What waits for one destination in one log, or file of the version before.

    Attributes:
        destination: Where it goes.
        pending: How many messages, or spans or log records for an OTLP endpoint, wait.
        bytes: How many bytes the log, or the bodies in the file, have; 0 where nothing waits.
        oldest: When its process began (seconds since the epoch); None where nothing waits.
        is_owned: Whether a living process sees to it.
        pid: The number of that process, where it is known.
        problem: Why it is not known how many wait; empty where it is.
    """

    destination: str
    pending: int
    bytes: int
    oldest: float | None
    is_owned: bool
    pid: int | None = None
    problem: str = ""

    @property
    def is_anything(self) -> bool:
        """Whether anything waits, or may."""
        return self.pending > 0 or bool(self.problem)
