"""Work that keeps no deadline itself, waited for with one."""

from __future__ import annotations

import os
import queue
import threading
import time
import weakref
from collections import deque
from typing import TYPE_CHECKING

from dotflow.logging import logger
from dotflow.process.late import renew_when_used

if TYPE_CHECKING:
    from collections.abc import Callable

_Job = tuple["Callable[[], object]", threading.Event]

MOST_THREADS = 16
"""Threads of a process that wait for such work: a program may make a thousand servers."""


class DeadlineRunner:
    """Runs one piece of work after another in a thread, and stops waiting when time is over.

    The SDK's `force_flush` and `shutdown` take as long as their exporters do. The thread is there
    from the beginning: when the interpreter ends, none can be started any more (Python 3.12). Made
    only then, it works in the caller's thread. The first runners of a process have a thread each;
    further ones share these.
    """

    def __init__(self) -> None:
        self._start()

    def begin(self, work: Callable[[], object]) -> Callable[[float], bool]:
        """Begin something; return what waits for it, at most some seconds.

        That says whether the work ended in time, and neither raised nor returned False. Takes no
        lock that it could wait for: the garbage collector may call it anywhere.
        """
        if self._pid != os.getpid():  # a forked child has none of the parent's threads
            self._start()
        ended_well: list[bool] = []
        done = threading.Event()

        def noted() -> None:
            ended_well.append(work() is not False)

        self._jobs.put((noted, done))
        _threads.see_to(self._jobs)
        return lambda timeout: done.wait(timeout) and ended_well == [True]

    def stop(self) -> None:
        """Have a thread less, once it has nothing to do."""
        _threads.leave(self._jobs)

    def join(self, timeout: float) -> None:
        """Wait at most `timeout` seconds until the threads that nobody needs have ended."""
        _threads.join(timeout)

    def _start(self) -> None:
        self._pid = os.getpid()
        # The jobs, not self: a thread must not keep alive whom it works for.
        self._jobs = _Jobs()
        # Not at exit, where the thread has its last work to do.
        weakref.finalize(self, _threads.leave, self._jobs).atexit = False
        _threads.join_in(self._jobs)


class _Jobs:
    """What one runner has to do, one after another, by whichever thread."""

    def __init__(self) -> None:
        self._waiting: deque[_Job] = deque()
        self._turn = threading.Lock()

    def put(self, job: _Job) -> None:
        """Add a job."""
        self._waiting.append(job)

    def work(self) -> None:
        """Do all, unless another thread is at it."""
        while self._waiting and self._turn.acquire(blocking=False):
            try:
                while self._waiting:
                    _do(*self._waiting.popleft())
            finally:
                self._turn.release()


def _do(work: Callable[[], object], done: threading.Event) -> None:
    try:
        work()
    except Exception:  # noqa: BLE001 - whoever waits is told that it did not end well
        logger.warning("Spans could not be flushed.", exc_info=True)
    finally:
        done.set()


class _Threads:
    """The threads of this process: as many as there are runners, up to a limit."""

    def __init__(self) -> None:
        self.renew()
        renew_when_used(self)

    def renew(self) -> None:
        """Begin with none, in a forked child."""
        self._pid = os.getpid()
        self._queue: queue.SimpleQueue[_Jobs | None] = queue.SimpleQueue()
        self._runners: dict[_Jobs, None] = {}
        self._threads: list[threading.Thread] = []
        self._changing = threading.RLock()

    @property
    def _too_many(self) -> int:
        return len(self._threads) - min(MOST_THREADS, len(self._runners))

    def join_in(self, jobs: _Jobs) -> None:
        """Have a thread more, as long as there may be more."""
        if self._pid != os.getpid():  # a fork that told nobody
            self.renew()
        with self._changing:
            self._runners[jobs] = None
            if self._too_many >= 0:
                return
            thread = threading.Thread(
                target=self._work, args=(self._queue,), name="dotflow-otlp-flush", daemon=True
            )
            self._threads.append(thread)
            try:
                thread.start()
            except RuntimeError:  # the interpreter ends
                self._threads.remove(thread)

    def leave(self, jobs: _Jobs) -> None:
        """Have a thread less, where they were no more than the runners; takes no lock."""
        self._runners.pop(jobs, None)
        self._queue.put(None)

    def see_to(self, jobs: _Jobs) -> None:
        """Have what is to be done be done; here, if there is no thread."""
        self._queue.put(jobs)  # first: a thread that ends looks whether anything came
        if not self._threads:
            jobs.work()

    def join(self, timeout: float) -> None:
        """Wait until those that are too many have ended."""
        deadline = time.monotonic() + timeout
        known = list(self._threads)
        while self._too_many > 0 and time.monotonic() < deadline:
            time.sleep(0.001)
        for thread in known:
            if thread not in self._threads:
                thread.join(max(0.0, deadline - time.monotonic()))

    def _work(self, jobs_of_all: queue.SimpleQueue[_Jobs | None]) -> None:
        while True:
            jobs = jobs_of_all.get()
            if jobs is not None:
                jobs.work()
                del jobs  # not to be held while nothing is to be done
            if self._may_end():
                return

    def _may_end(self) -> bool:
        """Whether this thread may end: not the last one while there is something to be done."""
        with self._changing:
            if self._too_many <= 0:
                return False
            self._threads.remove(threading.current_thread())
            if self._threads or self._queue.empty():
                return True
            self._threads.append(threading.current_thread())
            return False


_threads = _Threads()
