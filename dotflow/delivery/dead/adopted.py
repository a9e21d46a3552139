"""What a dead process left of its log: folded as its own relay would have, its ends added.

The log itself is never changed. What is said of it goes into receipts beside it, and the ends that
its process did not live to report follow from it: whoever takes it over finds the same ones.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from dotflow.core.types import TypeStatus
from dotflow.delivery.dead.replay import replay
from dotflow.delivery.fold.bodies import Source
from dotflow.delivery.fold.records import OF_TASKS, POLICIES
from dotflow.delivery.fold.references import resolve_all
from dotflow.delivery.message import Kind
from dotflow.delivery.order.held import HeldTasks
from dotflow.delivery.order.unit import Unit
from dotflow.logging import logger
from dotflow.runlog import files, life, lines
from dotflow.runlog.carrying import CARRIED
from dotflow.runlog.claims import Claims
from dotflow.runlog.lines import OTEL
from dotflow.runlog.reader import Fact, dead_lines
from dotflow.runlog.receipts import DONE, RUN_DONE, Receipts, SeenReceipts, is_done, is_run_done

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from dotflow.delivery.order.server_ids import ServerIds
    from dotflow.runlog.receipts import Receipt

ERROR = "ProcessEnded"
"""The name of the error of a task whose process did not live to end it."""

ANOTHER_BOOT = 2**62
"""What is taken from the time of a run before the machine's last start, so that the run goes before
all of this start: the clock by which runs are put in order begins anew with the machine."""

LAST = 2**63
"""Stands for the time of a run that did not begin: what is said of it comes after all else."""


class AdoptedLog:
    """A log whose process is dead, seen by one reader.

    Args:
        log: The log's id.
        segments: Its files, in order.
        reader: The reader's key.
        breathe: Called while much is read, to leave the interpreter to the work.
        is_dead: Whether its process is; one that lives owes no ends.
        is_anew: Whether a workflow of which anything is left is said from its beginning.
        known: Its lines, and how many are damaged, if they were read already; it changes them.

    Attributes:
        readers: The names of its readers by their keys.
        last_seen: When its process gave the last sign of life: seconds since the epoch; 0 while
            it lives.
    """

    def __init__(
        self,
        log: str,
        segments: list[Path],
        reader: str,
        breathe: Callable[[], None] | None = None,
        is_dead: bool = True,
        is_anew: bool = False,
        known: tuple[list[Fact], int] | None = None,
    ) -> None:
        self.id = log
        self.reader = reader
        self.segments = segments
        self._is_dead = is_dead
        self._is_anew = is_anew
        self.last_seen = files.last_seen(log, segments) if is_dead else 0.0
        facts, damaged = dead_lines(segments, breathe) if known is None else known
        if damaged:
            logger.warning("%d lines of %s* are damaged, and are left out.", damaged, segments[0])
        self.readers = _readers(facts)
        heads = (fact for fact in facts if fact["f"] == "log")
        self._is_of_another_boot = any(map(life.is_of_another_boot, heads))
        # What is done stays so, a run as well as a workflow (`take_over`): an end that a later run
        # made void is owed again once that is gone.
        self._seen = SeenReceipts(segments, reader)
        done = self._seen.done()
        self._facts: dict[str, list[Fact] | None] = {
            workflow: known
            for workflow, known in _by_workflow(facts, reader).items()
            if workflow not in done
        }
        self._receipts = Receipts(segments[-1], reader)
        self._claims = Claims(log, reader)
        self._open: dict[str, int] = {}
        self._owed: list[Receipt] = []
        self.nested: dict[str, set[str]] = {}

    @property
    def workflows(self) -> set[str]:
        """The ids of the workflows that it speaks of to this reader."""
        return set(self._facts)

    def take_over(self, workflow: str, ids: ServerIds) -> list[Unit]:
        """What it says of a workflow, the oldest run first, and what is left to say of it.

        What was said is read now: another process may have gone on with it until a moment ago.

        Args:
            workflow: The workflow's id.
            ids: Where to put the ids that dotflow-api gave to tasks.
        """
        facts = sorted(self._facts_of(workflow), key=lambda fact: int(fact["n"]))
        resolve_all(facts)
        self._claims.look()
        self.nested[workflow] = self._claims.nested_in(workflow)
        said = _by_run(self._seen.take(workflow))
        if self.is_gone:
            self._facts.clear()
            return []
        units = [
            unit for unit in self._folded(workflow, facts, said, said)
            if not is_run_done(said.get(unit.source.run, ()))
        ]  # fmt: skip
        if self._is_anew and any(unit.pending for unit in units):
            units = self._folded(workflow, facts, said, {})
        else:
            _learn_ids(workflow, said, ids)
        self._open[workflow] = len(units)
        if not units:
            self._is_done(workflow)
        return units

    def _folded(
        self,
        workflow: str,
        facts: list[Fact],
        said: dict[int, list[Receipt]],
        heard: dict[int, list[Receipt]],
    ) -> list[Unit]:
        """The units of a workflow.

        Args:
            workflow: The workflow's id.
            facts: All of it.
            said: What its process has said of each run: it knew that, if the disk does not.
            heard: What of that the destination has.
        """
        units: list[Unit] = []
        last = int(facts[-1]["n"])
        for run, known in reversed(_runs(facts)):  # the inner ones end first
            log = next((str(one[CARRIED]) for one in known if CARRIED in one), self.id)
            source = Source(log, run, workflow, str(known[0]["to"][self.reader]))
            unit = Unit(source, Counter(), self)
            of_run = said.get(run, ())
            owed = ends_owed(known, self.last_seen, of_run, last) if self._is_dead else []
            last = max([last, *(one["n"] for one in owed)])
            replay(unit, known + owed, heard.get(run, ()))
            units.insert(0, unit)
        for unit in units:
            if self._is_of_another_boot and unit.up:
                unit.up = (unit.head.began_at or 0) - ANOTHER_BOOT
        for unit, later in zip(reversed(units[:-1]), reversed(units[1:]), strict=True):
            unit.up = unit.up or later.up  # what was before a run goes before it
        if units:
            units[-1].up = units[-1].up or LAST
        return units

    def _facts_of(self, workflow: str) -> list[Fact]:
        """The facts of a workflow; the memory is free afterwards."""
        facts, self._facts[workflow] = self._facts[workflow], None
        if facts is None:  # it was taken over once, and left to another process
            facts = _by_workflow(dead_lines(self.segments)[0], self.reader).get(workflow, [])
        return facts

    def forget_done(self, workflows: Iterable[str]) -> None:
        """Forget the workflows of which another process has said everything."""
        left = [one for one in workflows if one not in self._open]
        if not left:
            return
        done = self._seen.done()
        is_gone = self.is_gone
        for workflow in left:
            if workflow in done or is_gone:
                self._facts.pop(workflow, None)

    @property
    def is_gone(self) -> bool:
        """Whether another process has said everything, and deleted it.

        The files of the log go before its receipts: where they are there after the receipts were
        read, those were all.
        """
        return not all(path.exists() for path in self.segments)

    def knows(self, workflow: str) -> bool:
        """Whether it speaks of a workflow of which nobody has said everything."""
        return workflow in self._facts

    def write(self, receipts: list[Receipt]) -> None:
        """Write receipts."""
        self._receipts.write(receipts)

    def unit_is_done(self, workflow: str, run: int) -> None:
        """Learn that nothing is left to say of a unit."""
        left = self._open.get(workflow, 0) - 1
        if left > 0:
            self._open[workflow] = left
            if run:  # what a later run made void stays so, also once that one's log is gone
                self._owed.append({"k": RUN_DONE, "w": workflow, "r": run})
        elif workflow in self._open:
            self._is_done(workflow)

    def _is_done(self, workflow: str) -> None:
        del self._open[workflow]
        self._facts.pop(workflow, None)
        self._owed.append({"k": DONE, "w": workflow})

    def say_done(self) -> None:
        """Write down what is done; called once all that was refused of it is a dead letter."""
        owed, self._owed = self._owed, []
        if owed and not self.is_gone:  # else the file of the receipts would be made anew, for good
            self._receipts.write(owed)

    def is_open(self, workflow: str) -> bool:
        """Whether this process has taken over a workflow, and not said everything."""
        return workflow in self._open

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to say of it."""
        return not self._facts

    def let_go(self, workflow: str) -> None:
        """Leave a workflow to the process that claimed it."""
        self._open.pop(workflow, None)

    def close(self) -> None:
        """Release the receipts; where this reader is done, say so, and delete what none needs."""
        self.say_done()
        if self.is_done and not self.is_gone:
            self._receipts.write([{"k": DONE}])
            if all(is_done(self.segments, key) for key in self.readers):
                for path in self.segments:
                    files.delete(path)
                files.delete_log(self.id)
        self._receipts.close()


