"""Carries what a run log says to one dotflow-api: what those may ask who report, and who wait."""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import TYPE_CHECKING

from dotflow.delivery.relay.flush import Flush
from dotflow.delivery.relay.rounds import Rounds, Sender
from dotflow.delivery.relay.worker import Worker
from dotflow.process import at_exit, watch
from dotflow.process.late import renew_when_used
from dotflow.runlog import lateness

if TYPE_CHECKING:
    from collections.abc import Callable

    from dotflow.delivery.outbox import Counts, Outbox

WORKERS = 8
LINGER = 10.0  # seconds that a thread and its connection are kept when there is nothing to send


class Relay:
    """Sends what an outbox holds; never raises, and never holds up whoever reports.

    The workflow's path only calls `poke`, which takes no lock. One thread reads, decides and writes
    receipts; up to eight more wait for the server. They start when there is something to send, and
    end some time after all is sent; one stays while a run goes on, and gives signs of life. In a
    forked child the relay begins anew.

    Whatever a signal handler may interrupt is safe to be met again by that handler: it only waits
    for a lock with a time limit.

    Args:
        outbox: What waits.
        sender: What sends.
        workers: How many calls may be under way.
        linger: Seconds that a thread waits for something to do before it ends.

    Attributes:
        look: Called every few seconds, from the first report on until the relay is closed, also
            when it is garbage: to look for what processes beside this one have left.
    """

    def __init__(
        self, outbox: Outbox, sender: Sender, workers: int = WORKERS, linger: float = LINGER
    ) -> None:
        self.look: Callable[[], None] | None = None
        self._outbox = outbox
        self._sender = sender
        self._workers = workers
        self._linger = linger
        self._closing = False
        self._begin()
        renew_when_used(self)
        at_exit.close_at_exit(self)

    def _begin(self) -> None:
        self._ending = threading.Lock()
        self._is_read = False
        self._rounds = Rounds(self._outbox, self._sender, self._workers)
        self._worker = Worker(
            self._outbox, self._sender, self._rounds, self._workers, self._linger,
            began=self._began, stuck=partial(at_exit.keep, self),
        )  # fmt: skip
        self._worker.is_closing = self._closing
        self._outbox.breathe = self._worker.breathe

    def _began(self) -> None:
        """Learn that the thread has begun."""
        at_exit.close_in_child()
        if self.look is not None:
            watch.over(self.key, self.look)

    @property
    def name(self) -> str:
        """The name of the outbox, which is its destination's."""
        return self._outbox.name

    @property
    def key(self) -> str:
        """What stands for the destination in lines of the run log."""
        return self._outbox.key

    # What others call.

    def poke(self) -> None:
        """Learn that there is something new in the log; called on the workflow's path."""
        self._worker.pace.reports += 1
        if self._worker.is_asleep:
            self._worker.is_asleep = False
            self._worker.bell.put(None)
        elif not self._worker.is_running:
            self._worker.start()

    def adopt(self) -> None:
        """Look now for what dead processes left; `flush` delivers it."""
        self._rounds.owes_look = True
        self._worker.ring()

    def use(self, token: str) -> bool:
        """Go on with this token, which may mend a refusal; whether it is another."""
        is_other = self._sender.use(token)
        if is_other:
            self.hurry()
        return is_other

    def counts(self) -> Counts:
        """How many messages there are, as the relay's thread last saw it."""
        return self._rounds.counts

    def hurry(self) -> None:
        """Try all that waits now, except what the server asked to wait; do not wait for it."""
        if not self.is_bystander:
            self._worker.owes_hurry = True
            self._worker.ring()

    def flush(self, timeout: float) -> Counts:
        """Wait until all is delivered or dead, or cannot be in time; at most `timeout` seconds."""
        return self._flush(timeout, Flush())

    def deliver(self, timeout: float) -> Counts:
        """The same, but do not wait where the server takes nothing, or was late a moment ago."""
        if lateness.is_late(self.key):
            return self._counts_after(Flush())
        counts = self._flush(timeout, Flush(gives_up=True))
        if counts.pending:
            lateness.note(self.key)
        return counts

    def _flush(self, timeout: float, mine: Flush) -> Counts:
        if self.is_bystander:
            return self._rounds.counts
        # Nobody's worker is held meanwhile: a signal handler may fork, and then there is another.
        deadline = time.monotonic() + timeout
        self._worker.flushes.add(mine)
        try:
            self._worker.ring()
            if self._worker.is_ours.here:  # a finalizer: this thread would wait for itself
                return self._counts_after(mine)
            while not self._worker.is_over(mine, deadline) and time.monotonic() < deadline:
                if self._worker.is_running:
                    mine.wait(deadline - time.monotonic())
                else:
                    self._worker.work_here(mine, deadline)
        finally:
            self._worker.flushes.discard(mine)
        return self._counts_after(mine)

    def close(self, timeout: float | None = None, is_told: bool = True) -> Counts:
        """Flush, and end the threads; what is left stays for the next process.

        Args:
            timeout: Seconds; `DOTFLOW_FLUSH_TIMEOUT` without one.
            is_told: Whether a line says what is left.
        """
        if not self._ending.acquire(blocking=False):  # somebody closes it, or has closed it
            return self._last_counts()
        deadline = time.monotonic() + (at_exit.flush_timeout() if timeout is None else timeout)
        self._outbox.is_ending = True
        try:
            if (left := deadline - time.monotonic()) > 0:  # else no thread is to start something
                self.flush(left)
        except BaseException:  # Ctrl-C: there is still the end of the process
            self._ending.release()
            raise
        self._closing = self._worker.is_closing = True
        watch.leave(self.key)
        self._worker.ring()
        thread = self._worker.thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(max(0.05, deadline - time.monotonic()))
        at_exit.forget(self)
        self._sender.close()
        self._close_outbox(max(0.05, deadline - time.monotonic()))
        if is_told:
            self._rounds.say_what_is_left()
        return self._last_counts()

    def _close_outbox(self, timeout: float) -> None:
        if self._worker.turn.acquire(timeout=timeout):
            try:
                self._rounds.close(timeout)
                self._is_read = not self._rounds.owes_look
            finally:
                self._worker.turn.release()

    def _last_counts(self) -> Counts:
        """The counts; they do not say that nothing waits if not all was read before the end."""
        counts = self._rounds.counts
        return counts if counts.pending or self._is_read else counts._replace(pending=1)

    def renew(self) -> None:
        """Begin anew in a forked child."""
        if not self._closing:  # one that has ended reads no log
            self._outbox = self._outbox.renewed()
        self._sender = self._sender.renewed()
        self._begin()

    @property
    def is_bystander(self) -> bool:
        """Whether this is a child that has nothing to say: what others left is its parent's care.

        A hundred children at a time would each look at the logs of all others.
        """
        return not self._worker.has_worked and at_exit.is_child()

    def _counts_after(self, flush: Flush) -> Counts:
        """The counts; they do not say that nothing waits if that is not known."""
        counts = self._rounds.counts
        if flush.is_drained or counts.pending:
            return counts
        if self._closing:
            return self._last_counts()
        return counts._replace(pending=int(bool(self._rounds.under_way or self._outbox.has_news)))
