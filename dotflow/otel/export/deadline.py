"""Work that keeps no deadline itself, waited for with one."""

from __future__ import annotations

import os
import queue
import threading
import weakref
from typing import TYPE_CHECKING

from dotflow.logging import logger

if TYPE_CHECKING:
    from collections.abc import Callable

_Job = tuple["Callable[[], object]", threading.Event]


class DeadlineRunner:
    """Runs one piece of work after another in a thread, and stops waiting when time is over.

    The SDK's `force_flush` and `shutdown` take as long as their exporters do. The thread is there
    from the beginning: when the interpreter ends, none can be started any more (Python 3.12). Made
    only then, it works in the caller's thread.
    """

    def __init__(self) -> None:
        self._start()

    def begin(self, work: Callable[[], object]) -> Callable[[float], bool]:
        """Begin something; return what waits for it, at most some seconds.

        That says whether the work ended in time, and neither raised nor returned False.
        """
        if self._pid != os.getpid():  # a forked child has none of the parent's threads
            self._start()
        ended_well: list[bool] = []
        done = threading.Event()

        def noted() -> None:
            ended_well.append(work() is not False)

        self._jobs.put((noted, done))
        if self._thread is None:
            self._jobs.put(None)
            _work(self._jobs)
        return lambda timeout: done.wait(timeout) and ended_well == [True]

    def stop(self) -> None:
        """End the thread once what it does is done."""
        self._jobs.put(None)

    def join(self, timeout: float) -> None:
        """Wait at most `timeout` seconds until the thread that was told to has ended."""
        if self._thread is not None:
            self._thread.join(timeout)

    def _start(self) -> None:
        self._pid = os.getpid()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        # Not at exit, where the thread has its last work to do.
        weakref.finalize(self, self._jobs.put, None).atexit = False
        # The queue, not self: a thread must not keep alive whom it works for.
        thread = threading.Thread(
            target=_work, args=(self._jobs,), name="dotflow-otlp-flush", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:
            self._thread: threading.Thread | None = None
        else:
            self._thread = thread


def _work(jobs: queue.SimpleQueue[_Job | None]) -> None:
    while (job := jobs.get()) is not None:
        work, done = job
        try:
            work()
        except Exception:  # noqa: BLE001 - whoever waits is told that it did not end well
            logger.warning("Spans could not be flushed.", exc_info=True)
        finally:
            done.set()
        del job, work