def _readers(facts: list[Fact]) -> dict[str, str]:
    """The names of the readers that the lines speak to; a key stands for a name that is missing."""
    names = {str(fact.get("key")): str(fact.get("name")) for fact in facts if fact["f"] == "reader"}
    to = [fact["to"] for fact in facts if isinstance(fact.get("to"), dict)]
    return {str(key): names.get(str(key), str(key)) for one in to for key in one}


def _by_workflow(facts: list[Fact], reader: str) -> dict[str, list[Fact]]:
    found: dict[str, list[Fact]] = {}
    for fact in facts:
        to = fact.get("to")
        if _is_sound(fact) and isinstance(to, dict) and to.get(reader) in POLICIES:
            found.setdefault(fact["w"], []).append(fact)
    return found


def _is_sound(fact: Fact) -> bool:
    """Whether a line has what is needed of it: a damaged disk may have changed any byte."""
    is_whole = isinstance(fact.get("w"), str) and isinstance(fact.get("r"), int)
    if fact["f"] in OF_TASKS:
        return is_whole and isinstance(fact.get("n"), int) and isinstance(fact.get("t"), int)
    known = (lines.CREATED, lines.RUN_BEGAN, lines.RUN_FAILED, lines.RUN_ENDED)
    return is_whole and isinstance(fact.get("n"), int) and fact["f"] in known


