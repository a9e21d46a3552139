"""The threads that wait for the server, so that the relay's thread need not."""

from __future__ import annotations

import threading
import time
from queue import SimpleQueue
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Job = TypeVar("Job")


class Senders(Generic[Job]):
    """A few threads that work off jobs; one thread owns it, and alone calls it.

    A thread is started if a job would have to wait for one, and ends when it is dismissed.

    Args:
        work: Does a job, and tells whoever has to know; raises nothing.
        end: Called by each thread at its end.
        most: How many threads there may be.
    """

    def __init__(self, work: Callable[[Job], None], end: Callable[[], None], most: int) -> None:
        self._work = work
        self._end = end
        self._most = most
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []

    def hand_over(self, job: Job, under_way: int) -> bool:
        """Have a thread do a job; False if there is none, and none can be started.

        Args:
            job: The job.
            under_way: How many jobs are not done yet, this one included.
        """
        if len(self._threads) < min(self._most, under_way):
            thread = threading.Thread(target=self._serve, name="dotflow-sender", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the interpreter ends, or is out of threads
                if not self._threads:
                    return False
            else:
                self._threads.append(thread)
        self._jobs.put(job)
        return True

    def dismiss(self, wait: float = 0.0) -> None:
        """Have all threads end once they are done; later jobs get new ones.

        Args:
            wait: Seconds to wait for those that are done; one that waits for a server goes on.
        """
        threads, self._threads = self._threads, []
        for _ in threads:
            self._jobs.put(None)
        deadline = time.monotonic() + wait
        for thread in threads if wait else ():
            thread.join(max(0.0, deadline - time.monotonic()))

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._work(job)
            del job  # what was sent is not held until there is more
        self._end()
