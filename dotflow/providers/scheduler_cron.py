"""Runs a workflow by a cron expression."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import threading
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

from dotflow.abc.scheduler import Scheduler
from dotflow.core import interrupt
from dotflow.core.exception import Interrupted, ModuleNotFound
from dotflow.core.types.overlap import TypeOverlap
from dotflow.logging import logger

try:
    import croniter  # noqa: F401 - what is missing is said where it is needed

    from dotflow.providers.cron_times import CronTimes
except ModuleNotFoundError as error:
    if error.name != "croniter":
        raise
    raise ModuleNotFound("croniter", "dotflow[scheduler]") from error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OVERLAPS = (TypeOverlap.SKIP, TypeOverlap.QUEUE, TypeOverlap.PARALLEL)
SIGNALS = (signal.SIGTERM, signal.SIGINT)
LONGEST_SLEEP = 1.0  # seconds; the clock may be set, and the machine may have slept
SET_BACK = 60.0
"""Seconds by which the clock may be set back (not for summer time) before notice is taken of it."""
MOST_AT_ONCE = 10
PATIENCE = 1.0
"""Seconds in which a further signal is taken for the same: a Ctrl-C often comes twice, from the
terminal and from whoever passes it on."""


class SchedulerCron(Scheduler):
    """Runs a workflow at the times of a cron expression, by the local clock.

    If the clock changes to or from summer time, a run every ten minutes ("*/10 * * * *") goes on as
    time passes, and a run at a certain hour ("30 2 * * *") happens once. If times passed while the
    machine slept, one run makes up for them. With `overlap="parallel"`, give `start` a function
    that makes a new DotFlow for each run, because one DotFlow runs once at a time.

    Args:
        cron: Five fields (minute, hour, day of month, month, day of week), or a sixth: seconds.
        overlap: What to do when a run is due and another still runs: "skip" it, "queue" it
            (at most one waits), or run it in "parallel" (at most 10 at a time).

    Attributes:
        cron: The expression, as given.
        overlap: The overlap, as given.
        running: Whether `start` runs and has not been stopped.

    Raises:
        ValueError: The expression or the overlap is wrong, or the expression has no time at all.
    """

    def __init__(self, cron: str, overlap: str = TypeOverlap.SKIP) -> None:
        self._times = CronTimes(cron)
        if overlap not in OVERLAPS:
            raise ValueError(f"overlap must be one of {', '.join(OVERLAPS)}, not {overlap!r}")
        self.cron = cron
        self.overlap = overlap
        self.running = False
        # A signal handler may put into this queue, whatever the program was about to do.
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._lock = threading.Lock()  # never taken by a signal handler
        self._runs: set[threading.Thread] = set()
        self._is_waiting = False  # a run, for the one under way to end
        self._ended_at = 0.0
        self._work: Callable[[], Any] = _nothing

    def next_time(self, after: datetime | None = None) -> datetime:
        """The next due time after `after`, or after now (datetime, local, without a zone)."""
        return _local(self._times.after((after or _now()).timestamp()))

    def start(self, workflow: Callable[..., Any], **kwargs: Any) -> None:
        """Call `workflow(**kwargs)` in a thread at each due time, until `stop` or a signal.

        SIGTERM and SIGINT stop the scheduler: no further run begins, and `start` waits for the runs
        that go on. A second signal does what it did before `start`.

        Raises:
            RuntimeError: The scheduler runs already.
        """
        if self.running:
            raise RuntimeError("this scheduler runs already: make another one")
        self._work = lambda: workflow(**kwargs)
        self.running = True
        with self._stopped_by_signals():
            try:
                self._loop()
            finally:
                self.running = False
            # A second signal that comes before this leaves at once, too: nothing is waited for.
            under_way = self._others()
            if under_way:
                self.waits(len(under_way))
            for thread in under_way:
                interrupt.join(thread)

    def stop(self, timeout: float | None = None) -> None:
        """Begin no further run, and wait at most `timeout` seconds for the runs that go on."""
        self._end()
        deadline = None if timeout is None else time.monotonic() + timeout
        for thread in self._others():
            thread.join(None if deadline is None else max(0.0, deadline - time.monotonic()))

    def waits(self, under_way: int) -> None:
        """Called when no further run begins and some are waited for; a subclass may say so."""

    def _loop(self) -> None:
        before = _now().timestamp()
        due = self._times.after(before)
        while self.running:
            now = _now().timestamp()
            if now < before - SET_BACK and self._times.is_hourly:
                due = self._times.after(now)
            before = now
            if now < due:
                with contextlib.suppress(queue.Empty), interrupt.window():
                    self._wake.get(timeout=min(due - now, LONGEST_SLEEP))
                continue
            self._begin_run(_local(due))
            due = self._times.after(max(due, _now().timestamp()))

    def _begin_run(self, due: datetime) -> None:
        with self._lock:
            under_way = len(self._runs)
            if not self.running:  # it was stopped this very moment, perhaps by the last run
                return
            if under_way == 0 or (
                self.overlap == TypeOverlap.PARALLEL and under_way < MOST_AT_ONCE
            ):
                thread = threading.Thread(target=self._run, name="dotflow-run", daemon=True)
                thread.start()
                self._runs.add(thread)  # it takes itself out, once it has the lock
                return
            if self.overlap == TypeOverlap.QUEUE and not self._is_waiting:
                self._is_waiting = True
                return
        logger.warning("The run of %s is left out: the one before still runs.", due)

    def _run(self) -> None:
        while True:
            try:
                self._work()
            except Interrupted:
                pass  # who interrupted it knows
            except BaseException:  # noqa: BLE001 - the next run is due all the same
                logger.exception("A scheduled run raised; the next one comes when it is due.")
            with self._lock:
                again, self._is_waiting = self._is_waiting and self.running, False
                if not again:
                    self._runs.discard(threading.current_thread())
                    return

    def _end(self) -> None:
        if self.running:
            self._ended_at = time.monotonic()
        self.running = False
        self._wake.put(None)

    def _others(self) -> set[threading.Thread]:
        """The runs under way, but for one that asks."""
        with self._lock:
            return self._runs - {threading.current_thread()}

    @contextlib.contextmanager
    def _stopped_by_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        process = os.getpid()
        before: dict[signal.Signals, Any] = {}

        def handle(given: int, _frame: Any) -> None:
            number = signal.Signals(given)
            is_ours = os.getpid() == process
            if is_ours and (self.running or time.monotonic() - self._ended_at < PATIENCE):
                self._end()
                return
            # A second signal, or a forked child's: what it was before.
            signal.signal(number, before[number])
            signal.raise_signal(number)
            if is_ours:
                signal.signal(number, handle)

        for number in SIGNALS:
            handler = signal.getsignal(number)
            if handler is not signal.SIG_IGN:
                before[number] = signal.SIG_DFL if handler is None else handler
                signal.signal(number, handle)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _now() -> datetime:
    return datetime.now()  # noqa: DTZ005 - cron means the local clock


def _local(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds)  # noqa: DTZ006


def _nothing() -> None:
    """Run nothing."""
