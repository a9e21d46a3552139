"""Where messages wait for the network."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dotflow.delivery import dead_letters, state
from dotflow.delivery.dead_runs import end_runs, gather_held
from dotflow.delivery.disk import DiskStore, workflows
from dotflow.delivery.message import Instead, Message, Outcome, Refused
from dotflow.delivery.queue import MAX_BYTES, MAX_MESSAGES, Queue
from dotflow.delivery.store import MemoryStore, Store
from dotflow.delivery.waiting import Entry
from dotflow.logging import logger

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from dotflow.delivery.disk import Row

MAX_DIGITS = 18  # of a number that somebody has set

ADOPT_EVERY = 10.0
"""Seconds between two looks at what others have left, and between two signs of life."""

MOST_ADOPTED = 50
"""Files of dead processes that are open at once: each takes four descriptors of the user's."""


Held = tuple[Store, int]
"""A message that is held: where, and its number there."""

Gather = Callable[[list[bytes], float], Message]
"""Makes one message to be sent of the bodies of held ones, and of when their process was last seen
(seconds since the epoch)."""


@dataclass(frozen=True)
class Counts:
    """How many messages there are, and were.

    Attributes:
        pending: Not delivered yet, those under way included.
        delivered: Delivered since the outbox was made.
        dead: Refused for good, or too many to hold.
        running: Records that are under way: should the process die, the next one ends them.
    """

    pending: int = 0
    delivered: int = 0
    dead: int = 0
    running: int = 0


