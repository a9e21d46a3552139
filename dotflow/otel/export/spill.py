"""Spans that an OTLP endpoint did not take: kept in an outbox, and sent when it is back."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from typing import TYPE_CHECKING
from uuid import uuid4

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from dotflow.delivery.message import Delivered, Kind, Message, Outcome, Refused, TryLater
from dotflow.delivery.outbox import open_outbox
from dotflow.delivery.relay import Relay
from dotflow.delivery.untraced import untraced
from dotflow.logging import logger
from dotflow.otel.export.decode import decode_spans
from dotflow.otel.export.faults import faults
from dotflow.otel.export.journal import spans_of_the_dead
from dotflow.otel.export.otlp import (
    OtlpSettings,
    SpanCounts,
    address,
    ends_at_shutdown,
    export_timeout,
    exports,
    is_grpc,
    make_exporter,
    parts,
)
from dotflow.process import at_exit
from dotflow.process.forking import renew_in_child

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.trace import ReadableSpan

    from dotflow.delivery.outbox import Outbox

LOOK_EVERY = 10.0
"""Seconds between two looks for what children that were killed have left."""

ENOUGH_FAILURES = 3
"""After as many, a batch that was passed by others is refused."""


def encode(spans: Sequence[ReadableSpan]) -> tuple[bytes, int]:
    """OTLP bytes of spans, and how many of them could not be encoded and are not in it."""
    try:
        return encode_spans(spans).SerializeToString(), 0
    except Exception as error:  # noqa: BLE001 - one bad span must not cost the others
        logger.warning("A span cannot be encoded, and is lost: %s", error)
    good = [span for span in spans if _can_be_encoded(span)]
    return encode_spans(good).SerializeToString(), len(spans) - len(good)


def _can_be_encoded(span: ReadableSpan) -> bool:
    try:
        encode_spans([span])
    except Exception:  # noqa: BLE001 - whatever it is, the span is to be left out
        return False
    return True


def gather(records: list[bytes], last_seen: float) -> Message:
    """One batch of the spans that a dead process had written down.

    Args:
        records: What it had written.
        last_seen: When it was last seen alive (seconds since the epoch).
    """
    return _message(encode(spans_of_the_dead(records, last_seen))[0])


def _message(body: bytes) -> Message:
    return Message(Kind.SPANS, uuid4().hex, None, body, final=True)


class OtlpSender:
    """Sends batches of the outbox to an OTLP endpoint; called by the relay's threads.

    It decodes them and hands them to an exporter of OpenTelemetry, one a thread: address,
    headers, certificates and compression are those of the environment at that time, and no
    credential is ever in the outbox.

    An exporter does not tell whether nobody answered or the batch was refused. So a batch that
    failed three times, while others were taken, is refused: it would never be taken.

    Args:
        settings: Which endpoint.
        counts: Where spans are counted.
        name: What it is called, where that is known.

    Attributes:
        name: What a line of the log calls the endpoint, without credentials.
        timeout: Seconds that one export may take.
        is_away: Whether the last export failed, and not for want of a better batch.

    Raises:
        ValueError: The endpoint is no URL.
    """

    def __init__(self, settings: OtlpSettings, counts: SpanCounts, name: str | None = None) -> None:
        self.name = name or f"OTLP endpoint {address(settings)}"
        self.timeout = export_timeout()
        self.is_away = False
        self._settings = settings
        self._counts = counts
        self._local = threading.local()
        self._exporters: list[SpanExporter] = []
        self._busy: set[SpanExporter] = set()
        self._lock = threading.Lock()
        self._kept: dict[str, int] = {}  # spans of a message that this process put
        self._tries: dict[str, int] = {}
        self._passed_at: dict[str, int] = {}  # how many were taken when a message failed first
        self._taken = 0
        self._last_failed = ""

    def keep(self, message: Message, spans: int, has_failed: bool) -> None:
        """Learn of a message that is about to be put, and whether it was tried already."""
        self._counts.add(kept=spans)
        with self._lock:
            self._kept[message.id] = spans
        if has_failed:
            self._failed(message.id, spans)

    def took(self) -> None:
        """Learn that the endpoint has taken a batch, of the outbox or not."""
        faults.forget()
        with self._lock:
            self._taken += 1
            self.is_away = False

    def send(self, message: Message, server_id: str | None, timeout: float | None) -> Outcome:
        """Send one batch.

        Args:
            message: The batch.
            server_id: Nothing, for spans.
            timeout: Seconds for it; what the environment says without them.
        """
        del server_id
        try:
            spans = decode_spans(message.body)
        except ValueError as error:
            self._forget(message.id)
            return Refused(0, str(error))
        if not self._is_taken(spans, timeout):
            return self._failed(message.id, len(spans))
        self.took()
        self._forget(message.id)
        self._counts.add(exported=len(spans))
        return Delivered()

    def release(self) -> None:
        """Shut down the exporter of this thread; a later batch has another."""
        exporter: SpanExporter | None = getattr(self._local, "exporter", None)
        if exporter is None:
            return
        del self._local.exporter
        with self._lock:
            is_ours = exporter in self._exporters
            if is_ours:
                self._exporters.remove(exporter)
        if is_ours:
            exporter.shutdown()

    def close(self) -> None:
        """Shut down all exporters, without waiting for one that hangs: its thread does."""
        with self._lock:
            hang = set() if ends_at_shutdown(self._settings) else self._busy
            exporters = [one for one in self._exporters if one not in hang]
            self._exporters = [one for one in self._exporters if one in hang]
        for exporter in exporters:
            exporter.shutdown()

    def renewed(self) -> OtlpSender:
        """One for a forked child: the parent's connections, and what it put, are the parent's."""
        sender = OtlpSender(self._settings, self._counts, self.name)
        sender.is_away = self.is_away
        return sender

    def _is_taken(self, spans: Sequence[ReadableSpan], timeout: float | None) -> bool:
        try:
            return self._export(spans, timeout)
        except Exception as error:  # noqa: BLE001 - some raise what others only say
            logger.debug("Spans could not be exported: %s", error)
            return False

    def _export(self, spans: Sequence[ReadableSpan], timeout: float | None) -> bool:
        """Whether the endpoint took the spans."""
        with untraced(), faults.once():
            if timeout is None:
                return self._export_here(spans)
            # Of a thread that has a deadline: one exporter for this one time.
            exporter = make_exporter(self._settings, timeout)
            try:
                return exporter.export(spans) is SpanExportResult.SUCCESS
            finally:
                exporter.shutdown()

    def _export_here(self, spans: Sequence[ReadableSpan]) -> bool:
        exporter = self._exporter()
        with self._lock:
            self._busy.add(exporter)
        try:
            return exporter.export(spans) is SpanExportResult.SUCCESS
        finally:
            with self._lock:
                self._busy.discard(exporter)

    def _exporter(self) -> SpanExporter:
        exporter: SpanExporter | None = getattr(self._local, "exporter", None)
        if exporter is None:
            exporter = self._local.exporter = make_exporter(self._settings)
            with self._lock:
                self._exporters.append(exporter)
        return exporter

    def _failed(self, message: str, spans: int) -> Outcome:
        """What becomes of a batch of so many spans that was not taken."""
        with self._lock:
            tries = self._tries[message] = self._tries.get(message, 0) + 1
            was_passed = self._taken > self._passed_at.setdefault(message, self._taken)
            again, self._last_failed = self._last_failed == message, message
            self.is_away = self.is_away or not was_passed
        if was_passed and tries >= ENOUGH_FAILURES:
            self._forget(message)
            self._counts.add(failed=spans)
            return Refused(0, "the OTLP endpoint does not take this batch")
        # Twice in a row may be the batch's own fault: then another one is let go first.
        return TryLater("it took no spans", everywhere=not was_passed and not again)

    def _forget(self, message: str) -> None:
        """Forget a message that is settled."""
        with self._lock:
            kept = self._kept.pop(message, 0)
            self._tries.pop(message, None)
            self._passed_at.pop(message, None)
        self._counts.add(kept=-kept)


class Backlog:
    """The spans that one OTLP endpoint has not taken yet, of this process and of dead ones.

    Nothing is there before it is needed: no thread, no file. All methods may be called from any
    thread. A forked child begins with an empty one.

    Args:
        settings: Which endpoint.
        counts: Where spans are counted.

    Raises:
        ValueError: The endpoint is no URL.
    """

    def __init__(self, settings: OtlpSettings, counts: SpanCounts) -> None:
        self._settings = settings
        self._counts = counts
        self._sender = OtlpSender(settings, counts)
        self._is_closed = False
        self._look_at = float("-inf")
        self._is_forked = False
        self._begin()
        renew_in_child(self)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._outbox: Outbox | None = None
        self._relay: Relay | None = None

    def renew(self) -> None:
        """Have a lock that nobody holds, in a forked child, and nothing of the parent's."""
        self._is_forked = True
        self._begin()
        self._sender = self._sender.renewed()
        self._counts.kept = 0

    @property
    def ends_at_shutdown(self) -> bool:
        """Whether an export to the endpoint ends soon when its exporter is shut down."""
        return ends_at_shutdown(self._settings)

    @property
    def is_away(self) -> bool:
        """Whether the endpoint took nothing when it was last tried: then the relay tries it."""
        return self._sender.is_away

    @property
    def is_left_to_parent(self) -> bool:
        """Whether spans that end here are kept for the parent to send, without a try.

        That is so over gRPC in a forked child, where gRPC may fail or hang: its threads are the
        parent's. See https://github.com/grpc/grpc/blob/master/doc/fork_support.md.
        """
        if not self._is_forked or not leaves_to_parent() or not is_grpc(self._settings):
            return False
        outbox = self.opened()
        return outbox is not None and outbox.is_durable  # else the parent could not find them

    def make_exporter(self, timeout: float) -> SpanExporter:
        """An exporter to the endpoint, with at most `timeout` seconds for an export."""
        return make_exporter(self._settings, min(timeout, self._sender.timeout))

    def put(
        self, spans: Sequence[ReadableSpan], has_failed: bool = False, at_once: bool = True
    ) -> None:
        """Keep spans until they are delivered.

        Args:
            spans: A batch.
            has_failed: Whether it has just been tried.
            at_once: Whether there is time to send it now; else that waits for somebody else.
        """
        for part in parts(spans):
            self._put(part, has_failed, at_once)

    def _put(self, spans: Sequence[ReadableSpan], has_failed: bool, at_once: bool) -> None:
        body, lost = encode(spans)
        kept = len(spans) - lost
        outbox = self.opened() if kept else None
        if outbox is None:
            self._counts.add(failed=len(spans))
            return
        self._counts.add(failed=lost)
        message = _message(body)
        self._sender.keep(message, kept, has_failed)
        if at_once and not leaves_to_parent():
            self._called().put(message)
            return
        outbox.put(message)
        if at_once and outbox.place is None:  # in no file, where nobody could adopt it
            self._called().hurry()

    def took(self) -> None:
        """Learn that the endpoint took a batch that was not kept."""
        self._sender.took()
        self.look()

    def look(self, at_once: bool = False) -> None:
        """Have what dead processes left be sent, in the background; every now and then.

        Args:
            at_once: Do it now: children have just ended.
        """
        # A child has better to do: its parent, or the next process, looks.
        now = time.monotonic()
        is_early = now < self._look_at and not at_once
        if is_early or multiprocessing.parent_process() is not None:
            return
        self._look_at = now + LOOK_EVERY
        if self.opened() is not None:
            self._called().wake(at_once)

    def hurry(self) -> None:
        """Have all that is kept be tried now; do not wait for it."""
        if self._relay is not None:
            self._relay.hurry()

    def flush(self, timeout: float) -> bool:
        """Send what is kept, also by children, in `timeout` seconds; whether nothing is left."""
        self._adopt()
        if self._relay is not None:
            return not self._relay.flush(timeout).pending
        return self._outbox is None or not self._outbox.counts().pending

    def close(self, timeout: float) -> bool:
        """Flush, and end the threads; what is left stays in the outbox, and a line says so.

        Returns:
            Whether nothing is left.
        """
        self._adopt()
        with self._lock:
            self._is_closed = True
            outbox, self._outbox = self._outbox, None
            relay, self._relay = self._relay, None
        if relay is not None:
            return not relay.close(timeout).pending
        return outbox is None or self._close_untried(outbox, timeout)

    def _close_untried(self, outbox: Outbox, timeout: float) -> bool:
        """Close an outbox in which there is only what was kept when time was over."""
        pending, place = outbox.counts().pending, outbox.place
        if pending and place is None:  # in memory: it is now or never
            return not _relay(outbox, self._sender).close(timeout).pending
        outbox.close()
        if pending and not leaves_to_parent():
            logger.warning(
                "%d reports to %s wait in %s: the next run, or `dotflow outbox flush`, sends them.",
                pending, self._sender.name, place,
            )  # fmt: skip
        return not pending

    def _adopt(self) -> None:
        """Take over what children kept that have ended since the last look."""
        outbox = self._outbox
        if outbox is not None and multiprocessing.parent_process() is None:
            outbox.care(at_once=True)

    def opened(self) -> Outbox | None:
        """The outbox; None once it is closed."""
        with self._lock:
            if self._outbox is None and not self._is_closed:
                self._outbox = open_outbox(self._sender.name, gather)
            return self._outbox

    def _called(self) -> Relay:
        """The relay of the outbox, which is open."""
        with self._lock:
            if self._relay is None:
                self._relay = _relay(
                    self._outbox or open_outbox(self._sender.name, gather), self._sender
                )
                # Whoever puts spans here closes it, after the last of them.
                at_exit.forget(self._relay)
            return self._relay


