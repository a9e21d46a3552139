"""Rehearsals: nothing is reported, no retry waits for its delay, and a test sees all runs."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dotflow.abc.facts import RunBegan, RunEnded, RunFailed, TaskAdded, WorkflowCreated
from dotflow.abc.server import ServerFacts
from dotflow.core import rehearsal as engine
from dotflow.testing.runs import RunSeen, Tasks, TaskSeen, flat

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dotflow.abc.facts import Fact

PATIENCE = 60.0
"""Seconds to wait at the end for background runs that are under way."""

VARIABLE = "DOTFLOW_SERVER"


class Rehearsal(Tasks):
    """Says what ran in a rehearsal: `with rehearsal() as run` gives one.

    Attributes:
        runs: The runs, in the order in which they began.
        facts: All facts, in order: see `dotflow.abc.facts`.
        by_number: The runs by their numbers, as the facts have them.
    """

    def __init__(self) -> None:
        self.runs: list[RunSeen] = []
        self.facts: list[Fact] = []
        self.by_number: dict[int, RunSeen] = {}

    @property
    def run(self) -> RunSeen:
        """The run, if there was exactly one.

        Raises:
            LookupError: There was no run, or there were several: see `runs`.
        """
        if len(self.runs) == 1:
            return self.runs[0]
        if not self.runs:
            raise LookupError("there was no run: no workflow was started in this rehearsal")
        raise LookupError(f"there were {len(self.runs)} runs: see `runs`")

    @property
    def status(self) -> str:
        """How the run ended, if there was exactly one: "Completed" or "Failed".

        Raises:
            LookupError: There was no run, or there were several: see `runs`.
        """
        return self.run.status

    @property
    def tasks(self) -> list[TaskSeen]:  # type: ignore[override] # made from what is known
        """The tasks of all runs."""
        return flat(self.runs)

    @property
    def ran(self) -> list[str]:
        """The names of the steps that ran, run by run, in the order in which they began."""
        return [name for run in self.runs for name in run.ran]

    def learn(self, fact: Fact, subject: Any) -> None:
        """Take note of a fact."""
        self.facts.append(fact)
        if isinstance(fact, RunBegan):
            run = self.by_number[fact.n] = RunSeen(str(subject), fact)
            self.runs.append(run)
            run.learn(fact, subject)
        elif not isinstance(fact, (WorkflowCreated, TaskAdded)):
            number = fact.run if isinstance(fact, (RunFailed, RunEnded)) else subject.run
            if (found := self.by_number.get(number)) is not None:
                found.learn(fact, subject)

    def __repr__(self) -> str:
        return f"<rehearsal of {self.runs}>"


@contextmanager
def rehearsal() -> Iterator[Rehearsal]:
    """Runs workflows for a test: nothing is reported, and no retry waits for its delay.

    A context manager. It holds for every workflow of this process, whatever Server its Config has,
    also in child processes and on executors; programs that are started within it get
    `DOTFLOW_SERVER=none`. Timeouts, log lines, `notify`, `tracer` and `metrics` are as usual. A
    workflow that a step starts in another process is not reported, and the Rehearsal does not see
    it.

    The end of the block waits for background runs. Rehearsals may be nested: each sees what happens
    within it.

    Yields:
        The Rehearsal, which has what ran so far.

    Raises:
        RuntimeError: A background run did not end within a minute.
    """
    found = Rehearsal()
    _everyone.enter(found)
    try:
        yield found
    finally:
        has_ended = _ended(found)
        _everyone.leave(found)
    if not has_ended:
        left = [run.name or run.workflow_id for run in found.runs if not run.is_over]
        raise RuntimeError(
            f"the run of {', '.join(left)} did not end within {PATIENCE:g} s: join its thread "
            "within the rehearsal"
        )


def _ended(found: Rehearsal) -> bool:
    """Wait until all runs have ended; whether they have."""
    deadline = time.monotonic() + PATIENCE
    while not all(run.is_over for run in found.runs):
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.005)
    return True


class StandIn(ServerFacts):
    """Tells everyone who rehearses what happens; stands in for the Server of each Config."""

    def __init__(self) -> None:
        self._open: list[Rehearsal] = []
        self._before: str | None = None

    def enter(self, one: Rehearsal) -> None:
        """Begin a rehearsal."""
        if not self._open:
            self._before = os.environ.get(VARIABLE)
            os.environ[VARIABLE] = "none"
            engine.stand_in, engine.skips_delays = self, True
        self._open.append(one)

    def leave(self, one: Rehearsal) -> None:
        """End a rehearsal; with the last one all is as it was before the first."""
        self._open.remove(one)
        # What goes on tells nobody any more, and not the Server of its Config either.
        for number in [number for number, run in one.by_number.items() if run.is_over]:
            engine.runs.pop(number, None)
        if self._open:
            return
        engine.stand_in, engine.skips_delays = None, False
        if self._before is None:
            os.environ.pop(VARIABLE, None)
        else:
            os.environ[VARIABLE] = self._before

    def happened(self, fact: Fact, subject: Any) -> None:
        """Tell of a fact."""
        for one in list(self._open):
            one.learn(fact, subject)


_everyone = StandIn()
