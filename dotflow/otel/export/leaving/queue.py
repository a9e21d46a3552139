"""What leaves for an OTLP endpoint: a queue, and the thread that empties it."""

from __future__ import annotations

import threading
import time
from collections import deque
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from dotflow.logging import logger
from dotflow.otel.export.children import step_child
from dotflow.otel.export.leaving.log import OwnLog
from dotflow.otel.export.leaving.rhythm import (
    BURST_BATCH,
    BURST_SHARE,
    CARE,
    FIRST_LOOK,
    POLL,
    QUIET,
)
from dotflow.otel.export.leaving.sending import Item, Sender
from dotflow.otel.export.otlp.endpoint import endpoint_name
from dotflow.otel.export.otlp.exports import (
    MEMORY_QUEUE_SIZE,
    SpanCounts,
    batch_size,
    queue_size,
    schedule_delay,
)
from dotflow.process import watch
from dotflow.process.late import renew_when_used
from dotflow.process.pace import Pace
from dotflow.runlog import files
from dotflow.runlog.lines import RunLines
from dotflow.runlog.waits import Waits
from dotflow.runlog.writer import run_log

if TYPE_CHECKING:
    from collections.abc import Callable

    from dotflow.otel.export.otlp.endpoint import OtlpSettings

STEP_TIMEOUT = 2.0
"""Seconds for an export in a child that runs one step: the run waits for its end."""


