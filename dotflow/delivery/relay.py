"""Carries what a run log says to one dotflow-api; a thread of its own decides, others send."""

from __future__ import annotations

import contextlib
import threading
import time
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from dotflow.delivery.patience import FIRST_PAUSE
from dotflow.delivery.rounds import Flush, Rounds, Sender
from dotflow.delivery.senders import Senders
from dotflow.process import at_exit, watch
from dotflow.process.late import renew_when_used
from dotflow.runlog import lateness

if TYPE_CHECKING:
    from collections.abc import Callable

    from dotflow.delivery.outbox import Counts, Outbox
    from dotflow.delivery.rounds import Job

WORKERS = 8
LINGER = 10.0  # seconds that a thread and its connection are kept when there is nothing to send
SOON = 0.05
"""Seconds until a line is looked for again that was written while the relay went to sleep."""

QUIET = 0.005
"""Seconds without a report: the work has better to do than to report."""

REST = 0.05
"""Seconds that the relay sleeps between two looks in a burst."""

SENDERS_END = 0.2
"""Seconds that threads which send are waited for when all ends."""


class Pace:
    """Tells a reader of the log whether reports come thick and fast.

    Reading costs more than reporting, and both share one interpreter: a thread that reads holds up
    the workflow. So in a burst of reports little is read and sent, and the rest when it is over:
    what waits is on disk. Takes no lock.

    Attributes:
        last: When the last report came, by the monotonic clock; the workflow's path sets it.
    """

    __slots__ = ("last",)

    def __init__(self) -> None:
        self.last = float("-inf")

    def is_burst(self, now: float) -> bool:
        """Whether the last report is so fresh that another one may follow at once."""
        return now < self.last + QUIET


