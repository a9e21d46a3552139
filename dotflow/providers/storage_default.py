"""Results in memory."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from dotflow.abc.storage import Storage, is_key_of
from dotflow.core.context import Context
from dotflow.process.forking import renew_in_child

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dotflow.abc.task import TaskView


class _Entry(NamedTuple):
    context: Context
    expires: float | None  # by the monotonic clock
    fingerprint: str | None


KEPT_WORKFLOWS = 100
"""Of how many workflows that are gone the results are kept: of the last ones, at least so many."""

ID_LENGTH = 36
"""The characters of an id that dotflow makes."""

MARK = "-_note-"
"""Between the id of a workflow and the number of a task, in the key of a task's note."""

NAME = "traceparent"
"""The one field that most notes have: of these only its text is kept."""


class StorageDefault(Storage):
    """Keeps results in memory, as long as the object lives. Any thread may call its methods.

    The results of a workflow whose id the program gave are kept for good. If dotflow made the id
    and the DotFlow is gone, the results are kept until about 100 more such workflows are gone
    (`KEPT_WORKFLOWS`): a program that wrote the id down can resume the workflow until then.

    It takes and ignores the arguments of other storages, as the command line gives them.
    """

    lasts = False

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        # A Context that does not expire stands for itself.
        self._entries: dict[str, Context | _Entry] = {}
        self._notes = _Notes()
        self._gone: deque[str] = deque()
        self._prefix: tuple[Any, str] = (None, "None-")
        self.renew()
        renew_in_child(self)

    def renew(self) -> None:
        """Have a lock that nobody holds, in a forked child."""
        self._lock = threading.RLock()

    def post(
        self,
        key: str,
        context: Context,
        ttl: float | None = None,
        fingerprint: str | None = None,
    ) -> None:
        """Keep a context under a key, in place of what was there."""
        entry: Context | _Entry = context
        is_plain = ttl is None and fingerprint is None
        if not is_plain:
            expires = None if ttl is None else time.monotonic() + ttl
            entry = _Entry(context, expires, fingerprint)
        with self._lock:
            if type(key) is not str or MARK not in key:  # a subclass may have keys of its own
                self._entries[key] = entry
            elif is_plain and self._notes.put(key, context.storage):
                self._entries.pop(key, None)
            else:
                self._notes.pop(key)
                self._entries[key] = entry
        if len(self._gone) >= 2 * KEPT_WORKFLOWS:
            self._forget()

    def get(self, key: str) -> Context:
        """The context kept under a key; an empty one where there is none."""
        context = self._live(key)
        return Context() if context is None else context

    def key(self, task: TaskView) -> str:
        """`{workflow_id}-{task_id}`."""
        # The text of an id is slow to make, and the next task has the same one.
        workflow_id, prefix = self._prefix
        if workflow_id is not task.workflow_id:
            from uuid import UUID  # here, once a run, for it is slow to load

            workflow_id = task.workflow_id
            prefix = f"{workflow_id}-"
            if isinstance(workflow_id, (UUID, str)):
                self._prefix = (workflow_id, prefix)
        return f"{prefix}{task.task_id}"

    def release(self, workflow_id: str) -> None:
        """Learn that only a program that wrote the id down can name this workflow.

        Takes no lock: garbage may be collected at any instant.
        """
        if len(workflow_id) == ID_LENGTH:
            self._gone.append(workflow_id)

    def retain(self, workflow_id: str) -> None:
        """Learn that a program names this workflow: its results are kept for good."""
        with self._lock:
            while workflow_id in self._gone:
                self._gone.remove(workflow_id)

    def _forget(self) -> None:
        """Forget all but the last workflows that are gone, with one look at every key."""
        with self._lock:
            count = len(self._gone) - KEPT_WORKFLOWS
            forgotten = {self._gone.popleft() for _ in range(count)}
            for workflow in forgotten:
                self._notes.forget(workflow)
            for key in list(self._entries):
                if key[:ID_LENGTH] in forgotten and is_key_of(key[:ID_LENGTH], key):
                    del self._entries[key]

    def delete(self, key: str) -> bool:
        """Forget a key; return whether it was there."""
        with self._lock:
            found = self._live(key) is not None
            self._entries.pop(key, None)
            if type(key) is str:
                self._notes.pop(key)
        return found

    def delete_prefix(self, prefix: str) -> int:
        """Forget all keys that begin with `prefix`; return how many there were."""
        with self._lock:
            return sum(self.delete(key) for key in self._keys() if key.startswith(prefix))

    def list_keys(self, prefix: str) -> Iterable[str]:
        """The keys that begin with `prefix`, without expired ones."""
        with self._lock:
            return [
                key
                for key in self._keys()
                if key.startswith(prefix) and self._live(key) is not None
            ]

    def atomic_swap(
        self,
        key: str,
        expected: Any,
        new: Any,
        ttl: float | None = None,
        fingerprint: str | None = None,
    ) -> bool:
        """Replace the value of a key if it equals `expected`; return whether it did."""
        with self._lock:
            context = self._live(key)
            if (None if context is None else context.storage) != expected:
                return False
            self.post(key, new if isinstance(new, Context) else Context(new), ttl, fingerprint)
            return True

    def _keys(self) -> list[str]:
        return [*self._entries, *self._notes.keys()]

    def _live(self, key: str) -> Context | None:
        """What is kept under a key, unless it has expired."""
        entry = self._entries.get(key)
        if entry is None and type(key) is str and MARK in key:
            with self._lock:
                return self._notes.get(key)
        if not isinstance(entry, _Entry):
            return entry
        if entry.expires is None or entry.expires > time.monotonic():
            return entry.context
        with self._lock:
            if self._entries.get(key) is entry:
                del self._entries[key]
        return None


class _Notes:
    """What a Server has noted of tasks, in a third of the memory that a Context and a key take.

    Whoever calls it holds the storage's lock. A run of a hundred thousand tasks has as many notes,
    and they are read only if it is resumed.
    """

    def __init__(self) -> None:
        self._kept: dict[str, dict[int, Any]] = {}

    def put(self, key: str, value: Any) -> bool:
        """Keep a note; False where the key is none of a task's note, or the value is no note."""
        workflow, mark, number = key.partition(MARK)
        if not mark or type(value) is not dict or not number.isdecimal():
            return False
        task = int(number)
        if str(task) != number:
            return False
        kept = self._kept.get(workflow)
        if kept is None:
            kept = self._kept[workflow] = {}
        kept[task] = value[NAME] if len(value) == 1 and type(value.get(NAME)) is str else value
        return True

    def get(self, key: str) -> Context | None:
        """The note under a key; None where there is none."""
        kept, task = self._place(key)
        note = kept.get(task)
        if note is None:
            return None
        return Context({NAME: note} if type(note) is str else note)

    def pop(self, key: str) -> None:
        """Forget a note."""
        kept, task = self._place(key)
        kept.pop(task, None)

    def keys(self) -> Iterator[str]:
        """The keys of all notes."""
        for workflow, kept in self._kept.items():
            for task in kept:
                yield f"{workflow}{MARK}{task}"

    def forget(self, workflow: str) -> None:
        """Forget all notes of a workflow."""
        self._kept.pop(workflow, None)

    def _place(self, key: str) -> tuple[dict[int, Any], int]:
        workflow, _, number = key.partition(MARK)
        kept = self._kept.get(workflow)
        if kept is None or not number.isdecimal():
            return {}, 0
        task = int(number)
        return (kept, task) if str(task) == number else ({}, 0)
