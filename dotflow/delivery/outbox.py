"""What waits for one dotflow-api: the lines of the run log, and what was said of them."""

from __future__ import annotations

import itertools
import os
import time
from typing import TYPE_CHECKING, NamedTuple

from dotflow.delivery.dead.adoption import Adoption
from dotflow.delivery.fold.records import POLICIES
from dotflow.delivery.fold.references import References
from dotflow.delivery.message import Delivered, Kind, Outcome, Refused
from dotflow.delivery.order import room
from dotflow.delivery.order.ages import oldest
from dotflow.delivery.order.lanes import Lanes
from dotflow.logging import logger
from dotflow.runlog import files, limits, lines
from dotflow.runlog.carrying import CARRIED
from dotflow.runlog.reader import SLICE, SegmentReader, dead_lines
from dotflow.runlog.receipts import DONE, Receipt, Receipts
from dotflow.runlog.writer import RunLog, run_log

if TYPE_CHECKING:
    from collections.abc import Callable

    from dotflow.delivery.message import Message
    from dotflow.delivery.order.flight import Flight
    from dotflow.delivery.order.left_behind import LeftBehind
    from dotflow.runlog.reader import Fact
    from dotflow.runlog.writer import Segment

_NEWS = frozenset({
    lines.CREATED, lines.ADDED, lines.RUN_BEGAN, lines.TASK_BEGAN, lines.RETRIED, lines.TASK_ENDED,
    lines.RESTORED, lines.ATTEMPT_BEGAN, lines.ATTEMPT_ENDED, lines.RUN_ENDED, lines.RUN_FAILED,
})  # fmt: skip


class Counts(NamedTuple):
    """How many messages there are, and were.

    Attributes:
        pending: Not delivered yet, those under way included.
        delivered: Delivered since the outbox was made.
        dead: Refused for good.
        running: Runs of this process that are under way.
        oldest: When that happened which the oldest message that waits is about, in nanoseconds
            since the epoch; None where none waits, or nothing says when it was.
    """

    pending: int = 0
    delivered: int = 0
    dead: int = 0
    running: int = 0
    oldest: int | None = None


class _Part:
    """One file of this process's log, and what was said of it."""

    def __init__(self, number: int, segment: Segment, key: str) -> None:
        self.number = number
        self.segment = segment
        self.reader = SegmentReader(segment.path, segment)
        self.receipts = Receipts(segment.path, key)
        self.log = segment.log
        self.is_done = False

    def all_facts(self) -> list[Fact]:
        """All that is in the file, read again."""
        return [] if self.segment.path is None else dead_lines([self.segment.path])[0]


class _Left(NamedTuple):
    """What an outbox knew of a log that others read on."""

    lanes: Lanes
    parts: list[_Part]
    over: list[Segment]
    numbers: itertools.count[int]


_left: dict[tuple[int, int, str], _Left] = {}
"""By process, log and reader: in a forked child it is another log."""


def _left_here(log: RunLog, key: str) -> _Left:
    """What an outbox left when it was closed, if the log goes on since; else nothing."""
    found = _left.pop((os.getpid(), id(log), key), None)
    if found is not None and any(part.segment in log.segments for part in found.parts):
        found.lanes.delivered = found.lanes.dead = 0
        return found
    return _Left(Lanes(), [], [], itertools.count(1))


