"""What of a step on Dask runs on the scheduler and on the workers: who may run it, decided once.

Dask gives a step to another worker if the first one died, or seems to have. A step has effects that
must not be had twice, so a worker claims it on the scheduler before it runs it, and leaves its
result there before it begins another. The scheduler sees workers come and go, and tells at once
whose step is lost.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from distributed import get_worker
from distributed.diagnostics.plugin import SchedulerPlugin
from distributed.utils import sync

from dotflow.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

    from distributed import Scheduler, Worker
    from distributed.scheduler import TaskState

NAME = "dotflow-claims-1"
"""Of the plugin; another number where what is said, or how, becomes another."""

BEGAN, ENDED, LOST = "began", "ended", "lost"

PATIENCE = 60.0
"""Seconds in which a worker reaches the scheduler, or does not run the step."""

MOST_LEFT = 16 * 1024 * 1024
"""Bytes of a result that the scheduler hands on. A larger one is fetched from its worker, as Dask
does it, and is lost if the worker dies before that."""

_ONE_TRY = 10.0
"""Seconds for one answer: while a worker dies, a scheduler may have no time."""


class Owner(NamedTuple):
    """Which call runs a step.

    Attributes:
        worker: The address of its worker.
        call: What no other call of the same step has.
        has_ended: Whether its result was handed on.
    """

    worker: str
    call: str
    has_ended: bool = False


class Claims(SchedulerPlugin):  # type: ignore[misc] # its types are no concern of ours
    """Gives each step to one call on one worker, and tells the client of it.

    All methods are called by the scheduler, in its loop.
    """

    idempotent = True
    name = NAME

    def __init__(self) -> None:
        self._owners: dict[str, Owner] = {}
        self._withdrawn: dict[str, set[str]] = {}

    async def start(self, scheduler: Scheduler) -> None:
        """Answer workers and clients from now on."""
        self._scheduler = scheduler
        scheduler.handlers.update(
            dotflow_claim=self.claim, dotflow_end=self.end, dotflow_withdraw=self.withdraw
        )

    def claim(self, key: str, worker: str, call: str, at_ns: int) -> str:
        """Have a step be that of a call.

        Args:
            key: The step's.
            worker: The address of the worker that asks.
            call: What no other call of the same step has; it may ask again.
            at_ns: When it asked first, by the worker's clock.

        Returns:
            Why it must not run it; empty if it may.
        """
        task = self._scheduler.tasks.get(key)
        if task is None or task.processing_on is None or task.processing_on.address != worker:
            return "nobody waits for it here"
        if any(key in self._withdrawn.get(client, ()) for client in _waiting(task)):
            return "it was taken back"
        owner = self._owners.setdefault(key, Owner(worker, call))
        if owner.call != call:
            return f"the worker {owner.worker} began it, and is lost"
        self._tell(task, BEGAN, at_ns)
        return ""

    def end(self, key: str, call: str, answer: bytes) -> None:
        """Hand on the result of a step, from the call that runs it."""
        task, owner = self._scheduler.tasks.get(key), self._owners.get(key)
        if task is not None and owner is not None and owner.call == call:
            self._owners[key] = owner._replace(has_ended=True)
            self._tell(task, ENDED, answer)

    def withdraw(self, key: str, client: str) -> bool:
        """Take a step back; whether it never began, and never will."""
        if key in self._owners:
            return False
        self._withdrawn.setdefault(client, set()).add(key)
        return True

    def remove_worker(self, scheduler: Scheduler, worker: str, **_: Any) -> None:
        """Tell whose steps a worker took with it; not those whose results were moved before."""
        for key, owner in self._owners.items():
            if owner.worker != worker or owner.has_ended:
                continue
            task = scheduler.tasks.get(key)
            if task is not None and task.state != "memory":
                self._tell(task, LOST, worker)

    def transition(self, key: Any, start: str, finish: str, *_: Any, **__: Any) -> None:  # noqa: ARG002
        """Forget a step that the scheduler forgets: nobody may claim it any more."""
        if finish == "forgotten":
            self._owners.pop(key, None)
            for keys in self._withdrawn.values():
                keys.discard(key)

    def remove_client(self, scheduler: Scheduler, client: str) -> None:  # noqa: ARG002
        """Forget what a client took back."""
        self._withdrawn.pop(client, None)

    def _tell(self, task: TaskState, what: str, about: Any) -> None:
        # As an event that the client subscribes to, but kept nowhere: runs come and go for months.
        event = time.time(), (what, task.key, about)
        for client in _waiting(task):
            self._scheduler.client_send(client, {"op": "event", "topic": NAME, "event": event})


def _waiting(task: TaskState) -> list[str]:
    """The ids of the clients that wait for a step."""
    return [client.client_key for client in task.who_wants or ()]


class NotRun(Exception):
    """A worker did not run a step: another had begun it, or nobody waits for it."""


class OtherVersion(Exception):
    """A worker has another dotflow, and did not run the step."""


def run_claimed(call: Callable[[Any], bytes], job: bytes, version: str) -> bytes | None:
    """Call `call(job)` on a worker, if that has not been done before.

    Args:
        call: What runs a step.
        job: The step.
        version: That of the dotflow which sends it.

    Returns:
        Its result; None if the scheduler has that already.

    Raises:
        NotRun: It must not be run here.
        OtherVersion: This dotflow may not know what that one says.
    """
    worker = get_worker()
    if version != __version__:
        raise OtherVersion(f"the worker {worker.address} has dotflow {__version__}")
    ours = {"key": worker.get_current_task(), "call": uuid.uuid4().hex}
    said = {**ours, "worker": worker.address, "at_ns": time.time_ns()}
    try:
        refusal = _asked(worker, worker.scheduler.dotflow_claim, said)
    except TimeoutError:
        refusal = f"the scheduler did not answer the worker {worker.address}"
    if refusal:
        raise NotRun(refusal)
    answer = call(job)
    if len(answer) > MOST_LEFT:
        return answer
    try:
        _asked(worker, worker.scheduler.dotflow_end, {**ours, "answer": answer})
    except TimeoutError:
        return answer
    return None


def _asked(worker: Worker, handler: Any, what: dict[str, Any]) -> Any:
    """What the scheduler answers; it may be asked twice, if an answer is lost.

    Raises:
        TimeoutError: It does not answer.
    """
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        # The names of timeouts differ before Python 3.11.
        with suppress(OSError, TimeoutError, asyncio.TimeoutError):
            return sync(worker.loop, handler, callback_timeout=_ONE_TRY, **what)
        time.sleep(0.1)
    raise TimeoutError