class Outbox:
    """Holds messages until they are delivered; all methods may be called from any thread.

    With a name it is durable: what `put` has taken is in a file when it returns, and if the process
    dies, however it does, the next one that opens an outbox of this name delivers it. The file is
    made by the first `put`; where none can be made there is one warning, and memory.

    Args:
        name: The destination, which tells its messages from those of others in the same folder;
            none, and the messages are in memory only.
        max_messages: How many may wait.
        max_bytes: How many bytes their bodies may have together.
        gather: What makes of the messages that a dead process held those that are sent; without it
            they are sent as they are.
    """

    def __init__(
        self,
        name: str | None = None,
        max_messages: int = MAX_MESSAGES,
        max_bytes: int = MAX_BYTES,
        gather: Gather | None = None,
    ) -> None:
        self.name = name
        self._limits = (max_messages, max_bytes)
        self._gather = gather
        self._unreadable: set[Path] = set()
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._adopting = threading.Lock()
        self._queue = Queue(*self._limits)
        self._store: Store | None = None if self.name else MemoryStore()
        self._adopted: list[DiskStore] = []
        self._adopt_at = float("-inf")
        self._is_more_left = False
        self._closed = False

    def put(self, message: Message, held: Held | None = None) -> bool:
        """Hold a message to be sent; False (and counted) where there is no room for it.

        Args:
            message: The message.
            held: Where it was held until now, if it was.
        """
        with self._lock:
            if self._closed:
                self._queue.dead += 1
                return False
            store = self._opened()
            number = held[1] if held is not None and held[0] is store and held[1] else None
            return self._queue.put(message, store, number)

    @property
    def is_durable(self) -> bool:
        """Whether what is put outlives the process, as far as that is known."""
        return self.name is not None and not isinstance(self._store, MemoryStore)

    def hold(self, message: Message, instead_of: Held | None = None) -> Held | None:
        """Hold a message that is to be sent only if the process dies.

        Args:
            message: The message.
            instead_of: One that is held, whose place it takes.

        Returns:
            What `forget` takes; None once the outbox is closed.
        """
        with self._lock:
            if self._closed:
                return None
            store = self._opened()
            is_here = instead_of is not None and instead_of[0] is store
            number = instead_of[1] if instead_of is not None and is_here else None
            return store, store.hold(message, number)

    def forget(self, held: Iterable[Held]) -> None:
        """Forget held messages; those of the parent, in a forked child, are its affair."""
        with self._lock:
            if not self._closed and self._store is not None:
                self._store.remove([number for store, number in held if store is self._store])

    def claim(self, limit: int = 1) -> list[Message]:
        """Take up to `limit` messages that may be sent now; nobody else gets them."""
        claimed: list[Message] = []
        with self._lock:
            for entry in self._queue.claim(limit):
                message = self._with_body(entry)
                if message is not None:
                    claimed.append(message)
        return claimed

    def settle(self, message: Message, outcome: Outcome) -> None:
        """Say what became of a claimed message: forget it, keep it for later, or park it."""
        with self._lock:
            if self._closed:  # what was under way when time was over is sent again
                return
            if isinstance(outcome, Instead):
                self._queue.replace(message, outcome.message)
            else:
                self._queue.settle(message, outcome)
        if self._is_more_left and not self._queue.pending:
            self.care(at_once=True)

    def server_id(self, message: Message) -> str | None:
        """The id that the server gave to the record of a message, where it is known."""
        with self._lock:
            return self._queue.ids.get(message.workflow, message.task)

    def learn(self, workflow: str, task: int, server_id: str) -> None:
        """Keep the id that the server gave to a task when it was asked by another process."""
        with self._lock:
            self._queue.ids.add(workflow, task, server_id)
            self._opened().learn(workflow, task, server_id)

    def due_in(self) -> float | None:
        """Seconds until a message may be sent; None where none waits for its time."""
        with self._lock:
            return self._queue.due_in()

    def hurry(self) -> None:
        """Let messages that wait for their time be sent now, unless the server asked for it."""
        with self._lock:
            self._queue.hurry()

    def counts(self) -> Counts:
        """How many messages there are."""
        queue = self._queue
        # Of what is left in files that are not open yet nobody knows how many messages it is.
        pending = queue.pending or int(self._is_more_left)
        return Counts(pending, queue.delivered, queue.dead, queue.running)

    @property
    def place(self) -> str | None:
        """The file that the messages are in; None where they are in memory."""
        return self._store.place if isinstance(self._store, DiskStore) else None

    def after_fork(self) -> None:
        """Begin anew in a forked child: what is held here is the parent's to send."""
        ids = self._queue.ids
        for store in (self._store, *self._adopted):
            if store is not None:
                store.abandon()
        self._begin()
        self._queue.ids = ids  # they hold in every process

    def close(self) -> int:
        """Release what the outbox needs to work; `put` says False from now on.

        Returns:
            How many messages are lost by it; what is in files is not.
        """
        with self._adopting, self._lock:
            if self._closed:
                return 0
            self._closed = True
            stores = [one for one in (*self._adopted, self._store) if one is not None]
            self._adopted = []
            lost = sum(self._close_store(store) for store in stores)
            self._queue = self._emptied()
        return lost

    def _close_store(self, store: Store) -> int:
        if isinstance(store, DiskStore):
            self._collect(store)
        return store.close()

    def _collect(self, store: DiskStore) -> None:
        assert self.name is not None  # noqa: S101 - else nothing is on disk
        # Where it cannot be done they stay where they are.
        with contextlib.suppress(sqlite3.Error, OSError, LookupError, ValueError):
            dead_letters.collect(store, self.name)

    def _emptied(self) -> Queue:
        """What is left to count when all is closed."""
        after = Queue(*self._limits)
        before = self._queue
        after.pending, after.delivered, after.dead = before.pending, before.delivered, before.dead
        return after

    def _opened(self) -> Store:
        if self._store is None:
            self._store = self._open_store()
        return self._store

    def _open_store(self) -> Store:
        assert self.name is not None  # noqa: S101 - else there is a store from the beginning
        spool = None
        try:
            spool = state.Spool.create(self.name)
            return DiskStore(spool, self.name)
        except (OSError, sqlite3.Error) as error:
            if spool is not None:
                spool.delete()
            _complain_once(error)
            return MemoryStore()

    def _with_body(self, entry: Entry) -> Message | None:
        try:
            body = entry.store.body(entry.number)
        except LookupError as error:
            # The file is damaged: what cannot be read can be sent by nobody.
            reason = f"it cannot be read from the outbox: {error}"
            logger.warning("A report is lost, for %s.", reason)
            self._queue.settle(entry.message, Refused(0, reason))
            return None
        return entry.message.with_body(body)

    # What dead processes left.

    def care(self, at_once: bool = False) -> None:
        """Give a sign of life, and take over what dead processes left; every now and then.

        Called by the relay's threads before they claim something. The first one does it while the
        others wait: what an earlier process had to say goes first.

        Args:
            at_once: Do it also where it was done a moment ago.
        """
        if self.name is None:
            return
        with self._adopting:
            now = time.monotonic()
            if self._closed or (now < self._adopt_at and not at_once):
                return
            self._adopt_at = now + ADOPT_EVERY
            store = self._store
            if store is not None:
                store.beat()
            with state.alone():  # two that look at once would each find a part, out of order
                self._close_emptied()
                self._adopt_all()

    def _adopt_all(self) -> None:
        assert self.name is not None  # noqa: S101 - only durable outboxes adopt
        left: set[str] = set()  # workflows of older files, that others are to take
        # One by one: what waits in line here is not to look as if it had an owner.
        for spool in state.orphans(self.name):
            if len(self._adopted) >= MOST_ADOPTED:
                spool.release()
                self._is_more_left = True
                return
            try:
                self._adopt(spool, left)
            except Exception as error:  # noqa: BLE001 - whatever is in it, the others are to go on
                spool.release()
                if spool.path not in self._unreadable:
                    self._unreadable.add(spool.path)
                    logger.warning(
                        "%s cannot be read (%s): it is left as it is.", spool.path, error
                    )
        self._is_more_left = False

    def _adopt(self, spool: state.Spool, left: set[str]) -> None:
        assert self.name is not None  # noqa: S101 - only durable outboxes adopt
        known = workflows(spool.path)
        if known & (self._alive_elsewhere(spool.path) | left):
            spool.release()  # they are theirs to go on with: theirs is the next look
            left |= known
            return
        store = DiskStore(spool, self.name)
        try:
            self._collect(store)
            if self._gather is not None:
                gather_held(store, self._gather)
            waiting = end_runs(store, self._goes_on_here)
            server_ids = store.server_ids()
        except BaseException:
            store.close()
            raise
        with self._lock:
            self._adopted.append(store)
            for one in server_ids:
                self._queue.ids.add(*one)
        self._take_over(store, waiting)
        self._close_emptied()

    def _close_emptied(self) -> None:
        """Close what was adopted and is delivered; its ids are kept while somebody needs them."""
        with self._lock:
            for store in list(self._adopted):
                if store.is_empty() and not any(
                    self._queue.knows(workflow) for workflow, _, _ in store.server_ids()
                ):
                    self._adopted.remove(store)
                    store.close()

    def _take_over(self, store: DiskStore, waiting: list[Row]) -> None:
        by_workflow: dict[str, list[Entry]] = {}
        for row in waiting:
            entry = Entry(row.message, row.size, store, row.number, store.spool.generation)
            by_workflow.setdefault(row.message.workflow, []).append(entry)
        for entries in by_workflow.values():
            with self._lock:  # for one workflow at a time: the work may put something between
                if self._closed:
                    return
                self._queue.take_over(entries)

    def _goes_on_here(self, workflow: str) -> bool:
        with self._lock:
            return self._queue.goes_on(workflow)

    def _alive_elsewhere(self, taken: Path) -> set[str]:
        """The workflows that other living processes report; not those of the file just taken."""
        ours = {str(self.place), str(taken), *(store.place for store in self._adopted)}
        others = [path for path in state.spools(self.name) if str(path) not in ours]
        return set().union(*(workflows(path) for path in others if state.is_owned(path)))