class Outbox:
    """What one dotflow-api is to be told; one thread at a time calls it.

    Args:
        name: What people call the destination; without credentials, for it is written down.
        log: The log of this process.
        is_anew: Whether a workflow of which a dead process left anything is said from its
            beginning: to a server that has no record of it.

    Attributes:
        is_ending: Whether it is about to be closed: what waits for a run to begin is sent.
    """

    def __init__(self, name: str, log: RunLog = run_log, is_anew: bool = False) -> None:
        self.name = name
        self.key = files.reader_key(name)
        self._log = log
        before = _left_here(log, self.key)
        self.lanes, self._parts, self._numbers = before.lanes, before.parts, before.numbers
        # Files of which nothing is left to say here, and which other readers of the log still need.
        self._over = before.over
        self._adoption = Adoption(self.key, self.lanes, log, is_anew)
        self.is_ending = False
        self._references = References()
        log.read_by(self.key, name)

    # Reading.

    def read(self, seconds: float | None = None) -> bool:
        """Read what is new in this process's log; return whether more is left.

        Args:
            seconds: The time to take for it; all that there is without.
        """
        deadline = None if seconds is None else time.perf_counter() + seconds
        while not room.is_full(self.lanes):
            found = self._next_facts(SLICE if deadline is None else SLICE // 16)
            for fact, part in found:
                self._take(fact, part)
            if not found:
                if self.is_ending:
                    self.lanes.release_held()
                self._release_parts()
                return False
            if deadline is not None and time.perf_counter() >= deadline:
                return True
        return True

    def _next_facts(self, most: int) -> list[tuple[Fact, _Part]]:
        self._see_new_parts()
        for part in self._parts:
            facts = part.reader.read(most)
            if facts:
                return [(fact, part) for fact in facts]
        return []

    def _see_new_parts(self) -> None:
        segments = list(self._log.segments)
        self._over = [segment for segment in self._over if segment in segments]
        known = self._known()
        for segment in segments:
            if id(segment) not in known:
                number = next(self._numbers)
                self._parts.append(_Part(number, segment, self.key))

    def _known(self) -> set[int]:
        return {id(one) for one in (*(part.segment for part in self._parts), *self._over)}

    def _take(self, fact: Fact, part: _Part) -> None:
        to = fact.get("to")
        policy = to.get(self.key) if isinstance(to, dict) else None
        if policy not in POLICIES or fact["f"] not in _NEWS:
            return
        is_known = fact.get("managed") or fact.get("again")
        if fact["f"] == lines.RUN_BEGAN and is_known and CARRIED not in fact:
            self._adoption.resume(str(fact["w"]), int(fact["r"]))
        try:
            self._references.resolve(fact, part.all_facts)
            self.lanes.take(fact, policy, str(fact.get(CARRIED) or part.log), part.number)
        except (KeyError, TypeError, ValueError) as error:
            logger.warning("A line of the run log cannot be understood, and is left out: %r", error)

    def _release_parts(self) -> None:
        """Let go of files that are read to their end, and of which nothing is left to say."""
        for part in self._parts:
            segment = part.segment
            is_last = segment in self._log.segments[-1:]
            is_done = not self.lanes.used[part.number] and segment.is_quiet
            if is_done and not is_last and not part.reader.unread:
                part.is_done = True
                self._parts[-1].receipts.write(self._carried())
                del self.lanes.used[part.number]
                part.receipts.close()
                self._over.append(segment)
                self._log.done(segment, self.key)
        self._parts = [part for part in self._parts if not part.is_done]

    def _carried(self) -> list[Receipt]:
        """What receipts beside a file that goes say of tasks that are not over."""
        return [
            {"k": "id", "w": workflow, "r": 0, "t": task, "id": given}
            if given is not None
            else {"k": "refused", "w": workflow, "r": 0, "t": task, "m": Kind.TASK_POST.value}
            for workflow, task, given in self.lanes.carried()
        ]

    # Sending.

    def claim(self, limit: int) -> list[Flight]:
        """Take up to `limit` messages that may be sent now, each by itself."""
        self._adoption.go_on()
        while flights := self.lanes.claim(limit):
            allowed = self._adoption.allowed(flights)
            if allowed:
                return self._written_down(allowed)
        return self._written_down([])

    def claim_bulk(self, limit: int, most_bytes: int) -> list[Flight]:
        """Take messages that may go together, at least one if there is one."""
        self._adoption.go_on()
        while flights := self.lanes.claim_bulk(limit, most_bytes):
            allowed = self._adoption.allowed(flights)
            if allowed:
                return self._written_down(allowed)
        return self._written_down([])

    def _written_down(self, flights: list[Flight]) -> list[Flight]:
        """Write down what is about to be sent: until it is answered it is repeated unchanged."""
        self._bury_unsent()
        self._adoption.say_done()
        self._write([(one, _receipt("sending", one), self._files_of(one)) for one in flights])
        return flights

    def _bury_unsent(self) -> None:
        unsent, self.lanes.unsent = self.lanes.unsent, []
        self.lanes.dead += len(unsent)
        for message, why in unsent:
            _bury(self.name, message, why, None)

    def settle(self, flights: list[Flight], outcomes: list[Outcome]) -> None:
        """Take note of what became of messages; on disk before anything follows from it."""
        said: list[tuple[Flight, Receipt, tuple[int, ...]]] = []
        for flight, outcome in zip(flights, outcomes, strict=True):
            receipt = _receipt("said", flight)
            if isinstance(outcome, Delivered):
                if outcome.server_id is not None and flight.key is not None:
                    receipt["id"] = outcome.server_id
            elif isinstance(outcome, Refused):
                receipt["k"] = "refused"
            else:
                continue
            said.append((flight, receipt, self._files_of(flight)))
        buried = []
        for flight, outcome in zip(flights, outcomes, strict=True):
            for message, why in self.lanes.settle(flight, outcome):
                server_id = self.lanes.ids.get(message.workflow, flight.key)
                buried.append((message, why, server_id))
        for workflow in {flight.message.workflow: None for flight in flights}:
            self.lanes.sweep(workflow)
        for message, why, server_id in buried:  # before anything says that they were refused
            _bury(self.name, message, why, server_id)
        self._write(said)
        self._adoption.say_done()
        self._adoption.sent(flights)
        if self._adoption.is_more_left and not self.lanes.pending:
            self._adoption.look(at_once=True)

    def _files_of(self, flight: Flight) -> tuple[int, ...]:
        """The files of the log beside which a receipt belongs: for an end each that has facts.

        Another's end may be in a file that goes before the one with its beginning.
        """
        unit, key = flight.unit, flight.key
        if unit.log is not None:
            return ()
        record = unit.head if key is None else unit.tasks.get(key)
        numbers = () if record is None else tuple(record.segments)
        return numbers if flight.message.final or not numbers else (max(numbers),)

    def _write(self, said: list[tuple[Flight, Receipt, tuple[int, ...]]]) -> None:
        ours: dict[int, list[Receipt]] = {}
        adopted: dict[LeftBehind, list[Receipt]] = {}
        for flight, receipt, numbers in said:
            if flight.unit.log is not None:
                adopted.setdefault(flight.unit.log, []).append(receipt)
            for number in numbers:
                ours.setdefault(number, []).append(receipt)
        for part in self._parts:
            if part.number in ours:
                part.receipts.write(ours[part.number])
        for log, receipts in adopted.items():
            log.write(receipts)

    # Looking after it.

    def care(self, at_once: bool = False) -> None:
        """Give a sign of life, and take over what dead processes left; every now and then.

        Args:
            at_once: Do it also where it was done a moment ago.
        """
        self._log.beat()
        self._log.roll(is_idle=not self.lanes.pending)
        self._adoption.look(at_once)
        limits.tidy([self._log.id])

    @property
    def has_news(self) -> bool:
        """Whether there is something to read that was not read; any thread may ask."""
        parts, known = list(self._parts), self._known()
        is_new = any(id(segment) not in known for segment in list(self._log.segments))
        return is_new or any(part.reader.unread for part in parts)

    def counts(self) -> Counts:
        """How many messages there are; all that was reported is read for it, as far as it fits."""
        lanes = self.lanes
        # Of what is left in files that are not open yet nobody knows how many messages it is.
        pending = lanes.pending + self._behind() or int(self._adoption.is_more_left)
        first = oldest(lanes) if pending else None
        return Counts(pending, lanes.delivered, lanes.dead, lanes.running, first)

    def _behind(self) -> int:
        """About how many messages are in lines that were not read, for too many wait before."""
        unread = sum(part.reader.unread for part in self._parts)
        return 0 if unread == 0 else max(1, unread // 300)

    @property
    def breathe(self) -> Callable[[], None]:
        """Called while much is read, to leave the interpreter to the work."""
        return self._adoption.breathe

    @breathe.setter
    def breathe(self, value: Callable[[], None]) -> None:
        self._adoption.breathe = value

    def renewed(self) -> Outbox:
        """One for a forked child, whose log is another."""
        child = Outbox(self.name, self._log)
        child.lanes.ids = self.lanes.ids  # they hold in every process
        return child

    @property
    def is_durable(self) -> bool:
        """Whether what is left survives the process."""
        return self._log.is_durable

    def close(self) -> None:
        """Let go: what is left is the next process's to send."""
        lanes = self.lanes
        self._adoption.close()
        self._see_new_parts()
        for part in self._parts:
            part.is_done = not lanes.used[part.number] and not part.reader.unread
        left = [part for part in self._parts if not part.is_done]
        if left and len(left) < len(self._parts):
            left[-1].receipts.write(self._carried())
        for part in self._parts:
            if part.is_done:
                self._log.done(part.segment, self.key)
        goes_on = self._log.has_others(self.key)
        if not goes_on and self._parts and all(part.is_done for part in self._parts):
            self._parts[-1].receipts.write([{"k": DONE}])
        for part in self._parts:
            part.receipts.close()
        if goes_on:  # whoever reports to this destination again goes on here
            lanes.land()
            _left[os.getpid(), id(self._log), self.key] = _Left(
                lanes, self._parts, self._over, self._numbers
            )
        self._parts = []
        self._log.leave(self.key)


def _bury(destination: str, message: Message, why: Refused, server_id: str | None) -> None:
    from dotflow.delivery import dead_letters  # here, for with it comes SQLite

    dead_letters.bury(destination, message, why, server_id)


def _receipt(what: str, flight: Flight) -> Receipt:
    unit, message = flight.unit, flight.message
    receipt: Receipt = {
        "k": what, "w": message.workflow, "r": unit.source.run, "m": message.kind.value,
        "n": message.n, "key": message.id,
    }  # fmt: skip
    if flight.key is not None:
        receipt["t"] = flight.key
    if message.final:
        receipt["end"] = True
    if message.is_posthumous:
        receipt["owed"] = True
    return receipt
