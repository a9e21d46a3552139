"""The tracer provider: the application's, or one made by the standard variables."""

from __future__ import annotations

import json
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON

from dotflow import __version__
from dotflow.logging import logger
from dotflow.otel import propagation
from dotflow.otel.export.batch import KeepingProcessor, span_processors
from dotflow.otel.export.deadline import DeadlineRunner
from dotflow.otel.export.journal import SCOPE
from dotflow.otel.export.otlp import OtlpSettings, SpanCounts
from dotflow.otel.ids import WorkflowIdGenerator, chosen_generator
from dotflow.otel.spans.sampling import UuidFairSampler, make_fair
from dotflow.process import at_exit

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

CHILD_KEY = "dotflow-provider"
"""Where a carrier says what provider a child makes; no propagator reads it."""

MOST_FOR_KEEPING = 0.5
"""Of the time that a close has, what is left at most to keep what could not be exported."""

Wait = Callable[[float], bool]
"""Waits at most some seconds, and says whether all went well in that time."""

_lock = threading.Lock()


def _renew_lock() -> None:
    global _lock  # noqa: PLW0603 - in a forked child nobody holds it
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


class SpanProcessors(SpanProcessor):
    """The processors of a provider that we made: unlike the SDK's list, one can be taken out."""

    def __init__(self) -> None:
        self._processors: tuple[SpanProcessor, ...] = ()
        self._lock = threading.Lock()

    def add_span_processor(self, processor: SpanProcessor) -> None:
        """Add one; the provider's method of the same name calls this."""
        with self._lock:
            self._processors = (*self._processors, processor)

    def remove(self, processor: SpanProcessor) -> None:
        """Take one out."""
        with self._lock:
            self._processors = tuple(one for one in self._processors if one is not processor)

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Hand on the start."""
        for processor in self._processors:
            processor.on_start(span, parent_context)

    def _on_ending(self, span: Span) -> None:
        for processor in self._processors:
            processor._on_ending(span)

    def on_end(self, span: ReadableSpan) -> None:
        """Hand on the end."""
        for processor in self._processors:
            processor.on_end(span)

    def shutdown(self) -> None:
        """Shut down all."""
        for processor in self._processors:
            processor.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Flush all, also those behind one that fails; whether all did."""
        flushed = [processor.force_flush(timeout_millis) for processor in self._processors]
        return all(flushed)


class OwnTracerProvider(TracerProvider):
    """The provider that we make where the application has none.

    Args:
        resource: What produces the spans.
    """

    def __init__(self, resource: Resource) -> None:
        self.processors = SpanProcessors()
        super().__init__(
            resource=resource,
            shutdown_on_exit=False,  # dotflow.process.at_exit does, with a deadline
            active_span_processor=self.processors,  # type: ignore[arg-type]
            id_generator=chosen_generator(),
        )
        if self.sampler not in (ALWAYS_ON, ALWAYS_OFF):
            self.sampler = UuidFairSampler(self.sampler)
        self._shared: dict[OtlpSettings, tuple[list[BatchSpanProcessor], SpanCounts, int]] = {}

    def acquire(self, settings: OtlpSettings) -> tuple[list[BatchSpanProcessor], SpanCounts]:
        """Have spans exported as the settings say; users with the same settings share."""
        processors, counts, users = self._shared.get(settings) or ([], SpanCounts(), 0)
        if not users:
            processors = span_processors(settings, counts)
            for processor in processors:
                self.processors.add_span_processor(processor)
        self._shared[settings] = (processors, counts, users + 1)
        return processors, counts

    def flush_exports(self) -> bool:
        """Export all that has ended; whether all was."""
        batches = [one for processors, _, _ in list(self._shared.values()) for one in processors]
        flushed = [bool(one.force_flush()) for one in batches]
        return all(flushed)

    def release(self, settings: OtlpSettings) -> list[BatchSpanProcessor]:
        """Take back `acquire`; the processors that nobody uses any more are to be shut down."""
        processors, counts, users = self._shared[settings]
        if users > 1:
            self._shared[settings] = (processors, counts, users - 1)
            return []
        del self._shared[settings]
        for processor in processors:
            self.processors.remove(processor)
        return list(processors)


