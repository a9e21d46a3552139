"""What is known of any `concurrent.futures.Executor`."""

from __future__ import annotations

import sys
from concurrent.futures import BrokenExecutor, Executor, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from dotflow.abc.executor import TaskExecutor

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future


class StandardExecutor(TaskExecutor):
    """Runs steps on any `concurrent.futures.Executor`: a thread pool, a process pool, loky's.

    `start(executor=pool)` makes one for you. A step runs at least once: an engine may run a step
    again if a worker is lost. The pools of the standard library and loky's do not.

    Args:
        executor: The executor. The code that made it shuts it down.
        most_in_flight: How many steps may be submitted and not ended at a time; by default the
            number of the pool's workers if the pool tells it, else no limit.
    """

    def __init__(self, executor: Executor, most_in_flight: int | None = None) -> None:
        self.executor = executor
        is_apart = _is_a(executor, "concurrent.futures.interpreter", "InterpreterPoolExecutor")
        self.in_process = isinstance(executor, ThreadPoolExecutor) and not is_apart
        self.knows_main = _is_a(executor, "concurrent.futures.process", "ProcessPoolExecutor")
        self._is_loky = type(executor).__module__.partition(".")[0] == "loky"
        self.is_here = self.in_process or self.knows_main or self._is_loky
        self.most_in_flight = most_in_flight or _workers_of(executor)

    def submit(
        self,
        call: Callable[[Any], Any],
        job: Any,
        name: str,  # noqa: ARG002
        started: Callable[[int], None],  # noqa: ARG002
    ) -> Future[Any]:
        """Have the executor call it."""
        return self.executor.submit(call, job)

    def is_worker_lost(self, error: BaseException) -> bool:
        """Whether the pool is broken; all that was under way in it is lost then."""
        return isinstance(error, BrokenExecutor)

    def kill(self) -> bool:
        """End the processes of a pool; threads, and what another engine runs, go on."""
        executor: Any = self.executor
        if hasattr(executor, "kill_workers"):  # from Python 3.14 on
            executor.kill_workers()
        elif self.knows_main:
            for process in list((getattr(executor, "_processes", None) or {}).values()):
                process.kill()
        elif self._is_loky:
            executor.shutdown(wait=False, kill_workers=True)
        else:
            return False
        return True


def _is_a(executor: Executor, module: str, name: str) -> bool:
    """Whether it is of a class of a module, which is loaded then."""
    cls = getattr(sys.modules.get(module), name, None)
    return cls is not None and isinstance(executor, cls)


def _workers_of(executor: Executor) -> int | None:
    many = getattr(executor, "_max_workers", None)
    return many if type(many) is int and many > 0 else None