class _Marked(threading.local):
    """Whether a thread is one of the relay's."""

    here = False


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
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._turn = threading.Lock()  # held by the thread that reads and decides
        self._starting = threading.Lock()
        self._ending = threading.Lock()
        self._quiet = threading.Lock()  # held, unless somebody hurries a relay that rests
        self._quiet.acquire()
        self._thread: threading.Thread | None = None
        self._worker: int | None = None
        self._is_running = self._is_asleep = False
        self._has_worked = False
        self._flushes: set[Flush] = set()
        self._owes_hurry = self._is_read = False
        self._pace = Pace()
        self._is_ours = _Marked()
        self._rounds = Rounds(self._outbox, self._sender, self._workers)
        self._outbox.breathe = self._breathe

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
        self._pace.last = time.monotonic()
        if self._is_asleep:
            self._is_asleep = False
            self._bell.put(None)
        elif not self._is_running:
            self._start()

    def adopt(self) -> None:
        """Look now for what dead processes left; `flush` delivers it."""
        self._rounds.owes_look = True
        self._ring()

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
            self._owes_hurry = True
            self._ring()

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
        deadline = time.monotonic() + timeout
        self._flushes.add(mine)
        try:
            self._ring()
            if self._is_ours.here:  # a finalizer: this thread would wait for itself
                return self._counts_after(mine)
            while not self._is_over(mine, deadline) and time.monotonic() < deadline:
                if self._is_running:
                    mine.wait(deadline - time.monotonic())
                else:
                    self._work_here(mine, deadline)
        finally:
            self._flushes.discard(mine)
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
        self._closing = True
        watch.leave(self.key)
        self._ring()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(max(0.05, deadline - time.monotonic()))
        at_exit.forget(self)
        self._sender.close()
        self._close_outbox(max(0.05, deadline - time.monotonic()))
        if is_told:
            self._rounds.say_what_is_left()
        return self._last_counts()

    def _close_outbox(self, timeout: float) -> None:
        if self._turn.acquire(timeout=timeout):
            try:
                self._rounds.close(timeout)
                self._is_read = not self._rounds.owes_look
            finally:
                self._turn.release()

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
        return not self._has_worked and at_exit.is_child()

    def _ring(self) -> None:
        """Wake the relay's thread, or start one."""
        with contextlib.suppress(RuntimeError):  # somebody else did it
            self._quiet.release()
        self._is_asleep = False
        self._bell.put(None)
        if not self._is_running:
            self._start()

    def _start(self) -> None:
        """Start the relay's thread, unless somebody is about to."""
        if self._closing or not self._starting.acquire(blocking=False):
            return
        try:
            if self._is_running:
                return
            thread = threading.Thread(target=self._work, name="dotflow-relay", daemon=True)
            self._is_running = self._has_worked = True
            try:
                thread.start()
            except RuntimeError:  # none may start when the interpreter ends: see _work_here()
                self._is_running = False
                at_exit.keep(self)
            else:
                self._thread = thread
                at_exit.close_in_child()
                if self.look is not None:
                    watch.over(self.key, self.look)
        finally:
            self._starting.release()

    def _is_over(self, flush: Flush, deadline: float) -> bool:
        return self._closing or flush.is_over(deadline)

    def _counts_after(self, flush: Flush) -> Counts:
        """The counts; they do not say that nothing waits if that is not known."""
        counts = self._rounds.counts
        if flush.is_drained or counts.pending:
            return counts
        if self._closing:
            return self._last_counts()
        return counts._replace(pending=int(bool(self._rounds.under_way or self._outbox.has_news)))

    # What the relay's thread does.

    def _work(self) -> None:
        self._is_ours.here = True
        senders = Senders(self._do, self._sender.release, self._workers)
        sent_at = time.monotonic()
        while not self._closing:
            try:
                with self._turn:
                    wait = self._step(senders)
                now = time.monotonic()
                if self._rounds.under_way or wait < 0:
                    sent_at = now
                elif now - sent_at < self._linger:
                    wait = min(wait, max(0.01, sent_at + self._linger - now))
                else:
                    senders.dismiss()
                    if self._rounds.is_idle and self._may_end():
                        break
                self._wait(wait)
            except Exception:  # noqa: BLE001 - a thread that died would end all delivery
                text = "The outbox failed, and is tried again."
                self._rounds.patience.complain("fault", text, fault=True)
                time.sleep(FIRST_PAUSE)
        else:
            self._is_running = False
            self._rounds.hold()
        senders.dismiss(SENDERS_END)
        if self._is_called:  # somebody came while this thread ended
            self._start()

    def _may_end(self) -> bool:
        """Whether the thread may end; from then on whoever reports starts another one."""
        if not self._starting.acquire(blocking=False):
            return False
        try:
            self._is_running = False
            self._is_running = self._is_called
            return not self._is_running
        finally:
            self._starting.release()

    @property
    def _is_called(self) -> bool:
        """Whether there is something to do that came since the last step."""
        return (
            self._rounds.owes_look
            or self._owes_hurry
            or bool(self._flushes)
            or self._outbox.has_news
        )

    def _step(self, senders: Senders[Job]) -> float:
        """Go a round; return the seconds until the next, below 0 for a rest that a flush ends."""
        now = time.monotonic()
        flushes, is_owed = list(self._flushes), self._owes_hurry
        if not flushes and not is_owed and self._pace.is_burst(now):
            self._rounds.short(now, senders)
            return -REST
        if is_owed:
            self._owes_hurry = False
        is_calm = bool(flushes) or now > self._pace.last + REST
        return self._rounds.whole(now, senders, flushes, is_owed, is_calm)

    def _do(self, job: Job) -> None:
        """Send what was handed over; called by a sending thread."""
        self._is_ours.here = True
        if self._rounds.send(job):
            self._bell.put(None)

    def _work_here(self, flush: Flush, deadline: float) -> None:
        """Send from this thread, if no other can be started."""
        if self._worker == threading.get_ident():  # a handler came between: it waits for itself
            flush.stuck_until = deadline
            return
        if not self._turn.acquire(timeout=max(0.0, deadline - time.monotonic())):
            return
        self._worker = threading.get_ident()
        try:
            while (left := deadline - time.monotonic()) > 0 and not self._is_over(flush, deadline):
                self._rounds.alone(flush, left)
        finally:
            self._worker = None
            self._turn.release()

    def _wait(self, seconds: float) -> None:
        if seconds < 0:  # a real sleep, whatever is answered meanwhile
            self._quiet.acquire(timeout=-seconds)
            return
        if seconds == 0 or self._closing:
            return
        self._is_asleep = True
        try:
            # A line that was written before it slept has woken nobody.
            if self._rounds.patience.resume_at <= time.monotonic() and self._outbox.has_news:
                seconds = min(seconds, SOON)
            with contextlib.suppress(Empty):
                self._bell.get(timeout=seconds)
                while True:
                    self._bell.get_nowait()
        finally:
            self._is_asleep = False

    def _breathe(self) -> None:
        """Leave the interpreter to the work, between two slices of what is read."""
        if not self._flushes and self._pace.is_burst(time.monotonic()):
            time.sleep(REST)