class Pipeline:
    """What one ServerOtel has of a provider: a tracer, and the processors that it added.

    Args:
        settings: What the arguments say of OTLP.
        processor: What turns spans into reports to dotflow-api, or None.
        set_global: Whether a provider that is made becomes the global one.
        tracer_provider: The provider to use, in place of the global one.
        service_name: `service.name` of a provider that is made, where the environment has none.

    Attributes:
        provider: The provider.
        tracer: Its tracer for dotflow's spans.
        pins_trace_ids: Whether the trace id of a root can be chosen.
        counts: The spans that left through OTLP, where this pipeline sees that.
    """

    def __init__(
        self,
        settings: OtlpSettings,
        processor: SpanProcessor | None = None,
        set_global: bool = True,
        tracer_provider: Any = None,
        service_name: str = SCOPE,
    ) -> None:
        self._settings = settings
        self._service_name = service_name
        self._processor = processor
        self._begun, self._closed = threading.Lock(), threading.Event()
        self._has_complained = False
        self._taken_out: list[BatchSpanProcessor] | None = None
        self._runner = DeadlineRunner()
        with _lock:
            self.provider = tracer_provider or _existing() or _make(set_global, service_name)
            self._own = self.provider if isinstance(self.provider, OwnTracerProvider) else None
            self._processors = _processors_of(self.provider)
            self._batches, self.counts = self._add_processors()
        generator = getattr(self.provider, "id_generator", None)
        self.pins_trace_ids = isinstance(generator, WorkflowIdGenerator)
        self.tracer: trace.Tracer = self.provider.get_tracer(SCOPE, __version__)
        if self.pins_trace_ids:
            make_fair(self.tracer)
        # Kept, for whoever made the runs may be gone at exit, and their spans not yet sent.
        at_exit.keep(self)

    @property
    def for_a_child(self) -> dict[str, str]:
        """What a child that is not forked makes a provider like this one from.

        Nothing where the provider is the application's: its own code sets up the child's.
        """
        if self._own is None:
            return {}
        known = {
            "endpoint": self._settings.endpoint,
            "protocol": self._settings.protocol,
            "service_name": self._service_name,
        }
        return {CHILD_KEY: json.dumps(known)}

    def begin_flush(self) -> Wait:
        """Begin to export all that has ended; return what waits for it, at most some seconds."""
        failed_before = self.counts.failed
        wait = self._runner.begin(self._flush)

        def waited(timeout: float) -> bool:
            deadline = time.monotonic() + timeout
            is_flushed = wait(timeout)
            sent = [one.flush(max(0.0, deadline - time.monotonic())) for one in self._keeping()]
            return is_flushed and all(sent) and self.counts.failed == failed_before

        return waited

    def look(self) -> None:
        """Have the spans that children kept be sent, in the background."""
        for processor in self._keeping():
            processor.backlog.look(at_once=True)

    def hurry(self) -> None:
        """Begin to close, without waiting for it.

        Takes no lock that it could wait for: the garbage collector may call it anywhere.
        """
        if self._begun.acquire(blocking=False):
            self._runner.begin(self._close)

    def abandon(self) -> None:
        """Close, without anybody waiting for it; as `hurry`, for the garbage collector."""
        self.hurry()
        self._runner.begin(lambda: self._close_backlogs(at_exit.flush_timeout()))
        self._runner.stop()

    def close(self, timeout: float | None = None) -> bool:
        """Export what has ended and take out what was added.

        What an OTLP exporter has not taken when time is nearly over is kept for the next process,
        also where that takes a little longer: to encode it does, 0.1 ms a span at most.

        Returns:
            Whether all was sent within `timeout` seconds.
        """
        seconds = at_exit.flush_timeout() if timeout is None else timeout
        deadline = time.monotonic() + seconds
        failed_before = self.counts.failed
        self.hurry()
        is_closed = self._wait_for_end(deadline, seconds * MOST_FOR_KEEPING)
        if not is_closed:
            for processor in self._take_out():
                if isinstance(processor, KeepingProcessor):
                    processor.end()
        is_sent = self._close_backlogs(max(0.0, deadline - time.monotonic()))
        self._runner.stop()
        if is_closed:
            self._runner.join(max(0.0, deadline - time.monotonic()))
        if self._loses(is_closed) and not self._has_complained:
            self._has_complained = True
            logger.warning("Not all spans could be exported in time: those are lost.")
        return is_closed and is_sent and self.counts.failed == failed_before

    def _wait_for_end(self, deadline: float, most_for_keeping: float) -> bool:
        """Wait until all is exported, as long as there is time to keep what is not."""
        while not self._have_ended():
            keeping = min(most_for_keeping, sum(one.keeping_time for one in self._keeping()))
            left = deadline - time.monotonic() - keeping
            if left <= 0 or self._closed.wait(left):
                break
        return self._closed.is_set()

    def _have_ended(self) -> bool:
        """Whether there is nothing to wait for: all that waited is kept."""
        kept = [isinstance(one, KeepingProcessor) and one.has_ended for one in self._batches]
        return bool(kept) and all(kept)

    def _loses(self, is_closed: bool) -> bool:
        """Whether spans were with an exporter that keeps none, when time was over."""
        return not is_closed and any(
            not isinstance(one, KeepingProcessor) for one in self._take_out()
        )

    def _keeping(self) -> list[KeepingProcessor]:
        """The processors of this pipeline's OTLP exporters; others may use them too."""
        return [one for one in self._batches if isinstance(one, KeepingProcessor)]

    def _flush(self) -> bool:
        if self._own is not None:
            return self._own.flush_exports()
        flush = getattr(self.provider, "force_flush", None)
        return flush is None or bool(flush())

    def _close(self) -> None:
        try:
            self._flush()
            for processor in self._take_out():
                processor.shutdown()  # type: ignore[no-untyped-call] # the SDK's
            for keeping in self._keeping():
                keeping.backlog.hurry()
        finally:
            at_exit.forget(self)
            self._closed.set()

    def _close_backlogs(self, timeout: float) -> bool:
        """Send what is kept within `timeout` seconds; whether nothing is left."""
        deadline = time.monotonic() + timeout
        ended, sent = self._take_out(), True
        for processor in self._keeping():
            left = max(0.0, deadline - time.monotonic())
            is_ours = any(one is processor for one in ended)
            send = processor.backlog.close if is_ours else processor.flush
            sent = send(left) and sent
        return sent

    def _take_out(self) -> list[BatchSpanProcessor]:
        """Take out what was added; return what nobody else uses, to be shut down."""
        with _lock:
            if self._taken_out is None:
                self._taken_out = self._batches
                if self._processors is not None and self._processor is not None:
                    self._processors.remove(self._processor)
                if self._own is not None:
                    self._taken_out = self._own.release(self._settings)
                elif self._processors is not None:
                    for batch in self._batches:
                        self._processors.remove(batch)
            return self._taken_out

    def _add_processors(self) -> tuple[list[BatchSpanProcessor], SpanCounts]:
        """Add our processors; return those that export, and where they count."""
        counts = SpanCounts()
        # Not the SDK's: it makes spans, and only it knows what becomes of them.
        if self._processors is None:
            return [], counts
        if self._processor is not None:
            self._processors.add_span_processor(self._processor)
        if self._own is not None:
            return self._own.acquire(self._settings)
        # The application has seen to its own export. An endpoint in our arguments is one more.
        batches = [] if self._settings.endpoint is None else span_processors(self._settings, counts)
        for batch in batches:
            self._processors.add_span_processor(batch)
        return batches, counts


