"""How a process begins that runs steps for another: what traces there, and where that goes."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from dotflow.logging import logger
from dotflow.otel import propagation
from dotflow.otel.export.children import LAUNCHED_KEY, LOG_KEY, launch, step_child
from dotflow.otel.export.leaving import outgoing
from dotflow.otel.export.otlp.endpoint import OtlpSettings
from dotflow.otel.export.provider import declarative, delivering
from dotflow.otel.export.provider.alone import is_asked_for
from dotflow.otel.export.provider.ending import see_to_the_end
from dotflow.otel.export.provider.in_child import made_here
from dotflow.otel.export.provider.own import OwnTracerProvider
from dotflow.otel.export.provider.pipeline import Pipeline
from dotflow.otel.export.provider.resource import resource_of
from dotflow.otel.logs import installed
from dotflow.otel.metrics.workers import METRICS_KEY, measuring
from dotflow.otel.workers.noting import Noting, noting_in, resource_here, with_noting
from dotflow.otel.workers.told import told_by
from dotflow.process.forking import renew_in_child
from dotflow.process.variables import mended
from dotflow.runlog import files
from dotflow.runlog.texts import Texts
from dotflow.runlog.writer import run_log

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from opentelemetry.context import Context

    from dotflow.otel.workers.told import Told

FLUSH = 2.0
"""Seconds that a worker which sends by itself takes for that after a step."""


class NotedSpans(SpanProcessor):
    """Has spans that end here be noted for the step that they are of.

    Args:
        provider: The provider that it is on; ours.
    """

    def __init__(self, provider: OwnTracerProvider) -> None:
        self._processors = provider.processors
        self._notings: dict[int, Noting] = {}

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Remember which step it is of; called by the thread that starts it."""
        noting = noting_in(parent_context) or _worker.last
        if noting is not None and span.context is not None:
            self._notings[span.context.span_id] = noting

    def on_end(self, span: ReadableSpan) -> None:
        """Note it, unless a server of this process sends it; called by the thread that ends it."""
        context = span.context
        noting = None if context is None else self._notings.pop(context.span_id, None)
        if noting is not None and not self._processors.ours:
            try:
                noting.take_span(span)
            except Exception as error:  # noqa: BLE001 - a value may raise when it is looked at
                logger.debug("A span cannot be noted: %s", error)


class NotedRecords:
    """Has log records be noted for the step that they are of."""

    def on_emit(self, log_record: Any) -> None:
        """Note one; called by the thread that logs, which gets no error."""
        noting = noting_in() or _worker.last
        if noting is not None:
            try:
                noting.take_record(log_record)
            except Exception as error:  # noqa: BLE001 - a value may raise when it is looked at
                logger.debug("A log record cannot be noted: %s", error)

    emit = on_emit  # its name in older releases

    def enabled(self, **_known: Any) -> bool:
        """Whether it takes records."""
        return True

    def shutdown(self) -> None:
        """Nothing is held here."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - the SDK's
        """Nothing waits here."""
        return True


class _Worker:
    """What this process has for steps that it runs for others.

    Attributes:
        last: The step that began last; what is of no step that is known is noted for it.
    """

    def __init__(self) -> None:
        self.last: Noting | None = None
        self._notes_spans = self._notes_records = self._sends = False
        self._readers: set[str] = set()
        self.renew()
        renew_in_child(self)

    def renew(self) -> None:
        """Have a lock that nobody holds, in a forked child."""
        self._beginning = threading.Lock()

    def begin(self, carrier: Mapping[str, str], told: Told) -> Noting | None:
        """Begin a step; None where what happens in it leaves from here by itself.

        Args:
            carrier: What the process sent that reports.
            told: What it tells.
        """
        has_parent = files.is_alive(carrier.get(LOG_KEY, "")) and run_log.is_durable
        with self._beginning:
            self._open(carrier, told, has_parent)
            if has_parent and not self._sends:
                step_child.begin(carrier)
            self._read_for(told if has_parent else None)
            measuring.begin(carrier, told.service_name, resource_here(told.service_name))
        if not (self._notes_spans or self._notes_records or METRICS_KEY in carrier):
            return None
        noting = self.last = Noting(told, has_parent)
        return noting

    def _read_for(self, told: Told | None) -> None:
        """Have the log be read for those that are told."""
        for name in () if told is None else {*(told.spans or ()), *(told.logs or ())}:
            key = files.reader_key(name)
            if key not in self._readers:
                self._readers.add(key)
                run_log.read_by(key, name)

    def _open(self, carrier: Mapping[str, str], told: Told, has_parent: bool) -> None:
        """See to providers, where nobody else has."""
        if LAUNCHED_KEY in carrier and has_parent and declarative.existing() is None:
            launch(carrier)
        if not has_parent and declarative.existing() is None and is_asked_for():
            self._sends = True
            texts, has_logs = Texts.of_parent(**told.texts), bool(told.logs) or None
            made_here.append(
                Pipeline(
                    OtlpSettings(), service_name=told.service_name, texts=texts, has_logs=has_logs
                )
            )
        if self._sends:
            return
        if told.spans is not None and declarative.existing() is None:
            with mended():
                provider = OwnTracerProvider(resource_of(told.service_name))
            provider.processors.add_span_processor(NotedSpans(provider))
            trace.set_tracer_provider(provider)
            self._notes_spans = True
        if told.logs is not None and not self._notes_records:
            self._notes_records = installed.open_on_worker(NotedRecords(), told.service_name)

    def gather(self, limit: int) -> bytes:
        """What the step that ends here noted in memory; what is in the log is its reader's now."""
        noting = noting_in()
        if step_child.only_writes:
            ours = {one.key for one in list(outgoing.processors)}
            # Without it no dotflow-api was ever spoken to here, and it takes its time to load.
            channel = sys.modules.get("dotflow.delivery.channel")
            inherited = channel.bystanders() if channel is not None else set()
            run_log.hand_over({*self._readers, *ours, *inherited})
        else:
            self._send()
        measured = measuring.gather(limit // 2)
        return b"" if noting is None else noting.payload(limit, measured)

    @staticmethod
    def _send() -> None:
        """Send what ended here; not all of it, if that takes long or nobody takes it."""
        ours = [one for one in list(outgoing.processors) if one.is_at_work]
        waits = [delivering.ours(one, FLUSH) for one in ours]
        deadline = time.monotonic() + FLUSH
        for wait in waits:
            wait(max(0.0, deadline - time.monotonic()))


_worker = _Worker()
gather = _worker.gather


@contextmanager
def attached(carrier: Mapping[str, str]) -> Iterator[None]:
    """Make the context that a carrier leads to current, on a worker.

    Args:
        carrier: What the process sent that reports; it tells a worker something.
    """
    told = told_by(carrier)
    context = propagation.context_of(carrier)
    if not told.is_here:
        noting = noting_in() or _worker.begin(carrier, told)
        if noting is not None:
            context = with_noting(noting, context)
        see_to_the_end()
    token = otel_context.attach(context)
    try:
        yield
    finally:
        otel_context.detach(token)
