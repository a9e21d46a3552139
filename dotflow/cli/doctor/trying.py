"""Tries destinations, all at once, each within its time."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, NamedTuple

from dotflow.cli.doctor.report import Reached

if TYPE_CHECKING:
    from collections.abc import Callable

    from dotflow.cli.doctor.report import Report

SECONDS = 5.0
"""Seconds that a destination has."""

MARGIN = 1.0
"""Seconds beyond them that it has to say so itself."""

CLOCK = 5.0
"""Seconds that two clocks may differ."""


@dataclass(frozen=True)
class Result:
    """What came of a trial.

    Attributes:
        did: What was done, where it went well.
        problem: What went wrong; empty where nothing did.
        remedy: What mends that.
        note: What is no fault, and worth knowing.
        date: What the `Date` header of its last answer says; empty where it has none.
    """

    did: str = ""
    problem: str = ""
    remedy: str = ""
    note: str = ""
    date: str = ""


class Trial(NamedTuple):
    """A destination, and how it is tried.

    Attributes:
        destination: What people call it.
        kind: What goes there (see `Reached`).
        act: Tries it; it should keep to SECONDS.
    """

    destination: str
    kind: str
    act: Callable[[], Result]


class _Thread(threading.Thread):
    """Tries one destination; who waits for it need not wait to the end."""

    def __init__(self, trial: Trial) -> None:
        super().__init__(name="dotflow-doctor", daemon=True)
        self.trial = trial
        self.result: Result | None = None
        self.began = self.ended = time.time()
        self.seconds = SECONDS

    def run(self) -> None:
        """Try it."""
        began = time.monotonic()
        try:
            result = self.trial.act()
        except Exception as error:  # noqa: BLE001 - an exporter may be anybody's
            # Not its text, which may hold a header.
            result = Result(
                problem=f"could not be tried: {type(error).__name__}",
                remedy="see whether its address, and what else is set for it, can be right",
            )
        self.ended, self.seconds = time.time(), time.monotonic() - began
        self.result = result


def try_all(report: Report, trials: list[Trial]) -> None:
    """Try destinations, and say what came of it."""
    threads = [_Thread(trial) for trial in trials]
    for thread in threads:
        thread.start()
    ends = time.monotonic() + SECONDS + MARGIN
    for thread in threads:
        thread.join(max(0.0, ends - time.monotonic()))
        _tell(report, thread)


def _tell(report: Report, thread: _Thread) -> None:
    name, kind, _ = thread.trial
    result = thread.result or Result(
        problem=f"did not answer within {SECONDS:g} s",
        remedy="see whether it is up, and a firewall lets it be looked up and reached from here",
    )
    report.destinations.append(
        Reached(name, kind, not result.problem, round(thread.seconds, 3), result.did)
    )
    if result.problem:
        report.fault(name, result.problem, result.remedy)
    if result.note:
        report.note(name, result.note)
    off = _off(result.date, thread.began, thread.ended)
    if off is not None:
        report.fault(
            name,
            f"its clock and this machine's are {off:.0f} s apart (it says {result.date})",
            "set the one that is wrong (`timedatectl` says whether this machine's is "
            "synchronised): what is reported would be shown at another time",
        )


def _off(date: str, began: float, ended: float) -> float | None:
    """Seconds between a server's clock and ours; None where they agree, or it does not say."""
    try:
        said = parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    off = max(began - 1 - said, said - ended)  # it says whole seconds
    return off if off > CLOCK else None