_added: weakref.WeakKeyDictionary[Any, SpanProcessors] = weakref.WeakKeyDictionary()
"""What we have added to the providers of applications."""


def _processors_of(provider: Any) -> SpanProcessors | None:
    """Where our processors on a provider are; None where it takes none.

    An application's provider has no way to take a processor out. So it gets one of ours, once,
    and in that one they come and go.
    """
    if isinstance(provider, OwnTracerProvider):
        return provider.processors
    add = getattr(provider, "add_span_processor", None)
    if add is None:
        return None
    try:
        processors = _added.get(provider)
        if processors is None:
            processors = _added[provider] = SpanProcessors()
            add(processors)
    except TypeError:  # one that takes no weak reference: it gets another each time
        processors = SpanProcessors()
        add(processors)
    return processors


_in_child: list[Pipeline] = []


def open_in_child(carrier: Mapping[str, str]) -> None:
    """Make the provider of a child that was not forked, where its program has made none.

    Args:
        carrier: What the parent sent: `Pipeline.for_a_child` is in it.
    """
    text = carrier.get(CHILD_KEY)
    if text is None or _in_child or _existing() is not None:
        return
    known = json.loads(text)
    settings = OtlpSettings(known["endpoint"], known["protocol"])
    _in_child.append(Pipeline(settings, service_name=known["service_name"]))


def _existing() -> Any:
    """The application's provider; None where it has none."""
    provider = trace.get_tracer_provider()
    return None if isinstance(provider, trace.ProxyTracerProvider) else provider


def _make(set_global: bool, service_name: str) -> Any:
    try:
        resource = Resource.create()
        if str(resource.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
            resource = resource.merge(Resource({SERVICE_NAME: service_name}))
        provider = OwnTracerProvider(resource)
    except Exception as error:  # noqa: BLE001 - a wrong variable costs spans, not the reports
        logger.warning("There are no spans, OpenTelemetry's SDK cannot be set up: %s", error)
        return trace.NoOpTracerProvider()
    if set_global:
        trace.set_tracer_provider(provider)
    else:
        propagation.providers.add(provider)
    return provider
