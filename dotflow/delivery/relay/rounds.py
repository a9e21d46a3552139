"""The rounds of delivery: read the log, claim messages, send them, note what became of them."""

from __future__ import annotations

import math
import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple, Protocol

from dotflow.delivery.message import Message, NotSent, Outcome, TryLater
from dotflow.delivery.outbox import Counts
from dotflow.delivery.relay.patience import Patience
from dotflow.logging import logger
from dotflow.process.at_exit import flush_timeout, say_left
from dotflow.runlog import files
from dotflow.runlog.waits import Waits

if TYPE_CHECKING:
    from dotflow.delivery.order.flight import Flight
    from dotflow.delivery.outbox import Outbox
    from dotflow.delivery.relay.flush import Flush
    from dotflow.delivery.relay.senders import Senders

BULK_BYTES = 5 * 2**20 - 2**10
"""Bytes that the messages of one bulk may have together."""

CARE_EVERY = 10.0
"""Seconds between two signs of life."""

BREATH = 0.001
"""Seconds that the log is read in a burst of reports."""

POLL = 0.002
"""Seconds between two looks of a thread that sends by itself."""

AHEAD = 2
"""Calls for each thread that wait for it while all goes well: it need not wait for the relay's."""

STALE = 0.05
"""Seconds that answers may wait for others, and are noted together with them."""


class Sender(Protocol):
    """Sends messages; called by several threads at a time.

    Attributes:
        name: What a line of the log calls the destination.
        timeout: Seconds that one call may take.
    """

    name: str
    timeout: float

    @property
    def bulk_limit(self) -> int:
        """How many messages one call may take; 0 as long as the server has not said so."""

    def send(self, message: Message, server_id: str | None, timeout: float | None) -> Outcome:
        """Send one message, in `timeout` seconds if they are given."""

    def send_bulk(self, messages: list[Message], timeout: float | None) -> list[Outcome]:
        """Send several messages in one call; what became of each."""

    def release(self) -> None:
        """Release what this thread holds: a connection."""

    def close(self) -> None:
        """Release what all threads hold."""

    def use(self, token: str) -> bool:
        """Go on with this token; whether it is another."""

    def renewed(self) -> Sender:
        """One for a forked child, which has none of the parent's connections."""


class Permit:
    """Whether calls that were handed over may begin: not once one is to be tried again later."""

    __slots__ = ("is_revoked",)

    def __init__(self) -> None:
        self.is_revoked = False


class Job(NamedTuple):
    """What goes in one call, and whether it may begin."""

    flights: list[Flight]
    permit: Permit


