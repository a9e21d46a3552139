"""The order in which messages go: who waits for whom. Decides in memory, and writes nothing.

A workflow's first call goes before its tasks', a task's POST before its PATCH, the workflow's end
after its tasks'; one run of a workflow after the other, except for a run within a run.
"""

from __future__ import annotations

import itertools
import random
from collections import Counter, deque
from typing import TYPE_CHECKING

from dotflow.delivery.fold import bodies
from dotflow.delivery.message import Delivered, Instead, Kind, Outcome, Refused, TryLater, slot_of
from dotflow.delivery.order.flight import Flight
from dotflow.delivery.order.held import HeldTasks
from dotflow.delivery.order.later import Later, is_told
from dotflow.delivery.order.runs import is_before, is_open, leave_out, nest, sendable, unfinished
from dotflow.delivery.order.server_ids import ServerIds
from dotflow.delivery.order.unit import Unit
from dotflow.runlog import lines
from dotflow.runlog.lines import OTEL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dotflow.delivery.message import Key, Message
    from dotflow.runlog.reader import Fact

FIRST_DELAY = 0.5  # seconds
LONGEST_DELAY = 60.0  # seconds
SOON = 0.05  # seconds

NO_RECORD = Refused(0, "its POST was refused")


class Lanes:
    """Puts what is to be said in order. One thread calls it.

    Attributes:
        ids: The ids that dotflow-api gave to tasks.
        used: How many records need a file of this process's log, by the file's number.
        delivered: How many messages were taken.
        dead: How many were refused for good.
        blocked: The workflows of which nothing may be sent for now.
        unsent: What became a dead letter without being sent, since it was last asked for.
    """

    def __init__(self) -> None:
        self.ids = ServerIds()
        self.used: Counter[int] = Counter()
        self.delivered = self.dead = 0
        self.blocked: set[str] = set()
        self.unsent: list[tuple[Message, Refused]] = []
        self._spoken_since: set[str] = set()
        self._held = HeldTasks(self.used)
        self._workflows: dict[str, deque[Unit]] = {}
        self._units: dict[tuple[str, int], Unit] = {}
        self._ready: dict[str, None] = {}
        self._later = Later()
        # One for all: what went in one bulk is due together. It spreads load, keeps no secrets.
        self._spread = random.uniform(0.8, 1.2)  # noqa: S311

    # What comes in.

    def take(self, fact: Fact, policy: str, log: str, segment: int) -> None:
        """Fold a line of this process's own log.

        Args:
            fact: The line.
            policy: Which calls its Server wants.
            log: The log's id.
            segment: Which file of it the line is in.
        """
        workflow, run = str(fact["w"]), int(fact["r"])
        if fact["f"] == lines.CREATED and fact.get("managed") and policy != OTEL:
            self._held.begin(workflow, bodies.Source(log, 0, workflow, policy))
            for source in self._held.too_many():
                self._add_held(source)
            return
        if fact["f"] == lines.ADDED and workflow in self._held:
            self._held.add(workflow, fact, segment)
            return
        unit = self._units.get((workflow, run))
        if unit is None:
            unit = self._begun(bodies.Source(log, run, workflow, policy), workflow, run)
        unit.take(fact, segment)
        if fact["f"] in (lines.RUN_BEGAN, lines.RUN_ENDED):
            self._see_to_first_call(unit, fact)
        if self._workflows[workflow][0].log is not None:
            self._spoken_since.add(workflow)
        if unit.owes:
            self._ready[workflow] = None
        elif unit.is_complete:
            self.sweep(workflow)

    def _see_to_first_call(self, unit: Unit, fact: Fact) -> None:
        if fact["f"] == lines.RUN_BEGAN:
            workflow, plan = unit.source.workflow, fact.get("plan") or ()
            self._units.pop((workflow, 0), None)
            for added, file in self._held.release(workflow, plan, unit.source.run):
                unit.take(added, file)
        if lines.WAIT in fact and unit.owes_first:
            self._later.add(unit, None, float(fact[lines.WAIT]), 0.0)
        else:
            is_told(unit)

    def release_held(self) -> None:
        """Let go of what waits for runs to begin, or to be told of: they will not."""
        for source in self._held.sources():
            self._add_held(source)
        for unit in self:
            if unit.owes_first and is_told(unit):
                self._ready[unit.source.workflow] = None

    def _add_held(self, source: bodies.Source) -> None:
        """Say of tasks what they are without a run."""
        workflow = source.workflow
        for fact, file in self._held.release(workflow, (), 0):
            unit = self._units.get((workflow, 0)) or self._begun(source, workflow, 0)
            unit.take(fact, file)
            self._ready[workflow] = None

    def _begun(self, source: bodies.Source, workflow: str, run: int) -> Unit:
        unit = Unit(source, self.used)
        queue = self._workflows.get(workflow)
        if queue is None:
            queue = self._workflows[workflow] = deque()
            self.ids.begin(workflow)
        # What begins before a run has ended is within that one.
        outer = next((one for one in reversed(queue) if is_open(one)), None)
        if outer is not None:
            unit.outer = outer
            outer.inner.append(unit)
        queue.append(unit)
        self._units[workflow, run] = unit
        return unit

    def adopt(self, workflow: str, units: list[Unit]) -> None:
        """Take over what dead processes left of a workflow.

        Args:
            workflow: The workflow's id.
            units: Its units, the oldest first.
        """
        queue = self._workflows.get(workflow)
        if queue is None:
            queue = self._workflows[workflow] = deque()
            self.ids.begin(workflow)
        for unit in units:
            place = sum(is_before(one, unit) for one in queue)
            queue.insert(place, unit)
        leave_out(queue)
        nest(queue, units)
        self.sweep(workflow)

    # What goes out.

    def claim(self, limit: int) -> list[Flight]:
        """Take up to `limit` messages that may be sent now, each by itself."""
        self._let_due()
        claimed: list[Flight] = []
        while self._ready and len(claimed) < limit:
            workflow = next(iter(self._ready))
            found = self._claim_of(self._turn_of(workflow), limit - len(claimed))
            claimed += found
            if not found:
                self._ready.pop(workflow, None)  # it is gone where nothing was left to say
        return claimed

    def _claim_of(self, active: list[Unit], limit: int) -> list[Flight]:
        claimed: list[Flight] = []
        for unit in active:
            for key in list(itertools.islice(sendable(unit, active), limit - len(claimed))):
                message = unit.message(key)
                unit.fly(key, message)
                claimed.append(Flight(unit, key, message))
        return claimed

    def claim_bulk(self, limit: int, most_bytes: int) -> list[Flight]:
        """Take messages that may go together, in order; one alone where only one may go.

        A run's next messages go when those before are answered: many at a time cost less than
        many calls. Whatever is answered makes its workflow ready again.
        """
        self._let_due()
        claimed, apart = list[Flight](), list[str]()
        while self._ready:
            workflow = next(iter(self._ready))
            active = self._turn_of(workflow)
            if any(one.inner for one in active):  # several runs at a time: one by one
                found = [] if claimed else self._claim_of(active, 1)
                self._ready.pop(workflow, None)
                if claimed or found:
                    apart.append(workflow)
                if found:
                    self._ready.update(dict.fromkeys(apart))
                    return found
                continue
            for flight in self._in_bulk(active, limit - len(claimed)):
                most_bytes -= flight.message.size
                if most_bytes < 0 and claimed:
                    break
                claimed.append(flight)
            if most_bytes < 0 or len(claimed) >= limit - 1:
                break
            self._ready.pop(workflow, None)
        self._ready.update(dict.fromkeys(apart))
        for flight in claimed:
            flight.unit.fly(flight.key, flight.message)
        return claimed

    def _in_bulk(self, active: list[Unit], limit: int) -> Iterator[Flight]:
        for unit in active:
            for key, message in unit.in_bulk(limit):
                limit -= 1
                yield Flight(unit, key, message)

    def _turn_of(self, workflow: str) -> list[Unit]:
        """The units of a workflow that have their turn.

        One that only spoke of tasks whose POST was refused is none of them, for that would hit
        another record: it is buried, and what follows has its turn at once.
        """
        active, before = self._active(workflow), list[Unit]()
        while self.ids.has_refused(workflow) and active != before:
            for unit in active:
                for task in list(unit.owing):
                    if self.ids.is_refused(workflow, task) and not unit.makes(task):
                        self.unsent += [(one, NO_RECORD) for one in unit.refuse(task)]
            self.sweep(workflow)
            active, before = self._active(workflow), active
        return active

    def _active(self, workflow: str) -> list[Unit]:
        """The units of a workflow that have their turn: the oldest, and what began within it."""
        if workflow in self.blocked:
            return []
        if workflow in self._spoken_since:  # more of what the dead left is void
            self._spoken_since.discard(workflow)
            leave_out(self._workflows.get(workflow, deque()))
            self.sweep(workflow)
        active: list[Unit] = []
        for place, unit in enumerate(self._workflows.get(workflow, ())):
            outer = unit.outer
            is_next = outer is not None and not outer.owes_first and outer.inner[0] is unit
            if place == 0 or (is_next and outer in active):
                active.append(unit)
        return active

    # What became of it.

    def settle(self, flight: Flight, outcome: Outcome) -> list[tuple[Message, Refused]]:
        """Take note of what became of a message; `sweep` its workflow afterwards.

        Returns:
            The dead letters that follow, and why.
        """
        unit, key, message = flight.unit, flight.key, flight.message
        unit.land(key)
        buried: list[tuple[Message, Refused]] = []
        if isinstance(outcome, Delivered):
            self.delivered += 1
            if outcome.server_id is not None and key is not None:
                self.ids.add(message.workflow, key, outcome.server_id)
            if key is not None and message.kind is Kind.TASK_POST:
                self.ids.is_made(message.workflow, key)
            unit.note(key, message.kind, message.n)
            if key is None:  # the record is there: what is void need not see to that any more
                self._spoken_since.add(message.workflow)
        elif isinstance(outcome, Refused):
            buried = self._refused(flight, outcome)
            self.dead += len(buried)
        elif isinstance(outcome, TryLater):
            unit.unanswered[slot_of(key, message.kind, message.final)] = message
            self._postpone(unit, key, outcome)
        elif isinstance(outcome, Instead):
            unit.unanswered[slot_of(key, message.kind, message.final)] = outcome.message
        return buried

    def _refused(self, flight: Flight, outcome: Refused) -> list[tuple[Message, Refused]]:
        unit, key, message = flight.unit, flight.key, flight.message
        buried = [(message, outcome)]
        if key is not None and message.kind is Kind.TASK_POST:
            # A PATCH would hit somebody else's record.
            why = Refused(outcome.status, f"its POST was refused: {outcome.reason}")
            self.ids.refuse(message.workflow, key)
            buried += [(one, why) for one in unit.refuse(key)]
        else:
            unit.note(key, message.kind, message.n)
        return buried

    def _postpone(self, unit: Unit, key: Key, outcome: TryLater) -> None:
        if outcome.everywhere:
            return  # the relay waits for the destination; the message has done nothing wrong
        tries = unit.tries[key] = unit.tries.get(key, 0) + 1
        delay = min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(tries - 1, 10))
        self._later.add(unit, key, delay * self._spread, outcome.after or 0.0)

    def _let_due(self) -> None:
        self._ready.update((unit.source.workflow, None) for unit in self._later.let_due())

    def due_in(self) -> float | None:
        """Seconds until a message may be sent; None where none waits for its time."""
        if any(one not in self.blocked for one in self._ready):
            return 0.0
        later = self._later.due_in()
        if self.blocked:
            return SOON if later is None else min(later, SOON)
        return later

    def hurry(self) -> None:
        """Let messages that wait for their time be sent now, unless the server asked for it."""
        self._ready.update((unit.source.workflow, None) for unit in self._later.hurry())

    def sweep(self, workflow: str) -> None:
        """Forget the units of a workflow of which nothing is left to say; others are ready."""
        queue = self._workflows.get(workflow)
        if queue is None:
            return
        has_ended = False
        while (unit := next((one for one in queue if one.is_complete), None)) is not None:
            self._take_out(queue, unit)
            unit.release()
            has_ended = unit.head.ended
        if queue:
            self._ready[workflow] = None
            return
        del self._workflows[workflow]
        self._ready.pop(workflow, None)
        if has_ended:
            self.ids.end(workflow)
        else:
            self.ids.rest(workflow)

    def _take_out(self, queue: deque[Unit], unit: Unit) -> None:
        queue.remove(unit)
        if unit.outer is not None:
            unit.outer.inner.remove(unit)
        for one in unit.inner:
            one.outer = None
        if unit.log is not None:
            unit.log.unit_is_done(unit.source.workflow, unit.source.run)
        at = (unit.source.workflow, unit.source.run)
        if self._units.get(at) is unit:
            del self._units[at]

    def leave(self, workflow: str, unit: Unit) -> None:
        """Forget what another process has claimed: all from the same log, unless a call is out."""
        queue, log = self._workflows.get(workflow, deque()), unit.log
        theirs = [one for one in queue if one.log is log]
        if log is None or any(one.flying for one in theirs):
            return
        log.let_go(workflow)
        for one in theirs:
            self._take_out(queue, one)
        self.sweep(workflow)

    def put_back(self, flights: list[Flight]) -> None:
        """Have messages not be under way, for they were not sent; they are tried again soon."""
        for flight in flights:
            flight.unit.land(flight.key)
            self._later.add(flight.unit, flight.key, SOON, 0.0)

    def land(self) -> None:
        """Have nothing be under way: of what was, nobody will hear."""
        for unit in self:
            unit.land_all()
            if unit.owes:
                self._ready[unit.source.workflow] = None

    def block(self, workflow: str) -> None:
        """Have nothing of a workflow be sent until `unblock`."""
        self.blocked.add(workflow)

    def unblock(self, workflow: str) -> None:
        """Have a workflow's messages go again."""
        self.blocked.discard(workflow)
        if workflow in self._workflows:
            self._ready[workflow] = None

    def carried(self) -> Iterator[tuple[str, int, str | None]]:
        """The ids of tasks that may be spoken of again; without an id, what was refused."""
        return unfinished(self._workflows, self.ids)

    def __iter__(self) -> Iterator[Unit]:
        """All units, those of dead processes too."""
        for queue in self._workflows.values():
            yield from queue

    @property
    def pending(self) -> int:
        """How many messages are to be sent."""
        return sum(unit.pending for unit in self)

    @property
    def running(self) -> int:
        """How many runs of this process are under way."""
        return sum(unit.log is None and is_open(unit) for unit in self)
