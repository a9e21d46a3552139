"""The order in which messages go: who waits for whom, what merges, what gives way when full."""

from __future__ import annotations

import heapq
import itertools
import random
import time
from collections import deque
from typing import TYPE_CHECKING

from dotflow.delivery.message import Kind, Message, Refused, TryLater
from dotflow.delivery.server_ids import ServerIds
from dotflow.delivery.waiting import Entry, Lane, Record, Workflow

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dotflow.delivery.message import Delivered
    from dotflow.delivery.store import Store

FIRST_DELAY = 0.5  # seconds
LONGEST_DELAY = 60.0  # seconds

MAX_MESSAGES = 200_000
MAX_BYTES = 256 * 2**20

MOST_TOLD = 10_000
"""Workflows from outside of which it is remembered what was said."""

RESERVE = 1.25
"""How far over the limits an outbox goes for a message that says how something ended."""


class Queue:
    """Puts the messages of an outbox in order. Not thread-safe: the outbox's lock is held.

    The messages of one record are delivered one by one, as they were put. A task's wait until its
    workflow's POST is delivered. A workflow's message that is `final` waits until no message of its
    tasks is left. A PATCH merges into one of the same record that was not claimed and is not
    final: what comes after the end of a run belongs to the next one.

    Args:
        max_messages: How many wait at the most.
        max_bytes: How many bytes their bodies may have together.
    """

    def __init__(self, max_messages: int = MAX_MESSAGES, max_bytes: int = MAX_BYTES) -> None:
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self.ids = ServerIds()
        self._workflows: dict[str, Workflow] = {}
        self._ready: deque[Lane] = deque()
        self._later: list[tuple[float, int, Lane]] = []
        self._numbers = itertools.count()
        self._interim: deque[Entry] = deque()  # what gives way first
        self._told: dict[str, set[int | None]] = {}
        self.pending = self.bytes = self.delivered = self.dead = self.running = 0

    def put(self, message: Message, store: Store, number: int | None = None) -> bool:
        """Take a message; False (and counted) where there is no room for it.

        Args:
            message: The message.
            store: Where it is to be kept.
            number: Where it is held there, if it is.
        """
        if message.kind is Kind.TASK_PATCH and self.ids.is_refused(message.workflow, message.task):
            self._bury_unsent(message, store)
            return True
        self._note(message)
        if self._merge(message):
            return True
        size = len(message.body)
        if not self._has_room(message, size):
            self.dead += 1
            return False
        workflow, record = self._record(message.workflow, message.task)
        entry = self._stored(message, record, store, number)
        self._append(workflow, record, entry)
        return True

    def take_over(self, entries: Iterable[Entry]) -> None:
        """Take messages of one workflow that are older than all that was put here of it.

        Where this process has sent something of the same record, what an earlier one had to say of
        it is out of date.
        """
        lanes: dict[Lane, list[Entry]] = {}
        for entry in entries:
            lanes.setdefault((entry.message.workflow, entry.message.task), []).append(entry)
        for (wid, task), older in lanes.items():
            workflow, record = self._record(wid, task)
            if task in self._told.get(wid, ()) and (record.sent or not record.entries):
                for entry in older:
                    entry.store.remove([entry.number])
                self._forget_if_empty(wid, task)
                continue
            for entry in older:
                self._count(workflow, entry, +1)
            at = record.place_of(older[0])
            record.entries[at:at] = older
            self._ready.append((wid, task))

    def claim(self, limit: int) -> list[Entry]:
        """Take up to `limit` messages that may be sent now."""
        claimed: list[Entry] = []
        now = time.monotonic()
        while self._later and self._later[0][0] <= now:
            self._ready.append(heapq.heappop(self._later)[2])
        while self._ready and len(claimed) < limit:
            entry = self._claim_lane(self._ready.popleft())
            if entry is not None:
                claimed.append(entry)
        return claimed

    def settle(self, message: Message, outcome: Delivered | TryLater | Refused) -> None:
        """Forget a claimed message, keep it for later, or bury it."""
        record = self._claimed(message)
        if record is None:
            return
        record.claimed = False
        if isinstance(outcome, TryLater):
            self._postpone((message.workflow, message.task), record, outcome)
            return
        entry = record.entries.pop(0)
        record.tries = 0
        workflow = self._workflows[message.workflow]
        self._count(workflow, entry, -1)
        if isinstance(outcome, Refused):
            self._refused(record, entry, outcome)
        else:
            self._delivered(record, entry, outcome)
        self._release(workflow, record, entry)

    def replace(self, message: Message, by: Message) -> None:
        """Put another message in place of a claimed one, to be sent at once."""
        record = self._claimed(message)
        if record is None:
            return
        entry = record.entries[0]
        self.bytes += len(by.body) - entry.size
        self._change(entry, by)
        record.claimed = False
        self._ready.appendleft((message.workflow, message.task))

    def due_in(self) -> float | None:
        """Seconds until a message may be sent; None where none waits for its time."""
        if self._ready:
            return 0.0
        return max(0.0, self._later[0][0] - time.monotonic()) if self._later else None

    def hurry(self) -> None:
        """Let messages that wait for their time be sent now, unless the server asked for it."""
        now, waiting = time.monotonic(), self._later
        self._later = []
        for _, number, lane in waiting:
            workflow = self._workflows.get(lane[0])
            record = workflow and workflow.records.get(lane[1])
            if record and record.asked_until > now:
                self._later.append((record.asked_until, number, lane))
            else:
                self._ready.append(lane)
        heapq.heapify(self._later)

    def knows(self, workflow: str) -> bool:
        """Whether there are reports of a workflow here."""
        return workflow in self._workflows

    def goes_on(self, workflow: str) -> bool:
        """Whether it is this process that reports a workflow, not one that is dead."""
        known = self._workflows.get(workflow)
        return known is not None and any(
            entry.generation is None
            for record in known.records.values()
            for entry in (*record.entries, *([record.settled] if record.settled else ()))
        )

    # What comes in.

    def _note(self, message: Message) -> None:
        """Remember of which tasks was spoken, in workflows that others may know too."""
        wid = message.workflow
        if wid not in self._workflows and message.kind.opens_from_outside:
            self._told.setdefault(wid, set())
            if len(self._told) > MOST_TOLD:
                del self._told[next(iter(self._told))]
        told = self._told.get(wid)
        if told is not None:
            told.add(message.task)

    def _record(self, wid: str, task: int | None) -> tuple[Workflow, Record]:
        workflow = self._workflows.get(wid)
        if workflow is None:
            workflow = self._workflows[wid] = Workflow()
            self.ids.begin(wid)
        record = workflow.records.get(task)
        if record is None:
            record = workflow.records[task] = Record()
        return workflow, record

    def _stored(self, message: Message, record: Record, store: Store, held: int | None) -> Entry:
        """Store a message, in place of what was last delivered, or held, where there is such."""
        settled, record.settled = record.settled, None
        where, number = (store, held) if settled is None else (settled.store, settled.number)
        self._keep_id(message, where)
        if number is None:
            number = where.add(message)
        else:
            where.change(number, message)
        if settled is not None:
            self.running -= settled.message.running
            store.remove([] if held is None else [held])
        return Entry(message.with_body(b""), len(message.body), where, number)

    def _keep_id(self, message: Message, store: Store) -> None:
        """Have what a PATCH needs lie beside it: an earlier run, or a parent, made the record."""
        if message.kind is Kind.TASK_PATCH and message.task is not None:
            server_id = self.ids.get(message.workflow, message.task)
            if server_id is not None:
                store.learn(message.workflow, message.task, server_id)

    def _append(self, workflow: Workflow, record: Record, entry: Entry) -> None:
        message = entry.message
        record.entries.append(entry)
        self._count(workflow, entry, +1)
        if message.kind.merges and not message.final:
            self._interim.append(entry)
            if len(self._interim) > 2 * self.pending + MOST_TOLD:
                self._interim = deque(one for one in self._interim if one.waits)
        if len(record.entries) == 1 or message.kind.opens:
            self._ready.append((message.workflow, message.task))

    def _merge(self, message: Message) -> bool:
        """Merge a PATCH into the last waiting message of its record, where that is one too."""
        workflow = self._workflows.get(message.workflow)
        record = workflow and workflow.records.get(message.task)
        if not message.kind.merges or not record or not record.entries:
            return False
        last = record.entries[-1]
        if not last.message.kind.merges or last.message.final:
            return False
        if record.claimed and len(record.entries) == 1:
            return False
        merged = self._merged(message, last)
        growth = len(merged.body) - last.size
        if growth > 0 and self.bytes + growth > self._max_bytes * RESERVE:
            return False
        self.bytes += growth
        self.running += merged.running - last.message.running
        self._change(last, merged)
        return True

    @staticmethod
    def _merged(message: Message, last: Entry) -> Message:
        if message.kind is Kind.TASK_PATCH:  # of which each says all there is to say
            return message
        try:
            return message.merged_into(last.store.body(last.number))
        except LookupError:  # it cannot be read any more: the later one is what counts
            return message

    @staticmethod
    def _change(entry: Entry, message: Message) -> None:
        entry.store.change(entry.number, message)
        entry.message, entry.size = message.with_body(b""), len(message.body)
        entry.generation = None

    def _bury_unsent(self, message: Message, store: Store) -> None:
        """A PATCH of a record that the server refused to make: it would hit another one."""
        number = store.add(message)
        store.bury(number, 0, "its POST was refused")
        self.dead += 1

    def _has_room(self, message: Message, size: int) -> bool:
        """Whether a message fits, once what is only interim has given way."""
        limit = RESERVE if message.final else 1.0
        if self._fits(size, limit):
            return True
        if message.kind.merges and not message.final:
            return False
        while self._interim and not self._fits(size, 1.0):
            self._drop(self._interim.popleft())
        return self._fits(size, limit)

    def _fits(self, size: int, limit: float) -> bool:
        return (
            self.pending < self._max_messages * limit
            and self.bytes + size <= self._max_bytes * limit
        )

    def _drop(self, entry: Entry) -> None:
        """Drop an update on the way to a later one, which will say all that it says."""
        message = entry.message
        workflow = self._workflows.get(message.workflow)
        record = workflow and workflow.records.get(message.task)
        if not workflow or not record or not entry.waits or message.final:
            return
        if record.claimed and record.entries[0] is entry:
            return
        record.entries.remove(entry)
        self._count(workflow, entry, -1)
        if message.running and not record.entries and record.settled is None:
            self._settle(record, entry)  # its end is owed all the same
        else:
            entry.store.remove([entry.number])
        self._release(workflow, record, entry)

    # What goes out.

    def _claimed(self, message: Message) -> Record | None:
        """The record of a claimed message; None where it was claimed before a fork."""
        workflow = self._workflows.get(message.workflow)
        record = workflow and workflow.records.get(message.task)
        if not record or not record.claimed or record.entries[0].message.id != message.id:
            return None
        return record

    def _claim_lane(self, lane: Lane) -> Entry | None:
        """The first message of a lane, unless another has to be delivered before it."""
        workflow = self._workflows.get(lane[0])
        record = workflow and workflow.records.get(lane[1])
        if not workflow or not record or record.claimed or not record.entries:
            return None
        entry = record.entries[0]
        # A lane that has to wait is made ready again by what it waits for. The end of a run does
        # not wait where another opening of the workflow is behind it: the tasks wait for that one.
        if lane[1] is not None:
            waits = workflow.opening > 0
        else:
            waits = entry.message.final and workflow.of_tasks > 0 and not workflow.opening
        if waits:
            return None
        record.claimed = record.sent = True
        return entry

    def _delivered(self, record: Record, entry: Entry, outcome: Delivered) -> None:
        message = entry.message
        self.delivered += 1
        if outcome.server_id is not None and message.task is not None:
            self.ids.add(message.workflow, message.task, outcome.server_id)
            entry.store.learn(message.workflow, message.task, outcome.server_id)
        if message.running and not record.entries:
            # Should this process die, the next one has to know that it has gone on so far.
            self._settle(record, entry)
        else:
            entry.store.remove([entry.number])

    def _settle(self, record: Record, entry: Entry) -> None:
        entry.store.settle(entry.number)
        entry.size = 0
        record.settled = entry
        self.running += 1

    def _refused(self, record: Record, entry: Entry, outcome: Refused) -> None:
        message = entry.message
        if message.kind is Kind.TASK_POST and message.task is not None:
            self.ids.refuse(message.workflow, message.task)
            self._bury_later(record, outcome)
        elif message.running and not record.entries and not message.kind.is_post:
            self._settle(record, self._copied(entry))  # refused or not, its end is owed
        self.dead += 1
        server_id = self.ids.get(message.workflow, message.task)
        entry.store.bury(entry.number, outcome.status, outcome.reason, server_id)

    @staticmethod
    def _copied(entry: Entry) -> Entry:
        """An entry of the same message, which may become another thing than this one."""
        try:
            body = entry.store.body(entry.number)
        except LookupError:  # it cannot be read any more
            body = b""
        number = entry.store.add(entry.message.with_body(body))
        return Entry(entry.message, entry.size, entry.store, number)

    def _bury_later(self, record: Record, outcome: Refused) -> None:
        """Bury what would change a record that there is not; it would change somebody else's.

        Before its POST: should the process die between, the next one is refused that again.
        """
        for later in record.entries:
            workflow = self._workflows[later.message.workflow]
            self._count(workflow, later, -1)
            later.store.bury(
                later.number, outcome.status, f"its POST was refused: {outcome.reason}"
            )
            self.dead += 1
        record.entries.clear()

    def _postpone(self, lane: Lane, record: Record, outcome: TryLater) -> None:
        if outcome.everywhere:
            # The relay waits for the destination; the message itself has done nothing wrong.
            self._ready.append(lane)
            return
        record.tries += 1
        delay = min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(record.tries - 1, 10))
        delay *= random.uniform(0.8, 1.2)  # noqa: S311 - to spread load, not to keep secrets
        now, asked = time.monotonic(), outcome.after or 0.0
        record.asked_until = now + asked
        # The number keeps lanes of the same moment from being compared.
        heapq.heappush(self._later, (now + max(delay, asked), next(self._numbers), lane))

    def _count(self, workflow: Workflow, entry: Entry, by: int) -> None:
        message = entry.message
        entry.waits = by > 0
        self.pending += by
        self.bytes += by * entry.size
        self.running += by * message.running
        if message.task is not None:
            workflow.of_tasks += by
        elif message.kind.opens:
            workflow.opening += by

    def _release(self, workflow: Workflow, record: Record, entry: Entry) -> None:
        """Make ready what the end of a message lets go, and forget what is empty."""
        message = entry.message
        wid, task = message.workflow, message.task
        if record.entries:
            self._ready.append((wid, task))
        if message.kind.opens and not workflow.opening:
            self._ready.extend((wid, one) for one in workflow.records if one is not None)
        if task is not None and not workflow.of_tasks and None in workflow.records:
            self._ready.append((wid, None))
        if task is None and message.final and not record.entries:
            self._forget_settled(workflow)
            self._told.pop(wid, None)
            if self.ids.end(wid):
                entry.store.forget(wid)
        self._forget_if_empty(wid, task)

    def _forget_if_empty(self, wid: str, task: int | None) -> None:
        workflow = self._workflows[wid]
        record = workflow.records.get(task)
        if record is not None and not record.entries and record.settled is None:
            del workflow.records[task]
        if not workflow.records:
            del self._workflows[wid]

    def _forget_settled(self, workflow: Workflow) -> None:
        """A run that has ended owes no ends."""
        for task, record in list(workflow.records.items()):
            if record.settled is not None:
                self.running -= record.settled.message.running
                record.settled.store.remove([record.settled.number])
                record.settled = None
            if not record.entries and task is not None:
                del workflow.records[task]