def open_outbox(name: str, gather: Gather | None = None) -> Outbox:
    """The outbox of a destination, as the environment wants it.

    `DOTFLOW_OUTBOX=memory` keeps it from the disk; `DOTFLOW_OUTBOX_MAX_MESSAGES` (200,000) and
    `DOTFLOW_OUTBOX_MAX_BYTES` (256 MiB) bound what waits.

    Args:
        name: What people call the destination; without credentials, for it is written down.
        gather: As in Outbox.
    """
    kept = os.environ.get("DOTFLOW_OUTBOX", "").strip().lower()
    if kept not in ("", "disk", "memory"):
        logger.warning("DOTFLOW_OUTBOX is %r: it may be 'disk' or 'memory', and is 'disk'.", kept)
    return Outbox(
        None if kept == "memory" else name,
        _number("DOTFLOW_OUTBOX_MAX_MESSAGES", MAX_MESSAGES),
        _number("DOTFLOW_OUTBOX_MAX_BYTES", MAX_BYTES),
        gather,
    )


def _number(variable: str, default: int) -> int:
    value = os.environ.get(variable, "").strip()
    if value.isascii() and value.isdigit() and int(value[:MAX_DIGITS]) > 0:
        return int(value[:MAX_DIGITS])
    if value:
        logger.warning("%s is %r: it has to be a whole number above 0.", variable, value)
    return default


_complained: set[str] = set()


def _complain_once(error: Exception) -> None:
    """One line a process: every destination would say the same."""
    if "disk" not in _complained:
        _complained.add("disk")
        logger.warning(
            "Reports cannot be kept on disk (%s): what is not delivered when the process ends is "
            "lost. Set DOTFLOW_STATE_DIR to a folder that can be written.", error,
        )  # fmt: skip
