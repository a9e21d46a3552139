"""Where the messages of an outbox are kept."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dotflow.delivery.message import Message


class Store(ABC):
    """Keeps messages under numbers that grow. One call at a time: the outbox's lock is held.

    No method raises for want of a disk: what cannot be written is kept in memory.
    """

    @abstractmethod
    def add(self, message: Message) -> int:
        """Keep a message that waits; return its number."""

    @abstractmethod
    def hold(self, message: Message, number: int | None = None) -> int:
        """Keep a message that is to be sent only if the process dies; return its number.

        Args:
            message: The message.
            number: That of a held message in whose place it is to be.
        """

    @abstractmethod
    def change(self, number: int, message: Message) -> None:
        """Keep another message, which waits, in place of one."""

    @abstractmethod
    def body(self, number: int) -> bytes:
        """The body of a message.

        Raises:
            LookupError: It cannot be read.
        """

    @abstractmethod
    def settle(self, number: int) -> None:
        """Keep a message that was delivered as what is last known of its record, which goes on."""

    @abstractmethod
    def remove(self, numbers: Iterable[int]) -> None:
        """Forget messages."""

    @abstractmethod
    def bury(self, number: int, status: int, reason: str, server_id: str | None = None) -> None:
        """Keep a message as a dead letter, with what the server said, and its id of the record."""

    @abstractmethod
    def learn(self, workflow: str, task: int, server_id: str) -> None:
        """Keep the id that the server gave to a task."""

    @abstractmethod
    def forget(self, workflow: str) -> None:
        """Forget the server's ids of a workflow that ended."""

    @abstractmethod
    def beat(self) -> None:
        """Give a sign of life."""

    @abstractmethod
    def close(self) -> int:
        """Release what is open; return how many messages that wait are lost by it."""

    @abstractmethod
    def abandon(self) -> None:
        """Let go in a forked child, without touching what is the parent's."""


class MemoryStore(Store):
    """Keeps messages in memory: what is there when the process ends is lost."""

    def __init__(self) -> None:
        self._bodies: dict[int, bytes] = {}
        self._numbers = itertools.count(1)
        self._settled: set[int] = set()

    def add(self, message: Message) -> int:
        """Keep a message that waits; return its number."""
        number = next(self._numbers)
        self._bodies[number] = message.body
        return number

    def hold(self, message: Message, number: int | None = None) -> int:  # noqa: ARG002
        """Nothing, for nothing outlives the process: there is no number 0."""
        return 0

    def change(self, number: int, message: Message) -> None:
        """Keep another message, which waits, in place of one."""
        self._settled.discard(number)
        self._bodies[number] = message.body

    def body(self, number: int) -> bytes:
        """The body of a message."""
        return self._bodies[number]

    def settle(self, number: int) -> None:
        """Nobody will ask what was last known of a record: the process is gone by then."""
        self._bodies[number] = b""
        self._settled.add(number)

    def remove(self, numbers: Iterable[int]) -> None:
        """Forget messages."""
        for number in numbers:
            self._bodies.pop(number, None)
            self._settled.discard(number)

    def bury(self, number: int, status: int, reason: str, server_id: str | None = None) -> None:  # noqa: ARG002 - only counted
        """Forget a message: it is counted, and was logged."""
        self.remove([number])

    def learn(self, workflow: str, task: int, server_id: str) -> None:
        """Nothing: the outbox knows it as long as there is memory."""

    def forget(self, workflow: str) -> None:
        """Nothing: see `learn`."""

    def beat(self) -> None:
        """Nothing: nobody looks."""

    def close(self) -> int:
        """Release everything; return how many messages are lost by it."""
        lost = len(self._bodies) - len(self._settled)
        self._bodies.clear()
        self._settled.clear()
        return lost

    def abandon(self) -> None:
        """Nothing is shared with the parent."""
