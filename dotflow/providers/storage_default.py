"""Results in memory."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from dotflow.abc.storage import Storage
from dotflow.core.context import Context
from dotflow.process.forking import renew_in_child

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dotflow.abc.task import TaskView


class _Entry(NamedTuple):
    context: Context
    expires: float | None  # by the monotonic clock
    fingerprint: str | None


class StorageDefault(Storage):
    """Keeps results in a dict of its own; they live as long as the object. Thread-safe.

    Whatever it is given on the command line (`path`) makes no difference to it.
    """

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        self._entries: dict[str, _Entry] = {}
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
        expires = None if ttl is None else time.monotonic() + ttl
        with self._lock:
            self._entries[key] = _Entry(context, expires, fingerprint)

    def get(self, key: str) -> Context:
        """The context kept under a key; an empty one where there is none."""
        with self._lock:
            entry = self._live(key)
        return Context() if entry is None else entry.context

    def key(self, task: TaskView) -> str:
        """`{workflow_id}-{task_id}`."""
        return f"{task.workflow_id}-{task.task_id}"

    def delete(self, key: str) -> bool:
        """Forget a key; return whether it was there."""
        with self._lock:
            found = self._live(key) is not None
            self._entries.pop(key, None)
        return found

    def delete_prefix(self, prefix: str) -> int:
        """Forget all keys that begin with `prefix`; return how many there were."""
        with self._lock:
            return sum(self.delete(key) for key in list(self._entries) if key.startswith(prefix))

    def list_keys(self, prefix: str) -> Iterable[str]:
        """The keys that begin with `prefix`, without expired ones."""
        with self._lock:
            return [
                key
                for key in list(self._entries)
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
            entry = self._live(key)
            if (None if entry is None else entry.context.storage) != expected:
                return False
            self.post(key, new if isinstance(new, Context) else Context(new), ttl, fingerprint)
            return True

    def _live(self, key: str) -> _Entry | None:
        """The entry of a key, unless it has expired."""
        entry = self._entries.get(key)
        if entry is not None and entry.expires is not None and entry.expires <= time.monotonic():
            del self._entries[key]
            return None
        return entry
