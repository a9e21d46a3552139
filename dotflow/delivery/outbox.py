"""Where messages wait for the network, in the order that dotflow-api needs."""

from __future__ import annotations

import heapq
import itertools
import random
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass, field

from dotflow.delivery.message import Message, Outcome, Refused, TryLater
from dotflow.delivery.server_ids import ServerIds

FIRST_DELAY = 0.5  # seconds
LONGEST_DELAY = 60.0  # seconds

Lane = tuple[str, int | None]
"""A record of dotflow-api: a workflow (no task number) or a task. Its messages stay in order."""


@dataclass(frozen=True)
class Counts:
    """How many messages there are, and were.

    Attributes:
        pending: Not delivered yet, those under way included.
        delivered: Delivered since the outbox was made.
        dead: Refused for good, or too many to hold.
    """

    pending: int = 0
    delivered: int = 0
    dead: int = 0


class Outbox(ABC):
    """Holds messages until dotflow-api has them; all methods may be called from any thread.

    Order: the messages of one record are delivered one by one, as they were put. A task's wait
    until its workflow's POST is delivered. A message that is `final` waits until no message of
    the workflow's tasks is left. A PATCH merges into one of the same record that was not claimed
    and is not final: what comes after the end of a run belongs to the next one.
    """

    @abstractmethod
    def put(self, message: Message) -> bool:
        """Hold a message; False where there is no room for it."""

    @abstractmethod
    def claim(self, limit: int = 1) -> list[Message]:
        """Take up to `limit` messages that may be sent now; nobody else gets them."""

    @abstractmethod
    def settle(self, message: Message, outcome: Outcome) -> None:
        """Say what became of a claimed message: forget it, keep it for later, or park it."""

    @abstractmethod
    def replace(self, message: Message, by: Message) -> None:
        """Put another body in place of a claimed message, to be sent at once."""

    @abstractmethod
    def server_id(self, message: Message) -> str | None:
        """The id that the server gave to the record of a message, where it is known."""

    @abstractmethod
    def due_in(self) -> float | None:
        """Seconds until a message may be sent; None where none waits for its time."""

    @abstractmethod
    def hurry(self) -> None:
        """Let messages that wait for their time be sent now, unless the server asked for it."""

    @abstractmethod
    def counts(self) -> Counts:
        """How many messages there are."""

    @abstractmethod
    def after_fork(self) -> None:
        """Begin anew in a forked child: what is held here is the parent's to send."""

    @abstractmethod
    def close(self) -> None:
        """Release what the outbox needs to work; `put` says False from now on."""


@dataclass(slots=True)
class _Record:
    """The waiting messages of one record."""

    messages: list[Message] = field(default_factory=list)
    claimed: bool = False
    tries: int = 0
    asked_until: float = 0.0  # the server wants to hear no more of it before


@dataclass(slots=True)
class _Workflow:
    """What waits of one workflow and its tasks; gone when nothing waits."""

    records: dict[int | None, _Record] = field(default_factory=dict)
    opening: int = 0  # messages after which the workflow's record is there
    of_tasks: int = 0  # messages of tasks


