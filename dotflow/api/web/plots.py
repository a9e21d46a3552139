"""How the last runs of a workflow went, as a picture: a bar for each, as high as it took long."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

from dotflow.api.reading import Past
from dotflow.api.web.words import lasting, since

WIDTH, HEIGHT = 1000, 100
"""The picture's own units; the page stretches it."""

LOWEST = 1.0
"""What a bar is high at least."""

_GAP = 0.28  # of a column
_COLUMNS = 12
_UNITS = (0.001, 1.0, 60.0, 3600.0, 86400.0)
_STEPS = (
    1,
    2,
    3,
    4,
    5,
    6,
    8,
    10,
    12,
    15,
    20,
    30,
    40,
    50,
    60,
    80,
    100,
    200,
    300,
    400,
    500,
    600,
    800,
)


class Bar(NamedTuple):
    """A run in the picture."""

    run: Past
    seconds: float | None
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Plot:
    """The last runs of a workflow.

    Args:
        bars: They, oldest first.
        top: Seconds at the upper edge: a round number, as its half is.
        median: Seconds that a completed run took in the middle; None where none is.
        completed: How many completed.
        failed: How many failed.
    """

    bars: list[Bar]
    top: float
    median: float | None
    completed: int
    failed: int

    @property
    def ended(self) -> int:
        """How many came to an end."""
        return self.completed + self.failed

    @property
    def longest(self) -> float | None:
        """Seconds that the longest took, of those that ended."""
        took = [one.run.duration for one in self.bars if one.run.duration is not None]
        return max(took, default=None)

    @property
    def level(self) -> float | None:
        """Where the median lies."""
        return None if self.median is None else round(HEIGHT * (1 - self.median / self.top), 2)

    @property
    def words(self) -> str:
        """What the picture says, for those who do not see it."""
        said = f"{len(self.bars)} runs: {self.completed} completed, {self.failed} failed"
        return said if self.median is None else f"{said}; half took {lasting(self.median)} or less"


def plot(past: Sequence[Past], columns: int = _COLUMNS) -> Plot:
    """Gives the picture of some runs.

    Args:
        past: They, oldest first.
        columns: For how many there is room at least, so that two runs are no two walls.
    """
    seconds = [_seconds(one) for one in past]
    # A run that hangs would make all others flat: it goes up to the edge.
    ended = [one.duration for one in past if one.duration is not None]
    top = round_up(max(ended or [one for one in seconds if one is not None], default=1.0))
    column = WIDTH / max(columns, len(past))
    left = WIDTH - column * len(past)
    bars = []
    for place, (run, took) in enumerate(zip(past, seconds, strict=True)):
        height = min(HEIGHT, max(LOWEST, HEIGHT * (took or 0.0) / top))
        x = left + column * (place + _GAP / 2)
        width = column * (1 - _GAP)
        bars.append(Bar(run, took, *(round(one, 2) for one in (x, HEIGHT - height, width, height))))
    done = [took for run, took in zip(past, seconds, strict=True) if run.status == "Completed"]
    known = [one for one in done if one is not None]
    failed = sum(run.status == "Failed" for run in past)
    return Plot(bars, top, median(known) if known else None, len(done), failed)


def round_up(seconds: float) -> float:
    """Gives a round number of milliseconds, seconds, minutes, hours or days that is not less."""
    for unit, larger in zip(_UNITS, (*_UNITS[1:], float("inf")), strict=True):
        for step in _STEPS:
            if step * unit >= larger:
                break
            if step * unit >= seconds:
                return step * unit
    return seconds


def _seconds(run: Past) -> float | None:
    """How long a run took: so far, where it goes on."""
    if run.status != "In progress":
        return run.duration
    return since(run.started_at)
