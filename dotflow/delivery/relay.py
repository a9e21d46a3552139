"""The threads that carry messages from an outbox to where they go."""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING, Protocol

from dotflow.delivery.message import Message, Outcome, Refused, TryLater
from dotflow.delivery.outbox import ADOPT_EVERY
from dotflow.delivery.pace import QUIET, Pace
from dotflow.delivery.state import outbox_dir
from dotflow.logging import logger
from dotflow.process import at_exit
from dotflow.process.forking import renew_in_child

if TYPE_CHECKING:
    from dotflow.delivery.outbox import Counts, Held, Outbox

WORKERS = 4
FIRST_PAUSE = 0.5  # seconds
LONGEST_PAUSE = 30.0  # seconds
MEND_PAUSE = 180.0  # seconds: how often a destination that refuses our token is tried again
LINGER = 10.0  # seconds that a thread and its connection are kept when there is nothing to send
FAILURES_IN_A_ROW = 8  # as many speak of the server, whatever each of them says


class Sender(Protocol):
    """Sends messages; called by the relay's threads, several at a time.

    Attributes:
        name: What a line of the log calls the destination.
        timeout: Seconds that one call may take.
    """

    name: str
    timeout: float

    def send(self, message: Message, server_id: str | None, timeout: float | None) -> Outcome:
        """Send one message, in `timeout` seconds where they are given."""

    def release(self) -> None:
        """Release what this thread holds: a connection."""

    def close(self) -> None:
        """Release what all threads hold."""

    def renewed(self) -> Sender:
        """One for a forked child, which has none of the parent's connections."""


class HeldMessage:
    """A message that waits for somebody to say that it is to be sent; if the process dies, it is.

    Args:
        relay: What sends it.
        outbox: Where it is held.
        message: The message.
    """

    def __init__(self, relay: Relay, outbox: Outbox, message: Message) -> None:
        self._relay = relay
        self._outbox = outbox
        self._message = message
        self._held = outbox.hold(message)

    def send(self) -> None:
        """Send it, under the id that it has."""
        self._relay.put(self._message, self._held)

    def forget(self) -> None:
        """Send it never."""
        if self._held is not None:
            self._outbox.forget([self._held])


