"""A thread that looks, every few seconds, for what processes beside this one have left.

It is there from the first report on, also while nothing is reported, and when the servers of the
program are garbage: a worker that was ended beside this one does not wait for the next run.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from dotflow.logging import logger
from dotflow.process.late import renew_when_used

if TYPE_CHECKING:
    from collections.abc import Callable

EVERY = 3.0
"""Seconds between two looks."""


class Watch:
    """Looks for what was left for each destination that this process has reported to."""

    def __init__(self) -> None:
        self.renew()
        renew_when_used(self)

    def renew(self) -> None:
        """Begin with nothing in a forked child: it watches when it has reported something."""
        self._looks: dict[str, Callable[[], None]] = {}
        self._is_over = threading.Event()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def over(self, key: str, look: Callable[[], None]) -> None:
        """Have `look()` called every few seconds, by a thread of its own."""
        self._looks[key] = look
        # Not waited for: whoever holds it, another thread or this one below a handler, starts one.
        if self._thread is not None or not self._starting.acquire(blocking=False):
            return
        try:
            if self._thread is None:
                self._start()
        finally:
            self._starting.release()

    def _start(self) -> None:
        self._is_over = threading.Event()
        thread = threading.Thread(
            target=self._work, args=(self._is_over,), name="dotflow-watch", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:  # at the end of the process
            return
        self._thread = thread

    def leave(self, key: str) -> None:
        """Take back `over`; with the last one the thread ends."""
        self._looks.pop(key, None)
        if not self._looks:
            self._is_over.set()
            self._thread = None

    def _work(self, is_over: threading.Event) -> None:
        while not is_over.wait(EVERY):
            for look in list(self._looks.values()):
                try:
                    look()
                except Exception:  # noqa: BLE001, PERF203 - the others are to be looked at too
                    logger.debug("What others left cannot be looked at.", exc_info=True)


_watch = Watch()
over, leave = _watch.over, _watch.leave
