"""The logs that are there: those of living and of dead processes, and what the history has kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dotflow.runlog import files, history

if TYPE_CHECKING:
    from pathlib import Path


@dataclass
class LocalLog:
    """The log of one process.

    Attributes:
        id: Its id.
        segments: Its files by their numbers; one that was kept is the history's.
        is_alive: Whether its process lives.
        last_seen: When its process gave the last sign of life, in nanoseconds since 1970.
    """

    id: str
    segments: dict[int, Path] = field(default_factory=dict)
    is_alive: bool = False
    last_seen: int = 0

    @property
    def paths(self) -> list[Path]:
        """Its files, in order."""
        return [self.segments[number] for number in sorted(self.segments)]


def local_logs() -> dict[str, LocalLog]:
    """The logs of this user on this machine, by their ids.

    A file that is kept while this looks is in one of the two places, or in both.
    """
    found: dict[str, LocalLog] = {}
    in_work = files.segments_in(files.folder(), files.LOG)
    for log, number, path in [*in_work, *history.kept()]:
        found.setdefault(log, LocalLog(log)).segments[number] = path
    for one in found.values():
        one.is_alive = files.is_alive(one.id)
        one.last_seen = int(files.last_seen(one.id, one.paths) * 1e9)
    return found