class Rounds:
    """Decides what is sent, and notes what became of it; one thread at a time calls it.

    Args:
        outbox: What waits.
        sender: What sends.
        workers: How many calls may be under way.

    Attributes:
        counts: How many messages there were after the last round.
        under_way: How many calls are handed over, and not noted as answered.
        patience: When the destination is tried again.
        owes_look: Whether what dead processes left is to be looked for at once.
    """

    def __init__(self, outbox: Outbox, sender: Sender, workers: int) -> None:
        self.counts = Counts()
        self.under_way = 0
        self.patience = Patience(sender.name, Waits(outbox.key))
        self.owes_look = False
        self._outbox = outbox
        self._sender = sender
        self._workers = workers
        self._answers: deque[tuple[list[Flight], list[Outcome] | None]] = deque()
        self._permit = Permit()
        self._goes_well = False
        self._most = workers
        self._looked_at = self._care_at = 0.0
        self._is_kept = False

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits, and no run is under way that needs a sign of life."""
        return not (self.under_way or self.counts.pending or self.counts.running)

    def whole(
        self, now: float, senders: Senders[Job], flushes: list[Flush], is_hurried: bool,
        is_calm: bool = True,
    ) -> float:  # fmt: skip
        """Do all that can be done now.

        Args:
            now: The time.
            senders: The threads that send.
            flushes: Those that wait for it.
            is_hurried: Whether pauses end now, unless the server asked for them.
            is_calm: Whether no report came for a while, or somebody waits for the delivery.

        Returns:
            Seconds until there may be more to do.
        """
        self._care(now)
        self._take_answers()
        if is_hurried or not all(one.is_begun for one in flushes):
            self._hurry(now, flushes)
        more = self._outbox.read()
        leads = self._goes_well and is_calm and self._sender.bulk_limit <= 1
        self._most = self._workers * (1 + AHEAD if leads else 1)
        if self.patience.resume_at <= now:
            self._dispatch(senders, self._most)
        self.counts = counts = self._outbox.counts()
        wait = self._until_next(now)
        if self._answers:
            return 0.0
        if self.under_way:
            return min(wait, CARE_EVERY if self.under_way <= self._low else STALE)
        if not counts.pending:
            for flush in flushes:
                flush.tell()
            self.patience.nothing_waits()
            return CARE_EVERY
        if more and wait <= 0:
            return 0.0
        for flush in flushes:
            flush.tell(now + wait)
        return min(max(wait, 0.01), CARE_EVERY)

    @property
    def _low(self) -> int:
        """How many calls without an answer are so few that each answer wakes the relay's thread."""
        return (self._workers + self._most) // 2

    def _until_next(self, now: float) -> float:
        """Seconds until something more may be sent if no answer and no report comes before."""
        due_in = self._outbox.lanes.due_in()
        if due_in is None or self.under_way >= self._most:
            return math.inf
        return max(due_in, self.patience.resume_at - now, 0.02 if self.under_way else 0.0)

    def short(self, now: float, senders: Senders[Job]) -> None:
        """Read a little, and send one message, so that the run is seen while it goes on.

        Args:
            now: The time.
            senders: The threads that send.
        """
        self._care(now)
        self._take_answers()
        self.hold()  # what waits for a thread waits until the burst is over
        self._outbox.read(BREATH)
        if self.patience.resume_at <= now and not self.under_way:
            self._dispatch(senders, 1)

    def _care(self, now: float) -> None:
        is_owed = self.owes_look
        if is_owed or now >= self._care_at:
            self.owes_look = False
            self._care_at = now + CARE_EVERY
            self._outbox.care(at_once=is_owed)

    # Sending.

    def _dispatch(self, senders: Senders[Job], most: int) -> None:
        """Hand messages to the threads that send, in bulks if the server takes them."""
        takes_bulks = most > 1 and self._sender.bulk_limit > 1
        while (room := most - self.under_way) > 0:
            if takes_bulks:
                calls = [self._outbox.claim_bulk(self._sender.bulk_limit, BULK_BYTES)]
            else:
                calls = [[flight] for flight in self._outbox.claim(room)]
            if not any(calls):
                return
            for flights in calls:
                self._hand_over(senders, flights)

    def _hand_over(self, senders: Senders[Job], flights: list[Flight]) -> None:
        self.under_way += 1
        if not senders.hand_over(Job(flights, self._permit), self.under_way):
            self._settle([(flights, self._send(flights, None))])

    def send(self, job: Job, may_begin: bool = True) -> bool:
        """Send what was handed over; the only method that the sending threads call.

        Args:
            job: What is to be sent.
            may_begin: Whether calls may begin at all.

        Returns:
            Whether the relay's thread has something to do that should not wait.
        """
        is_held = job.permit.is_revoked or not may_begin
        outcomes = None if is_held else self._send(job.flights, None)
        goes_well = _go_well(outcomes)
        if not goes_well:  # before the answer is seen: what is handed over after that may begin
            self._permit.is_revoked = True
        self._answers.append((job.flights, outcomes))
        is_low = self.under_way - len(self._answers) <= self._low
        return not goes_well or is_low or time.monotonic() > self._looked_at + STALE

    def hold(self) -> None:
        """Have nothing begin that was handed over and waits for a thread."""
        self._permit.is_revoked = True
        self._permit = Permit()

    def _send(self, flights: list[Flight], timeout: float | None) -> list[Outcome]:
        try:
            messages = [one.message for one in flights]
            if len(messages) > 1:
                return self._sender.send_bulk(messages, timeout)
            [message] = messages
            server_id = self._outbox.lanes.ids.get(message.workflow, message.task)
            return [self._sender.send(message, server_id, timeout)]
        except Exception as error:  # noqa: BLE001 - a thread that died would end all delivery
            self.patience.complain(
                "send", "A message could not be sent; dotflow tries again.", fault=True
            )
            return [TryLater(type(error).__name__)] * len(flights)

    def _take_answers(self) -> None:
        self._looked_at = time.monotonic()
        answers = []
        while self._answers:
            answers.append(self._answers.popleft())
        if answers:
            self._settle(answers)

    def _settle(self, answers: list[tuple[list[Flight], list[Outcome] | None]]) -> None:
        """Note what became of calls: their receipts are one write.

        Args:
            answers: The messages of each call, and their outcomes; None if it did not begin.
        """
        self.under_way -= len(answers)
        flights = [flight for of_call, _ in answers for flight in of_call]
        outcomes = [
            outcome
            for of_call, its in answers
            for outcome in (its if its is not None else [NotSent()] * len(of_call))
        ]
        self._goes_well = _go_well(outcomes)
        if not self._goes_well:
            self._permit = Permit()
        try:
            self._outbox.settle(flights, outcomes)
        except Exception:  # noqa: BLE001 - what has no receipt is repeated
            self.patience.complain(
                "settle", "A report could not be noted as delivered.", fault=True
            )
            self._outbox.lanes.put_back(flights)
        for of_call, its in answers:
            if its is not None:
                self.patience.learn([one.message for one in of_call], its, time.monotonic())

    def alone(self, flush: Flush, left: float) -> None:
        """Send one call's messages from this thread, if no other can be started.

        Args:
            flush: The one that waits for it.
            left: Seconds that it waits still.
        """
        now = time.monotonic()
        self._take_answers()
        if not flush.is_begun:
            self._hurry(now, [flush])
        self._outbox.read(left / 4)
        flights = self._claim_here() if self.patience.resume_at <= now else []
        if flights:
            # To connect may take that long, and to answer too.
            self.under_way += 1
            outcomes = self._send(flights, min(left / 2, self._sender.timeout))
            self._settle([(flights, outcomes)])
        self.counts = counts = self._outbox.counts()
        if flights:
            return
        if not counts.pending and not self.under_way:
            flush.tell()
            return
        wait = max(POLL, self._until_next(now))
        if not self.under_way:
            flush.tell(now + wait)
        time.sleep(min(left, POLL if self.under_way else wait))

    def _hurry(self, now: float, flushes: list[Flush]) -> None:
        for flush in flushes:
            flush.is_begun = True
        self.patience.hurry(now)
        self._outbox.lanes.hurry()

    def _claim_here(self) -> list[Flight]:
        limit = self._sender.bulk_limit
        return self._outbox.claim_bulk(limit, BULK_BYTES) if limit > 1 else self._outbox.claim(1)

    def close(self, timeout: float) -> None:
        """Note what was answered, and let go of the outbox."""
        self.hold()
        self._take_answers()
        self._outbox.read(timeout)
        self.counts = self._outbox.counts()
        self._is_kept = self._outbox.is_durable  # a log that is closed no longer says so
        self._outbox.close()

    def say_what_is_left(self) -> None:
        """Write a line if not all was delivered."""
        pending = self.counts.pending
        if pending and self._is_kept:
            say_left(f"{pending} messages to {self._sender.name}", files.folder())
        elif pending:
            logger.warning(
                "%d messages could not be delivered to %s in time. They were held in memory, and "
                "are lost. A larger DOTFLOW_FLUSH_TIMEOUT (now %g s) gives a program's end more "
                "time.",
                pending, self._sender.name, flush_timeout(),
            )  # fmt: skip


def _go_well(outcomes: list[Outcome] | None) -> bool:
    """Whether nothing speaks against further calls: what is refused says nothing of others."""
    return not any(isinstance(one, TryLater) for one in outcomes or ())
