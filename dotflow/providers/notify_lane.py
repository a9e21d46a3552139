"""Delivers notices to one address, in a thread that is there while there are any."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from dotflow.logging import logger
from dotflow.process import at_exit
from dotflow.process.forking import renew_in_child
from dotflow.process.within import Failed, TookTooLongError, within

if TYPE_CHECKING:
    from dotflow.providers.notices import Message
    from dotflow.providers.notify_addresses import Address

MOST_WAITING = 100
"""Notices that may wait for one address; of more the oldest are dropped."""

PAUSES = (1.0, 5.0)
"""Seconds before the second try, and before the third."""


class Lane:
    """The notices to one address, in order. No method but `close` and `flush` waits.

    Args:
        address: The address.
        timeout: Seconds that one try may take.
    """

    def __init__(self, address: Address, timeout: float) -> None:
        self.address = address
        self._timeout = timeout
        self.renew()
        renew_in_child(self)

    def renew(self) -> None:
        """Begin anew in a forked child: what waits is its parent's."""
        self._waiting: deque[Message] = deque()
        self._is_hurried = threading.Event()
        # Held by who delivers: a thread of ours, or one that waits for the end.
        self._at_work = threading.Lock()
        self._has_said = False

    @property
    def is_away(self) -> bool:
        """Whether the last notice did not arrive."""
        return self._has_said

    def put(self, message: Message) -> None:
        """Have a notice delivered; any thread and any signal handler may call this."""
        at_exit.close_at_exit(self)
        at_exit.close_in_child()
        while len(self._waiting) >= MOST_WAITING:
            self._drop(f"more than {MOST_WAITING} waited")
        self._waiting.append(message)
        self._begin()

    def hurry(self) -> None:
        """Have it pause no more: the process ends."""
        self._is_hurried.set()

    def flush(self, timeout: float) -> bool:
        """Wait until all is delivered, or dropped, at most `timeout` seconds; return whether."""
        deadline = time.monotonic() + timeout
        if not self._at_work.acquire(timeout=max(0.0, timeout)):
            return False
        self._deliver_all(deadline)  # what waits still had no thread
        return not self._waiting

    def close(self, timeout: float | None = None) -> None:
        """Deliver what waits, within `timeout` seconds, and say what could not be."""
        self.hurry()
        if not self.flush(at_exit.flush_timeout() if timeout is None else timeout):
            self._has_said = False
            many = len(self._waiting) + self._at_work.locked()  # one is under way then
            self._waiting.clear()
            self._say(f"{many} of them when the program ended, for there was no time left")

    def _begin(self) -> None:
        if not self._at_work.acquire(blocking=False):
            return
        thread = threading.Thread(target=self._deliver_all, name="dotflow-notify", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the interpreter is at its end: `close` delivers
            self._at_work.release()

    def _deliver_all(self, deadline: float = float("inf")) -> None:
        """Deliver what waits; whoever calls this holds the lock, which is released."""
        while True:
            try:
                while self._waiting and time.monotonic() < deadline:
                    self._deliver(self._waiting.popleft(), deadline)
            finally:
                self._at_work.release()
            # What was put meanwhile found the lock held.
            is_over = not self._waiting or time.monotonic() >= deadline
            if is_over or not self._at_work.acquire(blocking=False):
                return

    def _deliver(self, message: Message, deadline: float) -> None:
        reason = ""
        for pause in (0.0, *PAUSES):
            if pause and not self._is_hurried.is_set():
                self._is_hurried.wait(pause)
            limit = min(self._timeout, deadline - time.monotonic())
            came = within(max(0.0, limit), lambda: self.address.send(*message))
            if came == "":
                self._has_said = False
                return
            if isinstance(came, Failed):
                reason = f"it took more than {limit:.3g} s"
                if isinstance(came.error, TookTooLongError):
                    break  # it may arrive yet
                reason = type(came.error).__name__
            else:
                reason = came
        self._say(f"one: {reason}")

    def _drop(self, why: str) -> None:
        try:
            self._waiting.popleft()
        except IndexError:  # it was just delivered
            return
        self._say(f"one: {why}")

    def _say(self, what: str) -> None:
        """Say what somebody was not told; once, until something arrives there again."""
        if self._has_said:
            return
        self._has_said = True
        logger.warning(
            "Notices do not reach %s; dropped: %s. The work goes on. This line comes once, until "
            "a notice arrives. The addresses are those of NotifyApprise(urls=...), else of "
            "DOTFLOW_NOTIFY_URLS.", self.address.name, what,
        )  # fmt: skip
