"""The TaskExecutor contract: run steps on an engine elsewhere."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future


class Place(NamedTuple):
    """Says where an executor ran a step.

    Attributes:
        host: The name of the worker's host; empty until it is known.
        process: The process id of the worker; 0 until it is known.
        submitted_ns: When the step was submitted, in nanoseconds since the epoch.
    """

    host: str
    process: int
    submitted_ns: int


class TaskExecutor(ABC):
    """Runs steps on an engine: a pool, a cluster, a batch system. Derive an adapter from it.

    The adapter says what a `concurrent.futures.Executor` cannot say: whether an exception means
    that a worker is gone, and whether a cancelled step had begun. The thread that runs the workflow
    calls all methods, and no method may wait.

    Attributes:
        in_process: Whether steps run in threads of this process; then nothing is pickled.
        knows_main: Whether a worker finds the names of the program's main module, as a process that
            `multiprocessing` started does.
        is_here: Whether all workers are on this machine. Then dotflow hears of every step that
            begins, so any other step has not begun.
        most_in_flight: How many steps may be submitted and not ended at a time; None for no limit.
            With the number of workers, no step waits where it cannot be taken back.
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
        """Submit `call(job)` to the engine, and return the future.

        Args:
            call: A function of the dotflow package.
            job: Bytes; any object if `in_process` is true.
            name: The task's name for people; several tasks may have the same name.
            started: Call it, from any thread, as soon as you know that the call began, with the
                worker's wall-clock time in nanoseconds since the epoch. This is optional: without
                it, dotflow learns the time when the call has ended.

        Raises:
            Exception: The engine takes no work.
        """

    def is_worker_lost(self, error: BaseException) -> bool:  # noqa: ARG002
        """Whether an exception of a future means that the worker or the engine is gone."""
        return False

    def cancel(self, future: Future[Any]) -> bool:
        """Take back a submitted step, and return whether it certainly never begins."""
        return future.cancel()

    def kill(self) -> bool:
        """End all workers and their steps; called if a signal ends the program.

        Returns:
            Whether nothing runs any more. By default the workers are left alone: False.
        """
        return False

    def release(self, future: Future[Any]) -> None:
        """Let the engine forget a result that this process has received."""
