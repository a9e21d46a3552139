"""Measures the rows, interleaved, and makes medians and spreads of what was found."""

from __future__ import annotations

import random
import statistics
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from benchmarks.running import Case, Result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from benchmarks.rows import Row

Found: TypeAlias = list[dict[Case, Result]]
"""The results of each repetition."""


@dataclass(frozen=True)
class Figure:
    """The median of a row's repetitions, the least and the greatest of them, and their number."""

    median: float
    least: float
    greatest: float
    times: int


def measure(
    rows: list[Row], repetitions: int, run: Callable[[Case], Result], with_busy: bool = True
) -> Found:
    """Run every case once a repetition, each time in another order."""
    found: Found = []
    for number in range(repetitions):
        cases = cases_of(rows, number, with_busy)
        random.Random(number).shuffle(cases)
        found.append({})
        for place, case in enumerate(cases, 1):
            where = f"repetition {number + 1}/{repetitions}, {place}/{len(cases)}"
            print(f"{where}: {case.name}", file=sys.stderr, flush=True)
            found[-1][case] = run(case)
    return found


def cases_of(rows: Iterable[Row], repetition: int, with_busy: bool) -> list[Case]:
    """The cases of a repetition, each once."""
    cases: dict[Case, None] = {}
    for row in rows:
        if row.most is not None and repetition >= row.most:
            continue
        for case in row.cases:
            cases[case] = None
            if row.has_busy and with_busy:
                cases[replace(case, is_busy=True)] = None
    return list(cases)


def figure_of(row: Row, found: Found, is_busy: bool = False) -> Figure | None:
    """The figure of a row, each value from one repetition; none if it was not measured."""
    cases = [replace(case, is_busy=is_busy) for case in row.cases]
    values = [
        row.figure(*(results[case] for case in cases))
        for results in found
        if all(case in results for case in cases)
    ]
    if not values:
        return None
    return Figure(statistics.median(values), min(values), max(values), len(values))