_step_pid = 0


def leave_to_parent() -> None:
    """Have this process, a child that runs one step, keep spans for its parent to send.

    A relay in each of many short-lived children would only find out once more that the endpoint
    is away, and say so.
    """
    global _step_pid  # noqa: PLW0603 - of this process, and not of its children
    _step_pid = os.getpid()


def leaves_to_parent() -> bool:
    """Whether this process keeps spans for its parent to send."""
    return _step_pid == os.getpid()


def otlp_relay_from_environment() -> Relay | None:
    """What sends the spans that wait for the OTLP endpoint of the environment.

    `flush(timeout)` adopts what dead processes left and sends it, `close(timeout)` ends it; both
    say how many batches are left.

    Returns:
        The relay; None where the environment names no OTLP endpoint, or one that is no URL.
    """
    settings = OtlpSettings()
    if not any(export.is_otlp for export in exports(settings)):
        return None
    try:
        sender = OtlpSender(settings, SpanCounts())
    except ValueError as error:
        logger.warning("The OTLP endpoint cannot be used: %s", error)
        return None
    return _relay(open_outbox(sender.name, gather), sender)


def _relay(outbox: Outbox, sender: OtlpSender) -> Relay:
    # One thread: the spans of a batch are many, and their order does not matter.
    return Relay(outbox, sender, workers=1)
