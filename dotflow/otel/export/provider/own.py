"""The tracer provider that we make where an application has none, and its processors."""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.sdk.trace import (
    ReadableSpan,
    Span,
    SpanLimits,
    SpanProcessor,
    TracerProvider,
)
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON

from dotflow.logging import logger
from dotflow.otel.export.leaving.batch import OtlpProcessor
from dotflow.otel.export.otlp.endpoint import OtlpSettings
from dotflow.otel.export.otlp.exports import ProcessExporter, SpanCounts, exports, queue_size
from dotflow.otel.export.provider import declarative
from dotflow.otel.export.provider.anew import begin_anew
from dotflow.otel.export.provider.resource import resource_of
from dotflow.otel.ids import chosen_generator
from dotflow.otel.processor import OwnSpanProcessor
from dotflow.otel.spans.sampling import UuidFairSampler
from dotflow.otel.spans.wording import reworded
from dotflow.process.late import renew_when_used

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.context import Context
    from opentelemetry.sdk.resources import Resource

    from dotflow.otel.export.otlp.exports import Export
    from dotflow.otel.spans.light import LightSpan
    from dotflow.runlog.texts import Texts

Exporting = OtlpProcessor | BatchSpanProcessor
"""A processor that hands spans to an exporter."""


class SpanProcessors(SpanProcessor):
    """The processors of a provider that we made: unlike the SDK's list, one can be taken out.

    Attributes:
        are_light: Whether all of them are ours: then spans of tasks need not be the SDK's.
        puts: Take the light spans that end.
    """

    def __init__(self) -> None:
        self._processors: tuple[SpanProcessor, ...] = ()
        self._ours: tuple[OtlpProcessor, ...] = ()
        self.puts: tuple[Callable[[Any, int, int], None], ...] = ()
        self.are_light = True
        self._texts: tuple[Texts, ...] = ()
        self._last_texts: tuple[Texts, ...] = ()
        self._lock = threading.RLock()

    def add_span_processor(self, processor: SpanProcessor) -> None:
        """Add one; the provider's method of the same name calls this."""
        with self._lock:
            self._set((*self._processors, processor))

    def remove(self, processor: SpanProcessor) -> None:
        """Take one out."""
        with self._lock:
            self._set(tuple(one for one in self._processors if one is not processor))

    def _set(self, processors: tuple[SpanProcessor, ...]) -> None:
        self._processors = processors
        self._ours = tuple(one for one in processors if isinstance(one, OtlpProcessor))
        self.puts = tuple(one.put for one in self._ours)
        self.are_light = all(
            isinstance(one, (OtlpProcessor, OwnSpanProcessor)) for one in processors
        )

    def say(self, texts: Texts) -> None:
        """Have all that is handed on say of exceptions what these texts allow."""
        with self._lock:
            self._texts = (*self._texts, texts)

    def say_no_more(self, texts: Texts) -> None:
        """Take back `say`; what ends after all servers are closed is as the last one had it."""
        with self._lock:
            self._texts = tuple(one for one in self._texts if one is not texts)
            self._last_texts = (texts,)

    @property
    def is_empty(self) -> bool:
        """Whether nobody gets spans."""
        return not self._processors

    @property
    def ours(self) -> tuple[OtlpProcessor, ...]:
        """Those that send spans to OTLP endpoints."""
        return self._ours

    @property
    def others(self) -> tuple[SpanProcessor, ...]:
        """What sends spans elsewhere; what the program has added, too."""
        ours = (OtlpProcessor, OwnSpanProcessor)
        return tuple(one for one in self._processors if not isinstance(one, ours))

    def on_end_of_changed(self, span: LightSpan) -> None:
        """Hand on the end of a light span on which a step has put something."""
        ended = reworded(span, self._texts or self._last_texts)
        for processor in self._ours:
            processor.on_end(ended)

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Hand on the start."""
        for processor in self._processors:
            processor.on_start(span, parent_context)

    def _on_ending(self, span: Span) -> None:
        for processor in self._processors:
            processor._on_ending(span)

    def on_end(self, span: ReadableSpan) -> None:
        """Hand on the end."""
        span = reworded(span, self._texts or self._last_texts)
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

    Attributes:
        limits: What a span may have of each thing.
    """

    def __init__(self, resource: Resource) -> None:
        self.processors = SpanProcessors()
        self.limits = SpanLimits()
        super().__init__(
            resource=resource,
            shutdown_on_exit=False,  # dotflow.process.at_exit does, with a deadline
            active_span_processor=self.processors,  # type: ignore[arg-type]
            id_generator=chosen_generator(),
            span_limits=self.limits,
        )
        if self.sampler not in (ALWAYS_ON, ALWAYS_OFF):
            self.sampler = UuidFairSampler(self.sampler)
        self._shared: dict[OtlpSettings, tuple[list[Exporting], SpanCounts, int]] = {}
        renew_when_used(self, self.processors)

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Any = None,
    ) -> trace.Tracer:
        """A tracer, as the SDK makes it."""
        tracer = super().get_tracer(
            instrumenting_module_name, instrumenting_library_version, schema_url, attributes
        )
        renew_when_used(self, tracer)
        return tracer

    def _handle_fork(self) -> None:
        """Nothing at the fork: see `renew`."""

    def renew(self) -> None:
        """Have what exports begin anew in a forked child, when it is first used there."""
        begin_anew([self])
        if hasattr(TracerProvider, "_handle_fork"):  # releases of the SDK before 1.44 have none
            super()._handle_fork()

    def acquire(self, settings: OtlpSettings) -> tuple[list[Exporting], SpanCounts]:
        """Have spans exported as the settings say; users with the same settings share."""
        processors, counts, users = self._shared.get(settings) or ([], SpanCounts(), 0)
        if not users:
            processors = span_processors(settings, counts)
            for processor in processors:
                self.processors.add_span_processor(processor)
        self._shared[settings] = (processors, counts, users + 1)
        return processors, counts

    def release(self, settings: OtlpSettings) -> list[Exporting]:
        """Take back `acquire`; the processors that nobody uses any more are to be shut down."""
        processors, counts, users = self._shared[settings]
        if users > 1:
            self._shared[settings] = (processors, counts, users - 1)
            return []
        del self._shared[settings]
        for processor in processors:
            self.processors.remove(processor)
        return list(processors)