def _by_run(receipts: list[Receipt]) -> dict[int, list[Receipt]]:
    found: dict[int, list[Receipt]] = {}
    for receipt in receipts:
        run = receipt.get("r")
        if isinstance(run, int):
            found.setdefault(run, []).append(receipt)
    return found


def _learn_ids(workflow: str, said: dict[int, list[Receipt]], ids: ServerIds) -> None:
    for receipts in said.values():
        for receipt in receipts:
            given, task = receipt.get("id"), receipt.get("t")
            if not isinstance(task, int):
                continue
            if isinstance(given, str):
                ids.add(workflow, task, given)
            elif receipt.get("k") == "refused" and receipt.get("m") == Kind.TASK_POST.value:
                ids.refuse(workflow, task)


def _runs(facts: list[Fact]) -> list[tuple[int, list[Fact]]]:
    """The facts of each run, in the order in which the runs began."""
    runs: list[tuple[int, list[Fact]]] = []
    of_run: dict[int, list[Fact]] = {}
    held = HeldTasks(Counter())
    for fact in facts:
        run, workflow, kind = int(fact["r"]), fact["w"], fact["f"]
        if kind == lines.CREATED and fact.get("managed") and OTEL not in fact["to"].values():
            held.begin(workflow)
        elif kind == lines.ADDED and workflow in held:
            held.add(workflow, fact, 0)
        else:
            if run not in of_run:
                of_run[run] = []
                runs.append((run, of_run[run]))
            of_run[run].append(fact)
        if kind == lines.RUN_BEGAN:
            of_run.pop(0, None)
            of_run[run] += [one for one, _ in held.release(workflow, fact.get("plan") or (), run)]
    # Tasks whose run did not begin are said as what they are.
    waiting = [one for one, _ in held.release(facts[0]["w"], (), 0)] if facts else []
    if waiting:
        runs.append((0, waiting))
    return runs


# The ends that a dead process owes.


def ends_owed(
    facts: list[Fact], last_seen: float, said: Sequence[Receipt] = (), last: int = 0
) -> list[Fact]:
    """The facts that its process did not live to report: they follow from those of one run.

    Args:
        facts: All that it reported of the run, by number.
        last_seen: When the process gave the last sign of life: seconds since the epoch.
        said: The receipts of the run. What it had said itself it knew, whatever the disk has kept.
        last: The highest number that any of its runs has come to.
    """
    is_begun = (one for one in facts if one["f"] == lines.RUN_BEGAN and one.get(lines.OWING, True))
    began = next(is_begun, None)
    known = [one for one in said if not one.get("owed") and isinstance(one.get("n"), int)]
    ended = {one.get("t") for one in known if one.get("end") and one.get("k") != "sending"}
    if None in ended or any(fact["f"] == lines.RUN_ENDED for fact in facts):
        return []
    open_tasks, retries = _left_open(facts)
    open_tasks = {task: fact for task, fact in open_tasks.items() if task not in ended}
    if began is None and not open_tasks:
        return []
    n = max([last, *(int(fact["n"]) for fact in (*facts, *known))])
    at = int(last_seen * 1e9)
    tail = {"w": facts[0]["w"], "r": facts[0]["r"], "to": facts[0]["to"], "owed": True}
    owed: list[Fact] = []
    for task in sorted(open_tasks):
        n += 1
        owed.append({
            "f": lines.TASK_ENDED, "n": n, "t": task, "at": at, "status": TypeStatus.FAILED,
            "duration": _since(open_tasks[task], at), "retries": retries.get(task, 0),
            "current": None, "error": error_of_the_dead(last_seen), **tail,
        })  # fmt: skip
    if began is not None:
        owed.append({
            "f": lines.RUN_ENDED, "n": n + 1, "at": at, "status": TypeStatus.FAILED,
            "duration": _since(began, at), **tail,
        })  # fmt: skip
    return owed


def _left_open(facts: list[Fact]) -> tuple[dict[int, Fact], dict[int, int]]:
    """How each task began that has not ended, and how often each was tried again."""
    open_tasks: dict[int, Fact] = {}
    retries: dict[int, int] = {}
    for fact in facts:
        kind, task = fact["f"], fact.get("t")
        if task is None:
            continue
        if kind == lines.TASK_BEGAN:
            open_tasks[task] = fact
        elif kind == lines.RETRIED:
            retries[task] = int(fact.get("retries") or 0)
        elif kind in (lines.TASK_ENDED, lines.RESTORED):
            open_tasks.pop(task, None)
    return open_tasks, retries


def _since(fact: Fact, at: int) -> float:
    return max(0, at - int(fact.get("at") or at)) / 1e9


def error_of_the_dead(last_seen: float) -> dict[str, Any]:
    """The error of a task whose process was last seen alive then (seconds since the epoch)."""
    try:
        seen = datetime.fromtimestamp(last_seen, timezone.utc).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):  # by a clock that was never right
        seen = f"{last_seen:.0f} seconds since 1970"
    return {
        "attempt": None, "exception": ERROR, "traceback": "",
        "message": f"the process ended before its task did; it was last seen at {seen}",
    }  # fmt: skip
