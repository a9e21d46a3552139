"""What is on its way to an OTLP endpoint, for those who put it there and wait for it."""

from __future__ import annotations

import threading
import time
import weakref
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from dotflow.logging import logger
from dotflow.otel.export.children import step_child
from dotflow.otel.export.leaving.others import LOOK_AT_CHILDREN
from dotflow.otel.export.leaving.queue import STEP_TIMEOUT, Leaving
from dotflow.otel.export.leaving.sending import Item
from dotflow.process.at_exit import say_left
from dotflow.runlog import files
from dotflow.runlog.writer import run_log

if TYPE_CHECKING:
    from collections.abc import Callable

    from dotflow.otel.export.leaving.sending import Sent
    from dotflow.otel.export.otlp.endpoint import OtlpSettings
    from dotflow.otel.export.otlp.exports import SpanCounts

processors: weakref.WeakSet[Outgoing] = weakref.WeakSet()
"""What sends from this process."""


class Outgoing(Leaving):
    """Hands spans, or log records, to an OTLP exporter, in a thread; none is lost.

    Each is in the run log before it is queued: what finds the queue full, what the endpoint does
    not take and what has not left when the process dies is made again from there. To put one takes
    no lock, so that any thread, signal handler or finalizer may. Only a batch whose answer did not
    come may arrive twice: nobody can know whether the endpoint has it.

    Its arguments and attributes are those of `Leaving`.
    """

    def __init__(
        self,
        settings: OtlpSettings,
        counts: SpanCounts,
        left_for: str | None = None,
        look: Callable[[str, OtlpSettings], None] | None = None,
    ) -> None:
        super().__init__(settings, counts, left_for, look)
        processors.add(self)

    # On the workflow's path.

    def put(self, what: Sent, n: int, base: int) -> None:
        """Have one be sent, which is in the run log; takes no lock.

        Args:
            what: A span, or a log record.
            n: The number of the line that ended it, or tells of it.
            base: The first number that it follows from.
        """
        if self.has_ended or (step_child.is_one and step_child.only_writes):
            return
        item = Item(what, n, base, None)
        queue = self._queue
        if len(queue) >= self.limit and (run_log.is_durable or len(queue) >= self.memory_limit):
            self._log.owe(item)
            return
        queue.append(item)
        if self._is_idle:
            self._is_idle = False
            self._wake()

    def _write(self, line: bytes) -> None:
        """Write a line into the run log."""
        if step_child.is_one:
            step_child.say_so()
        run_log.append(line)

    # Whoever waits for it.

    @property
    def oldest(self) -> int | None:
        """When the first of them ended, in nanoseconds since the epoch; None if none waits here."""
        waiting = [*self._sender.items(), *self._queue.copy()]
        return min((item.at_ns for item in waiting[:1]), default=None)

    @property
    def kept(self) -> int:
        """How many wait for the endpoint to be back."""
        return self.waiting if self.is_away else self._log.waiting

    def watch(self) -> None:
        """Read the logs of children while they live, until `look`."""
        self._runs_in_children += 1
        self._look_at = min(self._look_at, time.monotonic() + LOOK_AT_CHILDREN)
        self._wake()

    def look(self) -> None:
        """Look at once for what children left, and dead processes: a run in children has ended."""
        self._runs_in_children = max(0, self._runs_in_children - 1)
        self._look_at = 0.0
        self._wake()

    def begin_flush(self, timeout: float) -> Callable[[float], bool]:
        """Begin to send all; return what waits for it, at most some seconds, and says if all is.

        A child that only writes has nothing to send, and looks at nobody else's.
        """
        if step_child.only_writes:
            return _nothing_waits
        answer: SimpleQueue[bool] = SimpleQueue()
        self._hurry_until = max(self._hurry_until, time.monotonic() + timeout)
        self._look_at = 0.0
        self._waiters.append(answer)
        self._wake()

        def waited(seconds: float) -> bool:
            self._hurry_until = max(self._hurry_until, time.monotonic() + seconds)
            if self._thread is None:
                self._work_here(time.monotonic() + seconds)
            try:
                is_sent = answer.get(timeout=max(0.0, seconds))
            except Empty:
                return False
            answer.put(is_sent)  # the garbage collector's end and the exit may wait both
            return is_sent

        return waited

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send all, within the time; whether that was done. After the end nothing is to be sent."""
        if self.has_ended or step_child.only_writes:
            return True
        seconds = timeout_millis / 1000
        return self.begin_flush(seconds)(seconds)

    def shutdown(self) -> None:
        """Send what can be at once, and end; called by an application's provider."""
        if not self.has_ended:
            self.force_flush(int(1000 * min(STEP_TIMEOUT, self._sender.timeout)))
            self.end()

    def end(self) -> int:
        """Take no more, and stop; return how many have not left."""
        if self.has_ended:
            return 0
        self.has_ended = True
        left = self.waiting
        self._is_stopped = True
        self._bell.put(None)
        self._sender.stop()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(0.0 if left else STEP_TIMEOUT)
        if step_child.is_one:
            if left:
                self._say_lost(left)
            return left
        is_kept = run_log.is_durable
        self._log.close([*self._queue, *self._sender.items()])
        if left and is_kept and self.is_told:
            say_left(f"{left} {self._signal.what} for {self.name}", files.folder())
        elif left and not is_kept:
            self._say_lost(left)
        return left

    def _say_lost(self, left: int) -> None:
        self.counts.add(failed=left)
        logger.warning("Some %s could not be exported in time, and are lost.", self._signal.what)


def _nothing_waits(_seconds: float) -> bool:
    return True
