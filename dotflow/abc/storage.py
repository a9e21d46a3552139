"""The Storage contract: where results and checkpoints are kept."""

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
    """Keeps one Context a key.

    The engine calls `post`, `get` and `key` in the process that called `start()`. What they raise
    is not swallowed, for a storage that fails (a full disk) is a failure of the run. Only of a
    ValueNotKept (`dotflow.core.exception`) the run takes note and goes on: the value is at fault.

    Attributes:
        lasts: Whether what is kept is there for a later process.
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
        """Keep a context under a key, in place of what was there.

        Args:
            key: What `key()` returned for the task.
            context: The context to keep.
            ttl: Seconds after which the key reads as absent; None for never. The engine gives
                none, so a storage may leave it out, as well as `fingerprint`.
            fingerprint: A mark kept beside the value.

        Raises:
            ValueNotKept: This value cannot be kept, as others can.
        """

    @abstractmethod
    def get(self, key: str) -> ContextView:
        """The context kept under a key; an empty one where there is none."""

    @abstractmethod
    def key(self, task: TaskView) -> str:
        """The key under which a task's result is kept."""

    def clear(self, workflow_id: str) -> None:
        """Forget everything of one workflow, and nothing of one whose id begins the same.

        A storage that cannot list and delete keys forgets all that begin with `<workflow_id>-`.
        """
        prefix = f"{workflow_id}-"
        try:
            for key in [key for key in self.list_keys(prefix) if is_key_of(workflow_id, key)]:
                self.delete(key)
        except NotImplementedError:
            self.delete_prefix(prefix)

    def release(self, workflow_id: str) -> None:
        """Learn that a workflow is gone whose id dotflow made. Optional; does nothing by default.

        Its results are of use only to a program that has written the id down. Called at any
        instant and in any thread, so it must not block.
        """

    def retain(self, workflow_id: str) -> None:
        """Learn that a program gave this id to a workflow. Optional; does nothing by default."""

    def delete(self, key: str) -> bool:
        """Forget a key; return whether it was there. Optional."""
        raise NotImplementedError(f"{type(self).__name__} cannot delete keys")

    def delete_prefix(self, prefix: str) -> int:
        """Forget all keys that begin with `prefix`; return how many. Optional."""
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
        """Replace the value of a key if it equals `expected`; return whether it did. Optional.

        Args:
            key: The key.
            expected: The value that must be there; None for an absent key.
            new: The value, or a Context that holds it.
            ttl: Seconds; as in `post`.
            fingerprint: As in `post`.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot swap values")