class MemoryOutbox(Outbox):
    """Holds messages in memory: what is not delivered when the process ends is lost.

    Args:
        max_messages: How many it holds.
        max_bytes: How many bytes their bodies may have together.
    """

    def __init__(self, max_messages: int = 200_000, max_bytes: int = 256 * 2**20) -> None:
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._closed = False
        self._ids = ServerIds()
        self.after_fork()

    def after_fork(self) -> None:
        """Begin with nothing waiting; the server's ids hold in every process."""
        self._lock = threading.Lock()
        self._workflows: dict[str, _Workflow] = {}
        self._ready: deque[Lane] = deque()
        self._later: list[tuple[float, int, Lane]] = []
        self._numbers = itertools.count()
        self._pending = self._bytes = self._delivered = self._dead = 0

    def put(self, message: Message) -> bool:
        """Hold a message; False (and counted) where there is no room for it."""
        with self._lock:
            if not self._closed and (self._merge(message) or self._append(message)):
                return True
            self._dead += 1
            return False

    def claim(self, limit: int = 1) -> list[Message]:
        """Take up to `limit` messages that may be sent now."""
        claimed: list[Message] = []
        with self._lock:
            now = time.monotonic()
            while self._later and self._later[0][0] <= now:
                self._ready.append(heapq.heappop(self._later)[2])
            while self._ready and len(claimed) < limit:
                message = self._claim_lane(self._ready.popleft())
                if message is not None:
                    claimed.append(message)
        return claimed

    def settle(self, message: Message, outcome: Outcome) -> None:
        """Forget a claimed message, keep it for later, or count it as dead."""
        with self._lock:
            record = self._claimed(message)
            if record is None:
                return
            record.claimed = False
            if isinstance(outcome, TryLater):
                self._postpone((message.workflow, message.task), record, outcome)
                return
            del record.messages[0]
            record.tries = 0
            workflow = self._workflows[message.workflow]
            self._count(workflow, message, -1)
            if isinstance(outcome, Refused):
                self._dead += 1
            else:
                self._delivered += 1
                if outcome.server_id is not None and message.task is not None:
                    self._ids.add(message.workflow, message.task, outcome.server_id)
            self._release(workflow, record, message)

    def replace(self, message: Message, by: Message) -> None:
        """Put another body in place of a claimed message, to be sent at once."""
        with self._lock:
            record = self._claimed(message)
            if record is None:
                return
            self._bytes += len(by.body) - len(message.body)
            record.messages[0] = by
            record.claimed = False
            self._ready.appendleft((message.workflow, message.task))

    def server_id(self, message: Message) -> str | None:
        """The id that the server gave to the record of a message, where it is known."""
        if message.task is None:
            return None
        with self._lock:
            return self._ids.get(message.workflow, message.task)

    def due_in(self) -> float | None:
        """Seconds until a message may be sent; None where none waits for its time."""
        with self._lock:
            if self._ready:
                return 0.0
            return max(0.0, self._later[0][0] - time.monotonic()) if self._later else None

    def hurry(self) -> None:
        """Let messages that wait for their time be sent now, unless the server asked for it."""
        with self._lock:
            now, waiting = time.monotonic(), self._later
            self._later = []
            for _, number, lane in waiting:
                asked_until = self._workflows[lane[0]].records[lane[1]].asked_until
                if asked_until > now:
                    self._later.append((asked_until, number, lane))
                else:
                    self._ready.append(lane)
            heapq.heapify(self._later)

    def counts(self) -> Counts:
        """How many messages there are."""
        with self._lock:
            return Counts(self._pending, self._delivered, self._dead)

    def close(self) -> None:
        """Take no more messages."""
        with self._lock:
            self._closed = True

    def _claimed(self, message: Message) -> _Record | None:
        """The record of a claimed message; None where it was claimed before a fork."""
        workflow = self._workflows.get(message.workflow)
        record = workflow and workflow.records.get(message.task)
        if not record or not record.claimed or record.messages[0].id != message.id:
            return None
        return record

    def _append(self, message: Message) -> bool:
        if self._pending >= self._max_messages or (
            self._bytes + len(message.body) > self._max_bytes
        ):
            return False
        workflow = self._workflows.get(message.workflow)
        if workflow is None:
            workflow = self._workflows[message.workflow] = _Workflow()
            self._ids.begin(message.workflow)
        record = workflow.records.setdefault(message.task, _Record())
        record.messages.append(message)
        self._count(workflow, message, +1)
        if len(record.messages) == 1 or message.kind.opens:
            self._ready.append((message.workflow, message.task))
        return True

    def _merge(self, message: Message) -> bool:
        """Merge a PATCH into the last waiting message of its record, where that is one too."""
        workflow = self._workflows.get(message.workflow)
        record = workflow and workflow.records.get(message.task)
        if message.kind.is_post or message.kind.opens or not record:
            return False
        last = record.messages[-1]
        if last.kind.is_post or last.kind.opens or last.final:
            return False
        if record.claimed and len(record.messages) == 1:
            return False
        merged = last.merged(message)
        growth = len(merged.body) - len(last.body)
        if growth > 0 and self._bytes + growth > self._max_bytes:
            return False
        record.messages[-1] = merged
        self._bytes += growth
        return True

    def _count(self, workflow: _Workflow, message: Message, by: int) -> None:
        self._pending += by
        self._bytes += by * len(message.body)
        if message.task is not None:
            workflow.of_tasks += by
        elif message.kind.opens:
            workflow.opening += by

    def _claim_lane(self, lane: Lane) -> Message | None:
        """The first message of a lane, unless another has to be delivered before it."""
        workflow = self._workflows.get(lane[0])
        record = workflow and workflow.records.get(lane[1])
        if not workflow or not record or record.claimed:
            return None
        message = record.messages[0]
        # A lane that has to wait is made ready again by what it waits for. The end of a run does
        # not wait where another opening of the workflow is behind it: the tasks wait for that one.
        if lane[1] is not None:
            waits = workflow.opening > 0
        else:
            waits = message.final and workflow.of_tasks > 0 and not workflow.opening
        if waits:
            return None
        record.claimed = True
        return message

    def _postpone(self, lane: Lane, record: _Record, outcome: TryLater) -> None:
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

    def _release(self, workflow: _Workflow, record: _Record, message: Message) -> None:
        """Make ready what the end of a message lets go, and forget what is empty."""
        wid, task = message.workflow, message.task
        if record.messages:
            self._ready.append((wid, task))
        else:
            del workflow.records[task]
        if message.kind.opens and not workflow.opening:
            self._ready.extend((wid, one) for one in workflow.records if one is not None)
        if task is not None and not workflow.of_tasks and None in workflow.records:
            self._ready.append((wid, None))
        if not workflow.records:
            del self._workflows[wid]
            if message.final:
                self._ids.end(wid)