class Relay:
    """Sends what the outbox holds, several records at a time; never raises, never blocks a put.

    The threads start when there is something to send, and end some time after all is sent; one
    stays while a run goes on, and gives signs of life. While there is one the relay is alive, and
    is closed at exit. In a forked child it begins anew.

    Args:
        outbox: Where messages wait.
        sender: What sends one.
        workers: How many threads may send at once.
        linger: Seconds that a thread waits for another message before it ends.
    """

    def __init__(
        self, outbox: Outbox, sender: Sender, workers: int = WORKERS, linger: float = LINGER
    ) -> None:
        self._outbox = outbox
        self._sender = sender
        self._workers = workers
        self._linger = linger
        self._complained: set[str] = set()
        self._closing = self._owes_look = False
        self._resume_at = self._asked_until = 0.0
        self._begin()
        renew_in_child(self)
        at_exit.close_at_exit(self)

    @property
    def name(self) -> str:
        """The name of the outbox, which is its destination's."""
        return self._outbox.name or self._sender.name

    def put(self, message: Message, held: Held | None = None) -> None:
        """Hand a message to the outbox; called on the workflow's path.

        Args:
            message: The message.
            held: Where it was held until now, if it was.
        """
        if not self._outbox.put(message, held):
            self._say_what_is_lost(message)
            return
        now = time.monotonic()
        with self._wake:
            begins = self._pace.put(now)
            # In a burst, and while the destination rests, a thread looks by itself.
            if not self._threads or (begins and self._resume_at <= now):
                self._call_worker()

    def hold(self, message: Message) -> HeldMessage:
        """Hold a message that is to be sent if the process dies, or when somebody says so."""
        return HeldMessage(self, self._outbox, message)

    def wake(self, at_once: bool = False) -> None:
        """Look in the background for what dead processes left, also where nothing is put.

        Args:
            at_once: Do it also where somebody looked a moment ago.
        """
        with self._wake:
            self._owes_look = self._owes_look or at_once
            if at_once or not self._threads:
                self._call_worker()

    def adopt(self) -> None:
        """Look now for what dead processes left; `flush` delivers it."""
        self._outbox.care(at_once=True)

    def counts(self) -> Counts:
        """How many messages there are."""
        return self._outbox.counts()

    def hurry(self) -> None:
        """Have all that waits be tried now, but for what the server asked to wait; do not wait."""
        self._outbox.hurry()
        with self._wake:
            self._pace.is_hurried = True
            self._resume_at = self._asked_until
            if not self._threads and self._outbox.counts().pending:
                self._call_worker()
            self._wake.notify_all()

    def flush(self, timeout: float) -> Counts:
        """Wait until all is delivered or dead, or cannot be in time; at most `timeout` seconds."""
        deadline = time.monotonic() + timeout
        self.hurry()
        if not self._threads and not self._closing:
            self._work_here(deadline)
        with self._wake:
            while self._outbox.counts().pending and not self._closing:
                left = deadline - time.monotonic()
                if left <= 0 or self._hopeless(deadline):
                    break
                self._settled.wait(left)
            self._pace.is_hurried = False
        return self._outbox.counts()

    def close(self, timeout: float | None = None) -> Counts:
        """Flush, and end the threads; what is left stays in the outbox."""
        if self._closing:
            return self._outbox.counts()
        deadline = time.monotonic() + (at_exit.flush_timeout() if timeout is None else timeout)
        if (left := deadline - time.monotonic()) > 0:  # else no thread is to start something
            self.flush(left)
        with self._wake:
            self._closing = True
            self._wake.notify_all()
            self._settled.notify_all()
            threads = list(self._threads)
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        at_exit.forget(self)
        self._sender.close()
        self._say_what_is_left(self._outbox.close())
        return self._outbox.counts()

    def renew(self) -> None:
        """Begin anew in a forked child."""
        self._begin()
        self._outbox.after_fork()
        self._sender = self._sender.renewed()

    def _begin(self) -> None:
        lock = threading.RLock()
        self._wake = threading.Condition(lock)
        self._settled = threading.Condition(lock)
        self._threads: set[threading.Thread] = set()
        self._idle = 0
        self._owes_look = False
        self._resume_at = self._asked_until = 0.0
        self._pauses = 0
        self._failures = 0
        self._pace = Pace()

    def _call_worker(self) -> None:
        """Wake a thread, or start one; the lock is held."""
        if self._idle:
            self._wake.notify()
        elif len(self._threads) < self._workers and not self._closing:
            thread = threading.Thread(target=self._work, name="dotflow-relay", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                # None may start when the interpreter ends, or none is left: see _work_here().
                at_exit.keep(self)
            else:
                self._threads.add(thread)
                at_exit.close_in_child()

    def _work(self) -> None:
        while True:
            try:
                is_owed, self._owes_look = self._owes_look, False
                self._outbox.care(at_once=is_owed)
                message = self._next()
                if message is not None:
                    self._deliver(message)
                elif threading.current_thread() not in self._threads:
                    break
            except Exception:  # noqa: BLE001 - a thread that died would end all delivery
                self._complain("fault", "The outbox failed, and is tried again.", fault=True)
                with self._wake:
                    self._wake.wait(FIRST_PAUSE)
        self._sender.release()

    def _work_here(self, deadline: float) -> None:
        """Send from this thread, where no other can be started."""
        while (left := deadline - time.monotonic()) > 0 and not self._threads:
            rest = self._resume_at - time.monotonic()
            claimed = self._outbox.claim(1) if rest <= 0 else []
            if claimed:
                # To connect may take that long, and to answer too.
                self._deliver(claimed[0], min(left / 2, self._sender.timeout))
                continue
            due_in = self._outbox.due_in()
            if due_in is None or max(rest, due_in) >= left:
                break
            time.sleep(max(rest, due_in))

    def _next(self) -> Message | None:
        """Wait for a message that may be sent; None where it is time to look after the outbox.

        A thread that is to end is not among the relay's threads afterwards.
        """
        idle_since = None
        care_at = time.monotonic() + ADOPT_EVERY
        with self._wake:
            while not self._closing:
                now = time.monotonic()
                counts = self._outbox.counts()
                rest = self._pace.rest(now, counts.pending)
                wait: float | None = max(self._resume_at - now, rest)
                if self._resume_at <= now and not rest:
                    claimed = self._outbox.claim(1)
                    wait = self._outbox.due_in()
                    if claimed:
                        self._pace.sent(now)
                        if wait is not None:  # somebody has to be there when it is due
                            self._call_worker()
                        return claimed[0]
                    if self._pace.is_burst(now):  # in which put() wakes nobody
                        wait = QUIET if wait is None else min(wait, QUIET)
                if wait is None and counts.running and len(self._threads) == 1:
                    wait = ADOPT_EVERY
                if wait is None:
                    idle_since = idle_since or now
                    wait = idle_since + self._linger - now
                    if wait <= 0:
                        break
                else:
                    idle_since = None
                if now >= care_at or self._owes_look:
                    return None
                self._idle += 1
                self._settled.notify_all()  # flush() may have nothing more to wait for
                self._wake.wait(min(wait, max(0.0, care_at - now)))
                self._idle -= 1
            self._threads.discard(threading.current_thread())
        return None

    def _deliver(self, message: Message, timeout: float | None = None) -> None:
        outcome = self._send(message, timeout)
        self._outbox.settle(message, outcome)
        with self._wake:
            self._learn(message, outcome)
            self._settled.notify_all()

    def _send(self, message: Message, timeout: float | None) -> Outcome:
        try:
            return self._sender.send(message, self._outbox.server_id(message), timeout)
        except Exception as error:  # noqa: BLE001 - a thread that died would end all delivery
            self._complain("send", "A message could not be sent; it is tried again.", fault=True)
            return TryLater(type(error).__name__)

    def _learn(self, message: Message, outcome: Outcome) -> None:
        """Conclude from one message what to do with the others; the lock is held."""
        if isinstance(outcome, TryLater):
            self._postponed(outcome)
            return
        self._pauses = self._failures = 0
        if isinstance(outcome, Refused):
            self._complain(
                f"refused {outcome.status}",
                f"{self._sender.name} refused the {message.kind.value} of workflow "
                f"{message.workflow} for good: {outcome.reason}. See `dotflow outbox status`; of "
                "further ones like it nothing more is said.",
            )

    def _postponed(self, outcome: TryLater) -> None:
        now = time.monotonic()
        self._failures += 1
        if outcome.mend is not None:
            self._complain(
                outcome.mend,
                f"{self._sender.name} refuses the token ({outcome.reason}): set {outcome.mend}. "
                "Reports are kept meanwhile.",
            )
        else:
            self._complain(
                "later", f"{self._sender.name}: {outcome.reason}; reports wait and go on later."
            )
        if not outcome.everywhere and self._failures < FAILURES_IN_A_ROW:
            return
        if outcome.everywhere and outcome.after:
            self._asked_until = max(self._asked_until, now + outcome.after)
        if self._resume_at <= now:
            self._pauses += 1
            pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(self._pauses - 1, 10))
            pause *= random.uniform(0.8, 1.2)  # noqa: S311 - to spread load, not to keep secrets
            self._resume_at = now + (pause if outcome.mend is None else MEND_PAUSE)
        self._resume_at = max(self._resume_at, self._asked_until)

    def _hopeless(self, deadline: float) -> bool:
        """Whether nothing is under way, and nothing will be before a time; the lock is held."""
        if self._idle < len(self._threads):
            return False
        due_in = self._outbox.due_in()
        due = deadline if due_in is None else time.monotonic() + due_in
        return due >= deadline or self._resume_at >= deadline

    def _say_what_is_left(self, lost: int) -> None:
        pending = self._outbox.counts().pending
        if lost:
            logger.warning(
                "%d reports could not be delivered to %s in time. They were held in memory, and "
                "are lost.", lost, self._sender.name,
            )  # fmt: skip
        if pending > lost:
            logger.warning(
                "%d reports to %s wait in %s: the next run, or `dotflow outbox flush`, sends them.",
                pending - lost, self._sender.name, outbox_dir(),
            )  # fmt: skip

    def _say_what_is_lost(self, message: Message) -> None:
        if self._closing:
            self._complain("closed", "A report came after close(): it is not sent.")
        elif message.final:  # which is never to be lost in silence
            which = "" if message.task is None else f"task {message.task} of "
            logger.warning(
                "The outbox is full: the end of %sworkflow %s is lost.", which, message.workflow
            )
        else:
            self._complain("full", "The outbox is full: reports are lost, counted as dead.")

    def _complain(self, kind: str, text: str, fault: bool = False) -> None:
        """One line a kind of fault, not one a message."""
        if kind not in self._complained:
            self._complained.add(kind)
            logger.warning(text, exc_info=fault)