def span_processors(
    settings: OtlpSettings, counts: SpanCounts
) -> list[OtlpProcessor | BatchSpanProcessor]:
    """One processor for each exporter that the settings or the environment switch on.

    One that cannot be made, because a variable is wrong, is warned of and left out.
    """
    made = (_processor(export, counts) for export in exports(settings))
    return [processor for processor in made if processor is not None]


def _processor(export: Export, counts: SpanCounts) -> OtlpProcessor | BatchSpanProcessor | None:
    try:
        if isinstance(export, OtlpSettings):
            return OtlpProcessor(export, counts)
        return BatchSpanProcessor(ProcessExporter(export, counts), max_queue_size=queue_size())
    except Exception as error:  # noqa: BLE001 - a wrong variable costs spans, not the rest
        logger.warning("Spans are not exported: %s", error)
        return None


_added: weakref.WeakKeyDictionary[Any, SpanProcessors] = weakref.WeakKeyDictionary()
"""What we have added to the providers of applications."""


def processors_of(provider: Any) -> SpanProcessors | None:
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


def make(settings: OtlpSettings, set_global: bool, service_name: str) -> Any:
    """The provider of a program that has none; a no-op one where none can be made.

    Args:
        settings: What the arguments say of OTLP.
        set_global: Whether it becomes the global one.
        service_name: `service.name`, where the environment has none.
    """
    if declarative.is_declared():
        declared = declarative.provider(set_global)
        if declared is not None or settings.endpoint is None:
            return declared or declarative.nothing(set_global)
    try:
        provider = OwnTracerProvider(resource_of(service_name))
    except Exception as error:  # noqa: BLE001 - a wrong variable costs spans, not the reports
        logger.warning("There are no spans, OpenTelemetry's SDK cannot be set up: %s", error)
        return trace.NoOpTracerProvider()
    if set_global:
        trace.set_tracer_provider(provider)
    return provider
