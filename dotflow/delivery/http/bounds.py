"""What one call may cost, in time and in what is read; what is made within it looks that up."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from dotflow.delivery.http.sockets import Identity

MAX_BYTES = 2**18
"""Bytes of all that a server may say in one call: headers and what frames the body too."""

FIRST = 16
"""Bytes of an answer that are kept, whatever becomes of it."""

within = threading.local()
"""Its `call` is the one that this thread is in."""


class Call:
    """What one call may cost, and how far it came; within it, this thread's calls are bounded.

    It ends within twice its seconds: half of that for the connection, no single wait longer.

    Args:
        seconds: The time for an answer.
        most: Bytes that the body of the answer may have.
        in_all: Seconds for all of it, in place of twice as many.

    Attributes:
        identity: The device and the inode of the socket that the call is on.
        first: The first bytes of the last answer: they show who speaks another protocol.
    """

    def __init__(self, seconds: float, most: int = 0, in_all: float | None = None) -> None:
        self.identity: Identity | None = None
        self.is_connecting = False
        self.is_too_long = False
        self.first = b""
        self._seconds = seconds
        began = time.monotonic()
        self._connected_by = began + seconds
        self._ends = began + (2 * seconds if in_all is None else in_all)
        self._bytes = MAX_BYTES + most

    def __enter__(self) -> Self:
        self._outer = getattr(within, "call", None)  # a signal's handler may call in a call
        within.call = self
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        within.call = self._outer

    def left(self) -> float:
        """Seconds that the next wait may take.

        Raises:
            TimeoutError: None are left.
        """
        ends = self._connected_by if self.is_connecting else self._ends
        left = min(self._seconds, ends - time.monotonic())
        if left <= 0:
            raise TimeoutError("the call is out of time")
        return left

    def count(self, size: int, part: Any) -> None:
        """Take note of bytes that came.

        Raises:
            OSError: They were too many.
        """
        if len(self.first) < FIRST:
            self.first += bytes(part[: min(size, FIRST - len(self.first))])
        self._bytes -= size
        if self._bytes < 0:
            self.is_too_long = True
            raise OSError("the answer is too long")