class Leaving:
    """Has a thread send what is in a queue, and in the run log, to an OTLP exporter.

    Args:
        settings: Which endpoint.
        counts: Where it is counted what becomes of them.
        left_for: The name of the endpoint for which it sends what dead processes left; its own
            without one.
        look: Sees to what other processes leave for the endpoint once none of this one sends for
            it, each few seconds; called with the endpoint's key and the settings.

    Attributes:
        name: What a line of the log calls the endpoint, without credentials.
        key: What stands for it in lines of the run log.
        counts: What becomes of what is sent.
        is_told: Whether a line says what is left at the end.

    Raises:
        ValueError: The endpoint's address is none.
    """

    def __init__(
        self,
        settings: OtlpSettings,
        counts: SpanCounts,
        left_for: str | None = None,
        look: Callable[[str, OtlpSettings], None] | None = None,
    ) -> None:
        self.name = endpoint_name(settings)
        self.key = files.reader_key(left_for or self.name)
        self.is_told = True
        signal = self._signal = settings.signal
        self.limit, self._batch = queue_size(signal), batch_size(signal)
        self.memory_limit = queue_size(signal, MEMORY_QUEUE_SIZE)
        self._delay = schedule_delay(signal)
        self.counts = counts
        self._lines = RunLines("", 0, {self.key: signal.what})
        self._sender = Sender(settings, counts, self.name, Waits(self.key))
        self._look_on = None if look is None else partial(look, self.key, settings)
        self.has_ended = False
        run_log.read_by(self.key, left_for or self.name)
        self._begin()
        renew_when_used(self)
        if not step_child.only_writes:
            self._start()

    def _begin(self) -> None:
        self._queue: deque[Item] = deque()
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._waiters: deque[SimpleQueue[bool]] = deque()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_idle = True
        self._is_here = self._is_stopped = False
        self._hurry_until = 0.0
        self._first_at: float | None = None
        self._pace, self._seen = Pace(), 0
        self._burst_until = 0.0
        self._care_at = 0.0
        self._look_at = time.monotonic() + FIRST_LOOK
        self._runs_in_children = 0
        self._log = OwnLog(self.key, self.counts, self._signal)

    def renew(self) -> None:
        """Begin with nothing in a forked child: what waits is the parent's to send."""
        self._sender.renew(STEP_TIMEOUT)
        self._log.forget()
        self._begin()

    @property
    def waiting(self) -> int:
        """How many have not left."""
        return len(self._queue) + self._sender.waiting + self._log.waiting

    @property
    def is_at_work(self) -> bool:
        """Whether a thread of this process sends for it."""
        return self._thread is not None and not self.has_ended

    @property
    def is_away(self) -> bool:
        """Whether the endpoint did not take what it was sent last."""
        return self._sender.is_away

    # The thread.

    def _wake(self) -> None:
        if self._thread is None:
            self._start()
        self._bell.put(None)

    def _start(self) -> None:
        if not self._starting.acquire(blocking=False):
            return
        try:
            if self._thread is None and not self._is_stopped:
                thread = threading.Thread(target=self._work, name="dotflow-otlp", daemon=True)
                thread.start()
                self._thread = thread
                if self._look_on is not None:
                    watch.over(self.key, self._look_on)
        except RuntimeError:  # at the end of the process: the log has them
            logger.debug("No thread can be started to export any more.")
        finally:
            self._starting.release()

    def _work_here(self, deadline: float) -> None:
        """Send from this thread: at the end of the interpreter no other may be started."""
        if not self._sender.waiting:
            self._sender.renew(max(0.1, deadline - time.monotonic()))
        while not self._is_here and self._waiters and (left := deadline - time.monotonic()) > 0:
            self._is_here = True  # a signal handler may come between, and flush
            try:
                pause = self._step()
            finally:
                self._is_here = False
            time.sleep(max(0.0, min(pause, left)))

    def _work(self) -> None:
        while not self._is_stopped:
            try:
                pause = self._step()
            except Exception:  # noqa: BLE001 - a thread that died would hold all that come
                logger.warning(
                    "%s could not be exported; dotflow tries again.",
                    self._signal.what.capitalize(), exc_info=True,
                )  # fmt: skip
                pause = 1.0
            if pause > 0:
                self._rest(pause)

    def _rest(self, seconds: float) -> None:
        """Sleep until somebody calls, at most some seconds."""
        if not self._queue:
            self._is_idle = True
        try:
            # One may have come before it was said that nobody looks.
            self._bell.get(timeout=0.0 if self._is_idle and self._queue else seconds)
            while True:
                self._bell.get_nowait()
        except Empty:
            pass
        self._is_idle = False

    def _step(self) -> float:
        """Do what is due; return the seconds to rest."""
        waiters = len(self._waiters)  # who comes later has not been looked for yet
        now = time.monotonic()
        is_hurried = now < self._hurry_until
        count = len(self._queue)
        if not count:
            self._first_at, self._seen = None, self._kept_back
        elif self._first_at is None:
            self._first_at, self._burst_until = now, now + QUIET
        if is_hurried or not count:
            self._see_to_others(now)
        if not self.waiting:
            self._answer(True, waiters)
            return min(CARE, max(0.01, self._look_at - now))
        pause = self._sender.pause(now, is_hurried)
        if pause > 0:
            self._see_to_others(now)
            return min(pause, CARE)
        if is_hurried or not count or self._is_filling(count):
            self._export(self._batch)
            return 0.0
        return self._step_of_day(now, count)

    def _step_of_day(self, now: float, count: int) -> float:
        """Do what is due while nobody waits for it."""
        first_at = self._first_at or now
        is_due = count >= self._batch or now - first_at >= self._delay
        if self._is_fast(now):
            if is_due and now >= self._burst_until:
                began = time.thread_time()
                self._send_of(BURST_BATCH)
                self._burst_until = time.monotonic() + BURST_SHARE * (time.thread_time() - began)
            return POLL
        self._see_to_others(now)
        if is_due:
            self._send_of(self._batch)
            self._first_at = None
            return 0.0
        return min(5 * POLL, first_at + self._delay - now + 0.001)

    def _is_filling(self, count: int) -> bool:
        """Whether those that find no room will be lost: then none may wait for a better moment."""
        return count > self.memory_limit // 4 and not run_log.is_durable

    def _is_fast(self, now: float) -> bool:
        """Whether more come so fast that those that wait should wait on."""
        waiting = self._kept_back
        self._pace.reports += max(0, waiting - self._seen)
        self._seen = waiting
        return self._pace.is_fast(now)

    def _send_of(self, most: int) -> None:
        """Send a batch of what waits; what came meanwhile is seen to have come."""
        self._seen = max(0, self._seen - most)
        self._export(most)

    @property
    def _kept_back(self) -> int:
        """How many have not been sent once: in memory, and in the log for want of room."""
        return len(self._queue) + len(self._log.owed)

    def _export(self, most: int) -> None:
        """Send a batch: what failed, what was queued, else what is in the log alone."""
        batch = self._sender.next_batch(self._queue, most)
        if batch is None:
            batch = self._sender.batch_of(self._log.owed_items(most))
        if batch is None:
            return
        is_over = self._sender.send(batch) or batch.is_lost
        self._log.left([*batch.gone, *(batch.items if is_over else ())])
        batch.gone = []

    def _see_to_others(self, now: float) -> None:
        """Give a sign of life, and look for what children and dead processes left."""
        if now >= self._care_at:
            self._care_at = now + CARE
            self._log.care([*self._queue, *self._sender.items()])
        if self._sender.is_away and now >= self._hurry_until:
            return
        if now >= self._look_at:
            again, self._look_at = CARE, float("inf")
            try:
                others = self._log.others
                again = others.look(self._runs_in_children > 0, is_asked=bool(self._waiters))
            finally:  # who wants another look meanwhile gets one
                self._look_at = min(self._look_at, now + again)
        room = self.limit // 2 - len(self._queue)
        if room > 0:
            for item in self._log.others.more(min(room, self._batch)):
                self._queue.append(item)
                self._first_at = float("-inf")  # it has waited long enough

    def _answer(self, is_all: bool, waiters: int) -> None:
        """Tell those who had asked for it before the last look."""
        for _ in range(min(waiters, len(self._waiters))):
            self._waiters.popleft().put(is_all)
        if not self._waiters:
            self._hurry_until = 0.0
