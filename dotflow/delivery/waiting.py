"""What waits for one destination."""

from __future__ import annotations

from dataclasses import dataclass

BEFORE = "outbox"
"""The folder in which the version before kept what waited."""


@dataclass(frozen=True)
class Waiting:
    """What waits for one destination in one log, or file of the version before.

    Attributes:
        destination: Where it goes.
        pending: How many messages wait.
        bytes: How many bytes the log, or the bodies in the file, have.
        oldest: When its process began (seconds since the epoch); None where nothing waits.
        is_owned: Whether a living process sees to it.
    """

    destination: str
    pending: int
    bytes: int
    oldest: float | None
    is_owned: bool
