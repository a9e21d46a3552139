"""Spans on their way to an exporter; what an OTLP exporter cannot deliver is kept."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from typing import TYPE_CHECKING

from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from dotflow.logging import logger
from dotflow.otel.export.faults import faults
from dotflow.otel.export.journal import Journal
from dotflow.otel.export.otlp import (
    OtlpSettings,
    ProcessExporter,
    SpanCounts,
    exports,
    parts,
    queue_size,
)
from dotflow.otel.export.spill import Backlog, leaves_to_parent
from dotflow.process.forking import renew_in_child

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import ReadableSpan, Span

    from dotflow.otel.export.otlp import Export

BATCH = 512
"""Spans that are kept as one message."""

COLLECT = 0.1
"""Seconds that spans which found the queue full are collected for one batch."""

STEP_TIMEOUT = 2.0
"""Seconds for an export in a child that runs one step: the run waits for its end."""

KEEPING_SECONDS = 0.0001
"""What it takes to keep a span, at most: to encode it, mostly."""


class Waiting:
    """The spans that the batch processor has and no exporter has taken, by identity.

    Takes no lock: every step is one operation of a dict, which no other thread sees half done.

    Args:
        limit: How many there may be.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.renew()
        renew_in_child(self)

    def __len__(self) -> int:
        return len(self._spans)

    def renew(self) -> None:
        """Begin with none in a forked child: they are the parent's to export."""
        self._spans: dict[int, ReadableSpan] = {}

    def add(self, span: ReadableSpan) -> bool:
        """Add one; False where there is no room for it."""
        spans = self._spans
        spans[id(span)] = span
        # After, not before: of threads that add at once none can find room that is not there.
        if len(spans) <= self._limit:
            return True
        del spans[id(span)]
        return False

    def among(self, spans: Sequence[ReadableSpan]) -> list[ReadableSpan]:
        """Those that wait here still."""
        return [span for span in spans if id(span) in self._spans]

    def take(self, spans: Sequence[ReadableSpan]) -> list[ReadableSpan]:
        """Take these out; return those that nobody else has taken."""
        return [span for span in spans if self._spans.pop(id(span), None) is not None]

    def take_all(self) -> list[ReadableSpan]:
        """Take out all that are there."""
        return self.take(list(self._spans.copy().values()))  # a copy is one step


class KeptExporter(ProcessExporter):
    """Exports a batch, or keeps it where the endpoint does not take it.

    Once the endpoint has not taken one, the next are kept at once: an exporter tries for ten
    seconds, and meanwhile the queue would fill. The relay finds out when the endpoint is back.

    Args:
        make: Makes the exporter.
        counts: Where spans are counted.
        waiting: What is on its way.
        backlog: Where spans are kept.
        journal: Where they are written down until they have left.
    """

    def __init__(
        self,
        make: Callable[[], SpanExporter],
        counts: SpanCounts,
        waiting: Waiting,
        backlog: Backlog,
        journal: Journal,
    ) -> None:
        super().__init__(make, counts)
        self._journal = journal
        self._waiting = waiting
        self._backlog = backlog
        self.renew()
        renew_in_child(self)

    def renew(self) -> None:
        """Have a lock that nobody holds, in a forked child."""
        self._keeping = threading.Lock()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export or keep a batch; called by the batch processor's thread."""
        for part in parts(self._waiting.among(spans)):  # others were kept meanwhile
            self._export_part(part)
        return SpanExportResult.SUCCESS

    def _export_part(self, spans: Sequence[ReadableSpan]) -> None:
        if self._backlog.is_away or self._backlog.is_left_to_parent:
            self._keep(spans)
        elif self._exported(spans):
            self._waiting.take(spans)
            self._counts.add(exported=len(spans))
            self._journal.left(spans)
            self._backlog.took()
        else:
            self._keep(spans, has_failed=True)
            self._backlog.look()

    def keep_all(self) -> None:
        """Keep all that waits."""
        with self._keeping:  # and have kept what another thread has taken
            spans = self._waiting.take_all()
            for begin in range(0, len(spans), BATCH):
                batch = spans[begin : begin + BATCH]
                self._backlog.put(batch, at_once=False)
                self._journal.left(batch)

    def _make_here(self) -> SpanExporter:
        if leaves_to_parent():
            return self._backlog.make_exporter(STEP_TIMEOUT)
        return super()._make_here()

    def _exported(self, spans: Sequence[ReadableSpan]) -> bool:
        try:
            with faults.once():
                return self._send(spans) is SpanExportResult.SUCCESS
        except Exception as error:  # noqa: BLE001 - the spans are kept, whatever it is
            logger.debug("Spans could not be exported: %s", error)
            return False

    def _keep(self, spans: Sequence[ReadableSpan], has_failed: bool = False) -> None:
        with self._keeping:
            taken = self._waiting.take(spans)
            if taken:
                self._backlog.put(taken, has_failed)
                self._journal.left(taken)


