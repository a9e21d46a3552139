"""The contract of what runs steps elsewhere: what dotflow needs to know of an executor."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future


class Place(NamedTuple):
    """Where a step ran that was given to an executor.

    Attributes:
        host: The name of the worker's host; empty as long as it is not known.
        process: The number of the worker's process there; 0 as long as it is not known.
        submitted_ns: When it was given to the executor, in nanoseconds since the epoch.
    """

    host: str
    process: int
    submitted_ns: int


class TaskExecutor(ABC):
    """Runs steps on an engine that exists: a pool, a cluster, a batch system.

    A `concurrent.futures.Executor` says neither whether an exception is the step's or means that a
    worker is gone, nor whether what was cancelled had begun. Whoever writes one for an engine says
    that here. All methods are called by the thread that runs the workflow, and do not wait.

    Attributes:
        in_process: Whether steps run in threads of this process: nothing is pickled then.
        knows_main: Whether a worker finds what the program's main module defines by its name, as a
            process that `multiprocessing` has started does.
        is_here: Whether all workers are on this machine, where it is always heard that a step
            began: one that was not heard has not begun then.
        most_in_flight: How many steps may be submitted and not ended at a time; None for any
            number. With as many as there are workers no step waits where it cannot be taken back.
    """

    in_process: bool = False
    knows_main: bool = False
    is_here: bool = False
    most_in_flight: int | None = None

    @abstractmethod
    def submit(
        self,
        call: Callable[[Any], Any],
        job: Any,
        name: str,
        started: Callable[[int], None],
    ) -> Future[Any]:
        """Have `call(job)` run once, and return its future.

        Args:
            call: A function of the dotflow package.
            job: Bytes; with `in_process` any object.
            name: What people call the task; it need not be unique.
            started: May be called, by any thread, once it is known that the call began: with the
                worker's wall-clock time of that, in nanoseconds since the epoch. What is not told
                so is learnt when the call has ended.

        Raises:
            Exception: The engine takes no work.
        """

    def is_worker_lost(self, error: BaseException) -> bool:  # noqa: ARG002
        """Whether an exception of a future means that its worker, or the whole engine, is gone."""
        return False

    def cancel(self, future: Future[Any]) -> bool:
        """Take back what was submitted; whether it surely never begins."""
        return future.cancel()

    def kill(self) -> bool:
        """End all workers with what they run, for a signal ends the program that they are of.

        Returns:
            Whether nothing runs any more. By default they are left alone, and this is False.
        """
        return False

    def release(self, future: Future[Any]) -> None:
        """Let the engine forget a result, which is here now."""
