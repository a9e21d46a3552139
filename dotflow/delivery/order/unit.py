"""A unit: one run of a workflow in one log, and what is still to be said of it.

Run 0 is what was before the first run. Nothing here does I/O; one thread calls it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dotflow.delivery.fold import bodies
from dotflow.delivery.fold.records import OF_TASKS, TaskRecord, WorkflowRecord
from dotflow.delivery.message import Key, Kind, Slot, slot_of
from dotflow.delivery.order.numbers import Numbers
from dotflow.runlog.lines import ADDED, RUN_BEGAN

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator

    from dotflow.delivery.message import Message
    from dotflow.delivery.order.left_behind import LeftBehind
    from dotflow.runlog.reader import Fact


class Unit:
    """What one run says, and has said.

    Args:
        source: Which run it is.
        used: Counts the records that need a file of the log, by the file's number.
        log: What a dead process left, if it is from that; None of this process's own.

    Attributes:
        head: The workflow's record.
        tasks: The tasks' records that are not complete.
        spoken: The tasks whose states it has said, or has to say.
        owing: The tasks that have something to say.
        pending: How many messages are to be sent still.
        size: About how many bytes what its tasks have to say takes.
        flying: The messages that are under way.
        unanswered: The messages whose outcome is not known: they are repeated unchanged.
        outer: The unit whose run this one's began within.
        inner: The units whose runs began within this one's.
        up: When its run began, by the clock that all processes of a machine share; 0 before.
        first_n: The number of its first fact.
        delayed: The records that wait for their time.
    """

    def __init__(
        self, source: bodies.Source, used: Counter[int], log: LeftBehind | None = None
    ) -> None:
        self.source = source
        self.log = log
        self.head = WorkflowRecord()
        self.tasks: dict[int, TaskRecord] = {}
        self.spoken = Numbers()
        self.owing: dict[int, int] = {}
        self._ready: dict[int, None] = {}
        self._owed_by_tasks = self.size = 0
        self.flying: dict[Key, Message] = {}
        self.unanswered: dict[Slot, Message] = {}
        self.delayed: set[Key] = set()
        self.tries: dict[Key, int] = {}
        self.outer: Unit | None = None
        self.inner: list[Unit] = []
        self.up = 0
        self.first_n = 0
        self._used = used

    def take(self, fact: Fact, segment: int) -> None:
        """Fold a fact into its record.

        Args:
            fact: A line of this run.
            segment: Which file it is in.
        """
        self.first_n = self.first_n or int(fact["n"])
        if fact["f"] in OF_TASKS:
            self._take_of_task(fact["t"], fact, segment)
            return
        self.head.take(fact, self.source.policy)
        if fact["f"] == RUN_BEGAN:
            self.up = int(fact.get("up") or 0)
        self._use(self.head, segment)
        if self.head.is_complete:
            self._let_go(self.head)

    def _take_of_task(self, task: int, fact: Fact, segment: int) -> None:
        record = self.tasks.get(task)
        if record is None:
            record = self.tasks[task] = TaskRecord(task)
        record.take(fact, self.source.policy, self.head.again)
        self._use(record, segment)
        if fact["f"] != ADDED:
            self.spoken.add(task)
        self._count(task, record)
        if record.is_complete:
            self._drop(task)

    def _count(self, task: int, record: TaskRecord) -> None:
        """Keep the books on what a task has to say."""
        owed = (bool(record.made_by) and not record.posted) + (record.said < record.due)
        self._owed_by_tasks += owed - self.owing.get(task, 0)
        self._weigh(record, record.size if owed else 0)
        if not owed:
            self.owing.pop(task, None)
            self._ready.pop(task, None)
            return
        self.owing[task] = owed
        if task not in self.flying and task not in self.delayed:
            self._ready[task] = None

    def _weigh(self, record: TaskRecord, size: int) -> None:
        self.size += size - record.counted
        record.counted = size

    def _use(self, record: TaskRecord | WorkflowRecord, segment: int) -> None:
        if segment not in record.segments:
            record.segments.add(segment)
            self._used[segment] += 1

    def _let_go(self, record: TaskRecord | WorkflowRecord) -> None:
        for segment in record.segments:
            self._used[segment] -= 1
        record.segments.clear()

    # What may be sent.

    @property
    def owes_first(self) -> bool:
        """Whether the call that everything else waits for was not answered."""
        return bool(self.head.made_by) and not self.head.opened

    @property
    def owes_end(self) -> bool:
        """Whether the end of the run is to be said."""
        return self.head.said < self.head.due

    @property
    def is_complete(self) -> bool:
        """Whether all was said, and no end is owed."""
        head = self.head
        if not head.is_complete or self.owing or self.flying or self.inner:
            return False
        return not self.tasks or head.ended or not head.begun

    @property
    def owes(self) -> bool:
        """Whether there is something to be said."""
        return bool(self.owing) or self.owes_first or self.owes_end

    @property
    def pending(self) -> int:
        """How many messages are to be sent still."""
        return self.owes_first + self.owes_end + self._owed_by_tasks

    def is_free(self, key: Key) -> bool:
        """Whether nothing of a record is under way, or waits for its time."""
        return key not in self.flying and key not in self.delayed

    def sendable(self) -> Iterator[Key]:
        """The records of which a message may be sent now, each by itself."""
        if self.owes_first:
            if self.is_free(None):
                yield None
            return
        yield from self._ready
        if self._may_end and self.is_free(None):
            yield None

    def fly(self, key: Key, message: Message) -> None:
        """Take note that a message is under way."""
        self.flying[key] = message
        if key is not None:
            self._ready.pop(key, None)

    def land(self, key: Key) -> None:
        """Take note that a message is not under way any more."""
        self.flying.pop(key, None)
        self._is_ready(key)

    def land_all(self) -> None:
        """Have nothing be under way: of what was, nobody will hear, so it is repeated."""
        for key, message in list(self.flying.items()):
            self.unanswered[slot_of(key, message.kind, message.final)] = message
            self.land(key)

    def delay(self, key: Key) -> None:
        """Have a record wait for its time."""
        self.delayed.add(key)
        if key is not None:
            self._ready.pop(key, None)

    def is_due(self, key: Key) -> None:
        """Take note that a record's time has come."""
        self.delayed.discard(key)
        self._is_ready(key)

    def _is_ready(self, key: Key) -> None:
        if key is not None and key in self.owing and self.is_free(key):
            self._ready[key] = None

    @property
    def _may_end(self) -> bool:
        """Whether only the end is left: an inner run's words come before the outer one's end."""
        return self.owes_end and not self.owing and not self.inner

    def message(self, key: Key) -> Message:
        """The next message about a record; an unanswered one is repeated as it was."""
        if key is None:
            return self._of_head(self.owes_first)
        record = self.tasks[key]
        return self._of_record(record, bool(record.made_by) and not record.posted)

    def _of_head(self, is_first: bool) -> Message:
        known = self.unanswered.get((None, is_first))
        if known is not None:
            return known
        made = bodies.workflow_first if is_first else bodies.workflow_end
        return made(self.source, self.head)

    def _of_record(self, record: TaskRecord, is_post: bool) -> Message:
        known = self.unanswered.get((record.task, is_post))
        if known is not None:
            return known
        made = bodies.task_post if is_post else bodies.task_patch
        return made(self.source, record, self.head.carrier)

    def makes(self, task: int) -> bool:
        """Whether it says of a task that it is there."""
        record = self.tasks[task]
        return bool(record.made_by) and not record.refused

    def next_number(self, task: int) -> int:
        """The number of the last fact that the next message about a task says."""
        record = self.tasks[task]
        if record.made_by and not record.posted:
            return record.made_by
        known = self.unanswered.get((task, False))
        return record.due if known is None else known.n

    def in_bulk(self, limit: int) -> Iterator[tuple[Key, Message]]:
        """All messages that may go in one bulk, in order: the server stops a record at a fault."""
        if self.flying or None in self.delayed:
            return
        left = limit
        if self.owes_first:
            yield None, self._of_head(is_first=True)
            left -= 1
        for task in self._ready:
            if left < 2:  # noqa: PLR2004 - a task's POST and PATCH go together
                return
            for message in self._of_task(task):
                yield task, message
                left -= 1
        # A server that does not take a task's message goes on with those of the workflow.
        if left and self._may_end:
            yield None, self._of_head(is_first=False)

    def _of_task(self, task: int) -> Iterator[Message]:
        """The messages that a task owes; of what may be a repeat only that."""
        record = self.tasks[task]
        if record.made_by and not record.posted:
            yield self._of_record(record, is_post=True)
        if record.said < record.due:
            yield self._of_record(record, is_post=False)

    def repeat(self, key: Key, heard: int) -> None:
        """Have what is due of a record now be repeated as it is, before what is due later.

        Args:
            key: The record.
            heard: The number of the last fact of it that the server had heard by then.
        """
        if key is None:
            if self.head.ended:
                self.unanswered[None, False] = bodies.workflow_end(self.source, self.head)
        elif key in self.tasks:
            record = self.tasks[key]
            record.heard = max(record.heard, heard)
            made = bodies.task_patch(self.source, record, self.head.carrier)
            self.unanswered[key, False] = made

    # What became of it.

    def note(self, key: Key, kind: Kind, n: int) -> None:
        """Take note that a message was answered for good.

        Args:
            key: The record.
            kind: What the message asked.
            n: The number of the last fact that it said.
        """
        self.tries.pop(key, None)
        for slot in ((key, True), (key, False)) if self.unanswered else ():
            known = self.unanswered.get(slot)
            if known is not None and known.n <= n:
                del self.unanswered[slot]
        if key is None:
            if kind in _FIRST and not self.head.opened and n == self.head.made_by:
                self.head.is_opened()
            else:
                self.head.said = max(self.head.said, n)
            if self.head.is_complete:
                self._let_go(self.head)
            return
        record = self.tasks.get(key)
        if record is None:
            return
        record.heard = max(record.heard, n)
        if kind is Kind.TASK_POST:
            record.posted = record.posted or n == record.made_by
        else:
            record.said = max(record.said, n)
        self._look_at(key, record)

    def is_known_ended(self, key: Key, n: int) -> None:
        """Take note that the end of a record, fact `n`, was said, whatever facts of it are left."""
        if key is None:
            self.head.ended, self.head.said = True, max(self.head.said, self.head.due)
        # A run's end goes when its tasks owe nothing: what else says so may be gone from the log.
        for task in [one for one in self.tasks if key in (None, one)]:
            record = self.tasks[task]
            if key is not None or max(record.made_by, record.due) <= n:
                record.posted = record.posted or key is None
                record.ended, record.said = True, max(record.said, record.due)
                self._look_at(task, record)

    def refuse(self, key: int) -> list[Message]:
        """Take note that the server refused to make a task; what was to change it, unsent."""
        record = self.tasks[key]
        record.posted = record.refused = True
        unsent = []
        if record.said < record.due:
            unsent.append(self._of_record(record, is_post=False))
            record.said = record.due
        self.unanswered.pop((key, True), None)
        self.unanswered.pop((key, False), None)
        self._look_at(key, record)
        return unsent

    def _look_at(self, key: int, record: TaskRecord) -> None:
        if record.refused and record.said < record.due:
            record.said = record.due
        self._count(key, record)
        if record.is_complete or (self.head.ended and not record.owes):
            self._drop(key)

    def _drop(self, task: int) -> None:
        self._owed_by_tasks -= self.owing.pop(task, 0)
        self._ready.pop(task, None)
        record = self.tasks.pop(task, None)
        if record is not None:
            self._weigh(record, 0)
            self._let_go(record)

    def release(self) -> None:
        """Let go of the files of records that owe nothing when the run is over."""
        for task in [one for one in self.tasks if one not in self.owing]:
            self._drop(task)
        if self.is_complete:
            self._let_go(self.head)

    def leave_out(self, spoken: Numbers, is_over: bool, is_there: bool = False) -> None:
        """Leave out what a later run has made void: states and ends, never the making of a record.

        Args:
            spoken: The tasks of which the later run has spoken.
            is_over: Whether it has spoken of the workflow.
            is_there: Whether the server has heard that. Else tasks wait for the first call.
        """
        for task, record in list(self.tasks.items()):
            if task in spoken:
                record.said, record.ended = record.due, True
                self.unanswered.pop((task, False), None)
                self._look_at(task, record)
        if is_over:
            self.head.said, self.head.ended = self.head.due, self.head.begun
            self.unanswered.pop((None, False), None)
            makes_tasks = any(one.made_by and not one.posted for one in self.tasks.values())
            is_known = self.head.is_post or self.head.opened
            if not is_known and (is_there or not makes_tasks):
                self.head.opened = self.head.is_left_out = True
                self.unanswered.pop((None, True), None)
            self.release()


_FIRST = frozenset({Kind.WORKFLOW_POST, Kind.WORKFLOW_OPEN, Kind.WORKFLOW_PATCH})