class Overflow:
    """Spans that found the queue full: collected and kept by a thread that is there meanwhile.

    Args:
        backlog: Where they are kept.
        journal: Where they are written down until then.
    """

    def __init__(self, backlog: Backlog, journal: Journal) -> None:
        self._backlog = backlog
        self._journal = journal
        self.renew()
        renew_in_child(self)

    def renew(self) -> None:
        """Begin with none in a forked child."""
        self._spans: deque[ReadableSpan] = deque()
        self._lock = threading.Lock()
        self._full = threading.Event()
        self._thread: threading.Thread | None = None
        self._at_once = True

    def __len__(self) -> int:
        return len(self._spans)

    def add(self, span: ReadableSpan) -> None:
        """Take one in; called by the thread that ends the span."""
        self._spans.append(span)
        if len(self._spans) >= BATCH:
            self._full.set()
        if self._thread is None:
            self._start()

    def keep_all(self, at_once: bool = True) -> None:
        """Keep all that is here, and return when that is done.

        Args:
            at_once: Whether there is time to send it now.
        """
        self._at_once = at_once
        self._full.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()
        self._keep()

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                thread = threading.Thread(target=self._work, name="dotflow-spill", daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # at the end of the process: keep_all() comes
                    return
                self._thread = thread

    def _work(self) -> None:
        while True:
            self._full.wait(COLLECT)
            self._full.clear()
            try:
                self._keep()
            except Exception:  # noqa: BLE001 - a thread that died would hold all that come
                logger.warning("Spans could not be kept, and are lost.", exc_info=True)
            with self._lock:
                if not self._spans:
                    self._thread = None
                    return

    def _keep(self) -> None:
        while self._spans:
            batch: list[ReadableSpan] = []
            while self._spans and len(batch) < BATCH:
                batch.append(self._spans.popleft())
            self._backlog.put(batch, at_once=self._at_once)
            self._journal.left(batch)


class KeepingProcessor(BatchSpanProcessor):
    """The SDK's batch processor for an OTLP exporter, but no span is lost.

    What the exporter does not take, what finds the queue full, and what is not exported when the
    process ends goes to the backlog, and from there to the endpoint when it is back. Only a batch
    that is under way when time is over, or whose answer did not come, may arrive twice, with the
    same ids: nobody can know whether the endpoint has it.

    Args:
        make: Makes the exporter.
        counts: Where spans are counted.
        backlog: Where spans are kept.

    Raises:
        ValueError: The SDK's variables for batches contradict each other.
    """

    def __init__(
        self, make: Callable[[], SpanExporter], counts: SpanCounts, backlog: Backlog
    ) -> None:
        limit = queue_size()
        self.backlog = backlog
        self._waiting = Waiting(limit)
        self._journal = Journal(backlog.opened)
        self._overflow = Overflow(backlog, self._journal)
        self._door = KeptExporter(make, counts, self._waiting, backlog, self._journal)
        self._has_ended = False
        super().__init__(self._door, max_queue_size=limit)
        _keeping.add(self)

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Write down a span of ours; called by the thread that starts it."""
        super().on_start(span, parent_context)
        if not self._has_ended:
            self._journal.started(span)

    def on_end(self, span: ReadableSpan) -> None:
        """Take a span; called by the thread that ends it, which waits for nothing."""
        context = span.context
        if self._has_ended or context is None or not context.trace_flags.sampled:
            return
        self._journal.ended(span)
        if self._waiting.add(span):
            super().on_end(span)
        else:
            self._overflow.add(span)

    @property
    def has_ended(self) -> bool:
        """Whether it takes no more spans, and has none that waits."""
        return self._has_ended

    @property
    def keeping_time(self) -> float:
        """Seconds that `keep_all` may take."""
        return (len(self._waiting) + len(self._overflow)) * KEEPING_SECONDS

    def flush(self, timeout: float) -> bool:
        """Send what is kept, within `timeout` seconds; whether nothing is left."""
        self._overflow.keep_all()
        return self.backlog.flush(timeout)

    def force_flush(self, timeout_millis: int | None = None) -> bool:
        """Export or keep all that waits; nothing does after the end, and an export may hang."""
        return self._has_ended or super().force_flush(timeout_millis)

    def end(self) -> None:
        """Take no more spans, keep all that wait, and have an export that is under way end."""
        self._has_ended = True
        self._door.keep_all()
        self._overflow.keep_all(at_once=False)
        if self.backlog.ends_at_shutdown:
            self._door.shutdown()

    def shutdown(self) -> None:
        """Export or keep all that waits, and end; called by the provider."""
        super().shutdown()  # type: ignore[no-untyped-call] # the SDK's
        self.end()


_keeping: weakref.WeakSet[KeepingProcessor] = weakref.WeakSet()


def keep_in_child() -> None:
    """Keep what a child process could not send before its end."""
    for processor in list(_keeping):
        processor.end()
        processor.backlog.close(0)


def span_processors(settings: OtlpSettings, counts: SpanCounts) -> list[BatchSpanProcessor]:
    """One batch processor for each exporter that the settings or the environment switch on.

    One that cannot be made, because a variable is wrong, is warned of and left out.
    """
    made = (_processor(export, settings, counts) for export in exports(settings))
    return [processor for processor in made if processor is not None]


def _processor(
    export: Export, settings: OtlpSettings, counts: SpanCounts
) -> BatchSpanProcessor | None:
    try:
        if export.is_otlp:
            return KeepingProcessor(export.make, counts, Backlog(settings, counts))
        return BatchSpanProcessor(ProcessExporter(export.make, counts), max_queue_size=queue_size())
    except Exception as error:  # noqa: BLE001 - a wrong variable costs spans, not the rest
        logger.warning("Spans are not exported: %s", error)
        return None
