"""The thread that decides what a relay sends: when it works, sleeps and ends; others send."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from dotflow.delivery.relay.patience import FIRST_PAUSE
from dotflow.delivery.relay.senders import Senders
from dotflow.process.pace import Pace

if TYPE_CHECKING:
    from collections.abc import Callable

    from dotflow.delivery.outbox import Outbox
    from dotflow.delivery.relay.flush import Flush
    from dotflow.delivery.relay.rounds import Job, Rounds, Sender

SOON = 0.05
"""Seconds until a line is looked for again that was written while the relay went to sleep."""

REST = 0.05
"""Seconds that the relay sleeps between two looks while reports come fast."""

SENDERS_END = 0.2
"""Seconds that threads which send are waited for when all ends."""


class _Marked(threading.local):
    """Whether a thread is one of the relay's."""

    here = False


class Worker:
    """One thread of a relay, which reads, decides and writes receipts, and wakes those that send.

    It starts when there is something to send, and ends some time after all is sent. Where no thread
    may start, whoever waits for a flush does its work.

    Args:
        outbox: What waits.
        sender: What sends.
        rounds: What is done in each round.
        workers: How many calls may be under way.
        linger: Seconds that the thread waits for something to do before it ends.
        began: Called when a thread has been started.
        stuck: Called when none can be.

    Attributes:
        pace: Whether reports come fast.
        bell: Wakes the thread where it is asleep.
        turn: Held by whoever reads and decides.
        thread: The thread that was started last.
        flushes: Those who wait for all to be sent.
        owes_hurry: Whether the next round is to try all that waits.
        is_closing: Whether the thread is to end, and none is to start.
        is_running: Whether there is a thread, or one is about to start.
        is_asleep: Whether it waits for the bell.
        has_worked: Whether there was one in this process.
        is_ours: Whether a thread is one of the relay's.
    """

    def __init__(
        self, outbox: Outbox, sender: Sender, rounds: Rounds, workers: int, linger: float,
        began: Callable[[], None], stuck: Callable[[], None],
    ) -> None:  # fmt: skip
        self._outbox = outbox
        self._sender = sender
        self._rounds = rounds
        self._workers = workers
        self._linger = linger
        self._began = began
        self._stuck = stuck
        self.pace = Pace()
        self.bell: SimpleQueue[None] = SimpleQueue()
        self.turn = threading.Lock()
        self._starting = threading.Lock()
        self._quiet = threading.Lock()  # held, unless somebody hurries a relay that rests
        self._quiet.acquire()
        self.thread: threading.Thread | None = None
        self.flushes: set[Flush] = set()
        self.owes_hurry = self.is_closing = False
        self.is_running = self.is_asleep = self.has_worked = False
        self.is_ours = _Marked()
        self._process = os.getpid()
        self._here: int | None = None  # the thread of a flush that does the work

    def ring(self) -> None:
        """Wake the relay's thread, or start one."""
        with contextlib.suppress(RuntimeError):  # somebody else did it
            self._quiet.release()
        self.is_asleep = False
        self.bell.put(None)
        if not self.is_running:
            self.start()

    def start(self) -> None:
        """Start the relay's thread, unless somebody is about to."""
        if self.is_closing or not self._starting.acquire(blocking=False):
            return
        try:
            if self.is_running:
                return
            thread = threading.Thread(target=self._work, name="dotflow-relay", daemon=True)
            self.is_running = self.has_worked = True
            try:
                thread.start()
            except RuntimeError:  # none may start when the interpreter ends: see work_here()
                self.is_running = False
                self._stuck()
            else:
                self.thread = thread
                self._began()
        finally:
            self._starting.release()

    def is_over(self, flush: Flush, deadline: float) -> bool:
        """Whether waiting longer changes nothing for a flush."""
        return self.is_closing or flush.is_over(deadline)

    def _work(self) -> None:
        self.is_ours.here = True
        senders = Senders(self._do, self._sender.release, self._workers)
        sent_at = time.monotonic()
        while not self.is_closing:
            try:
                with self.turn:
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
            self.is_running = False
            self._rounds.hold()
        senders.dismiss(SENDERS_END)
        if self._is_called:  # somebody came while this thread ended
            self.start()

    def _may_end(self) -> bool:
        """Whether the thread may end; from then on whoever reports starts another one."""
        if not self._starting.acquire(blocking=False):
            return False
        try:
            self.is_running = False
            self.is_running = self._is_called
            return not self.is_running
        finally:
            self._starting.release()

    @property
    def _is_called(self) -> bool:
        """Whether there is something to do that came since the last step."""
        return (
            self._rounds.owes_look or self.owes_hurry or bool(self.flushes) or self._outbox.has_news
        )

    def _step(self, senders: Senders[Job]) -> float:
        """Go a round; return the seconds until the next, below 0 for a rest that a flush ends."""
        now = time.monotonic()
        flushes, is_owed = list(self.flushes), self.owes_hurry
        if not flushes and not is_owed and self.pace.is_fast(now):
            self._rounds.short(now, senders)
            return -REST
        if is_owed:
            self.owes_hurry = False
        is_calm = bool(flushes) or self.pace.is_calm
        return self._rounds.whole(now, senders, flushes, is_owed, is_calm)

    def _do(self, job: Job) -> None:
        """Send what was handed over; called by a sending thread."""
        self.is_ours.here = True
        if self._rounds.send(job, not self.is_closing):
            self.bell.put(None)

    def work_here(self, flush: Flush, deadline: float) -> None:
        """Send from this thread, if no other can be started."""
        if self._here == threading.get_ident():  # a handler came between: it waits for itself
            flush.stuck_until = deadline
            return
        if not self.turn.acquire(timeout=max(0.0, deadline - time.monotonic())):
            return
        self._here = threading.get_ident()
        try:
            # A signal handler may fork: the child has another worker, and other things to send.
            while os.getpid() == self._process and not self.is_over(flush, deadline):
                if (left := deadline - time.monotonic()) <= 0:
                    break
                self._rounds.alone(flush, left)
        finally:
            self._here = None
            self.turn.release()

    def _wait(self, seconds: float) -> None:
        if seconds < 0:  # a real sleep, whatever is answered meanwhile
            self._quiet.acquire(timeout=-seconds)
            return
        if seconds == 0 or self.is_closing:
            return
        self.is_asleep = True
        try:
            # A line that was written before it slept has woken nobody.
            if self._rounds.patience.resume_at <= time.monotonic() and self._outbox.has_news:
                seconds = min(seconds, SOON)
            with contextlib.suppress(Empty):
                self.bell.get(timeout=seconds)
                while True:
                    self.bell.get_nowait()
        finally:
            self.is_asleep = False

    def breathe(self) -> None:
        """Leave the interpreter to the work, between two slices of what is read."""
        if not self.flushes and self.pace.is_fast(time.monotonic()):
            time.sleep(REST)
