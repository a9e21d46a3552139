"""The Storage contract: keep results and checkpoints."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dotflow.abc.task import ContextView, TaskView

_ENDING = re.compile(
    r"-(?:-?[0-9]+(?:\.\w+)?|_input_fp|_first_task_id|_steps|_note(?:--?[0-9]+)?)", re.ASCII
)


def is_key_of(workflow_id: str, key: str) -> bool:
    """Whether a key is one that dotflow makes for this very workflow.

    "orders-2026-1" belongs to "orders-2026", and not to "orders".
    """
    return key.startswith(workflow_id) and bool(_ENDING.fullmatch(key, len(workflow_id)))


class Storage(ABC):
    """Keeps the results of tasks: one Context for each key.

    The engine calls `post`, `get` and `key` in the process that called `start()`. If one of them
    raises, the run fails, because it cannot keep its results (a full disk). Raise `ValueNotKept`
    (of `dotflow.core.exception`) if only this value cannot be kept: the run then goes on.

    Attributes:
        lasts: Whether a later process finds what is kept.
    """

    lasts = True

    @abstractmethod
    def post(
        self,
        key: str,
        context: Any,
        ttl: float | None = None,
        fingerprint: str | None = None,
    ) -> None:
        """Keep a context under a key, and replace the context that the key had.

        Args:
            key: What `key()` returned for the task.
            context: The context to keep.
            ttl: After how many seconds the key reads as absent; None for never. The engine never
                passes `ttl` or `fingerprint`, so a storage may leave them out.
            fingerprint: A mark to keep beside the value.

        Raises:
            ValueNotKept: The storage cannot keep this value, and can keep others.
        """

    @abstractmethod
    def get(self, key: str) -> ContextView:
        """The context under a key; an empty context if the key is absent."""

    @abstractmethod
    def key(self, task: TaskView) -> str:
        """The key for a task's result."""

    def clear(self, workflow_id: str) -> None:
        """Forget the results of one workflow, and of no workflow whose id begins the same.

        A storage that cannot list and delete keys forgets all keys that begin with
        `<workflow_id>-`.
        """
        prefix = f"{workflow_id}-"
        try:
            for key in [key for key in self.list_keys(prefix) if is_key_of(workflow_id, key)]:
                self.delete(key)
        except NotImplementedError:
            self.delete_prefix(prefix)

    def release(self, workflow_id: str) -> None:
        """Hear that a workflow with an id made by dotflow is gone. By default nothing happens.

        Its results are useful only to a program that wrote the id down. Any thread calls this
        method at any time, so it must not block.
        """

    def retain(self, workflow_id: str) -> None:
        """Hear that a program gave this id to a workflow. By default nothing happens."""

    def delete(self, key: str) -> bool:
        """Forget a key, and return whether it was there. Optional."""
        raise NotImplementedError(f"{type(self).__name__} cannot delete keys")

    def delete_prefix(self, prefix: str) -> int:
        """Forget all keys that begin with `prefix`, and return how many. Optional."""
        raise NotImplementedError(f"{type(self).__name__} cannot delete keys by prefix")

    def list_keys(self, prefix: str) -> Iterable[str]:
        """The keys that begin with `prefix`, without expired ones. Optional."""
        raise NotImplementedError(f"{type(self).__name__} cannot list its keys")

    def atomic_swap(
        self,
        key: str,
        expected: Any,
        new: Any,
        ttl: float | None = None,
        fingerprint: str | None = None,
    ) -> bool:
        """Replace the value of a key if it equals `expected`, and return whether it did. Optional.

        Args:
            key: The key.
            expected: The value that the key must have; None for an absent key.
            new: The new value, or a Context that holds it.
            ttl: As in `post`, in seconds.
            fingerprint: As in `post`.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot swap values")
