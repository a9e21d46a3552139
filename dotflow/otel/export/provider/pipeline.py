"""The tracer provider: the application's, or one made by the standard variables."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan

from dotflow.logging import logger
from dotflow.otel import attributes as names
from dotflow.otel.export.children import for_a_child
from dotflow.otel.export.deadline import DeadlineRunner
from dotflow.otel.export.leaving.batch import SPANS, OtlpProcessor
from dotflow.otel.export.leaving.outgoing import Outgoing
from dotflow.otel.export.otlp.exports import SpanCounts
from dotflow.otel.export.otlp.served import is_served
from dotflow.otel.export.provider import declarative, delivering
from dotflow.otel.export.provider.ending import providers
from dotflow.otel.export.provider.own import OwnTracerProvider, make, processors_of, span_processors
from dotflow.otel.ids import WorkflowIdGenerator, span_ids_of
from dotflow.otel.logs.installed import Logs
from dotflow.otel.spans.place import Place
from dotflow.otel.spans.sampling import is_decided_by_parent, make_fair
from dotflow.otel.workers.told import for_a_worker
from dotflow.process import at_exit, watch
from dotflow.process.late import renew_when_used
from dotflow.process.variables import mended
from dotflow.runlog.texts import Texts
from dotflow.runlog.writer import run_log
from dotflow.version import __version__

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    from dotflow.otel.export.otlp.endpoint import OtlpSettings
    from dotflow.otel.processor import OwnSpanProcessor

    Exporting = OtlpProcessor | BatchSpanProcessor

CHILD_KEY = "dotflow-provider"
"""Where a carrier says what provider a child makes; no propagator reads it."""

Wait = Callable[[float], bool]
"""Waits at most some seconds, and says whether all went well in that time."""

_lock = threading.Lock()


def _renew_lock() -> None:
    global _lock  # noqa: PLW0603 - in a forked child nobody holds it
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


class Pipeline:
    """What one ServerOtel has of a provider: a tracer, and the processors that it added.

    Args:
        settings: What the arguments say of OTLP.
        processor: What stands for the dotflow-api of the server on the provider, or None.
        set_global: Whether a provider that is made becomes the global one.
        tracer_provider: The provider to use, in place of the global one.
        service_name: `service.name` of a provider that is made, where the environment has none.
        texts: What decides what may be said of exceptions.
        has_logs: Whether what steps log leaves too; None for what the environment says.

    Attributes:
        provider: The provider.
        tracer: Its tracer for dotflow's spans.
        pins_trace_ids: Whether the trace id of a root can be chosen.
        counts: The spans that left through OTLP, where this pipeline sees that.
        new_span_id: Gives an id for a light span.
        is_open: Whether it is not closed.
    """

    def __init__(
        self,
        settings: OtlpSettings,
        processor: OwnSpanProcessor | None = None,
        set_global: bool = True,
        tracer_provider: Any = None,
        service_name: str = names.SCOPE,
        texts: Texts | None = None,
        has_logs: bool | None = None,
    ) -> None:
        self._settings = settings
        self._service_name = service_name
        self._texts = texts or Texts()
        self._processor = processor
        self.renew()
        renew_when_used(self)
        self._has_complained = False
        self.is_open = True
        self._taken_out: list[Any] | None = None
        self._runner = DeadlineRunner()
        with mended(), _lock:
            self.provider = (
                tracer_provider
                or declarative.existing()
                or make(settings, set_global, service_name)
            )
            self._own = self.provider if isinstance(self.provider, OwnTracerProvider) else None
            self._processors = processors_of(self.provider)
            self._batches, self.counts = self._add_processors()
            self.tracer: trace.Tracer = self.provider.get_tracer(
                names.SCOPE, __version__, schema_url=names.SCHEMA_URL
            )
        self.logs = Logs(settings, has_logs, self._texts, service_name, set_global)
        with suppress(TypeError):  # one that takes no weak reference
            providers.add(self.provider)
        generator = getattr(self.provider, "id_generator", None)
        self.pins_trace_ids = isinstance(generator, WorkflowIdGenerator)
        if self.pins_trace_ids:
            make_fair(self.tracer)
        if self._own is not None:
            self.new_span_id = span_ids_of(self._own.id_generator)
        # The SDK counts its own spans, where that is wanted.
        self._may_be_light = (
            self._own is not None
            and is_decided_by_parent(self.tracer)
            and not os.environ.get("OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED")
        )
        # Kept, for whoever made the runs may be gone at exit, and their spans not yet sent.
        at_exit.keep(self)

    def renew(self) -> None:
        """Have a forked child end it anew: no thread is here that does what the parent began."""
        self._begun, self._closed = threading.Lock(), threading.Event()
        self._sending: list[Wait] = []

    # What spans of ours need of it.

    @property
    def is_light(self) -> bool:
        """Whether nobody but our own exporters sees spans, and the sampler takes those of a run."""
        return self._may_be_light and self._own is not None and self._own.processors.are_light

    @property
    def leads_nowhere(self) -> bool:
        """Whether nobody gets spans, and no application has seen to that."""
        return self._own is not None and self._own.processors.is_empty

    def place_of(self, parent: trace.Span, run: int) -> Place | None:
        """Where the light spans below a root are; None where they cannot be light.

        Args:
            parent: The root.
            run: The run's number.
        """
        own, found = self._own, parent.get_span_context()
        if not self._may_be_light or own is None or not found.trace_flags.sampled:
            return None
        if not isinstance(parent, ReadableSpan):
            return None
        return Place(
            found, parent.resource, parent.instrumentation_scope, own.limits, own.processors, self,
            run,
        )  # fmt: skip

    def readers(self) -> dict[str, str]:
        """Which endpoints read spans from the run log, by their keys."""
        if not run_log.is_durable:
            return {}
        return {one.key: SPANS for one in self._of_spans()}

    @property
    def place(self) -> str | None:
        """Where spans go, in words; None where they are not exported."""
        if isinstance(self.provider, trace.NoOpTracerProvider):
            return None
        if self._own is None and not self._of_spans():
            return "where the program's own OpenTelemetry sends them"
        return next((one.name for one in self._of_spans()), None)

    @property
    def for_a_child(self) -> dict[str, str]:
        """What a child that is not forked makes a provider like this one from.

        Of the provider nothing where it is the application's: its own code sets up the child's.
        """
        for_all = {**self.logs.for_a_child, **for_a_child()}
        if self._own is None:
            return for_all
        known = {
            "endpoint": self._settings.endpoint,
            "protocol": self._settings.protocol,
            "service_name": self._service_name,
            "texts": self._texts.for_a_child,
        }
        return {CHILD_KEY: json.dumps(known), **for_all}

    @property
    def for_a_worker(self) -> dict[str, str]:
        """What a worker of an executor, on whatever machine, needs to know of this process."""
        told = for_a_worker(
            self.provider, self._texts.for_a_child, self._read_by(),
            [one.name for one in self.logs.keeping],
        )  # fmt: skip
        return {**for_a_child(), **told}  # its own variables say where it sends to, if it does

    def _read_by(self) -> list[str] | None:
        """Which endpoints read spans of workers from a log; None where nobody gets them at all."""
        if self._own is None:
            return None if self._processors is None else []
        if self._own.processors.others:
            return []  # those read no log: all comes back with the outcome
        return [one.name for one in self._of_spans()] or None

    @property
    def kept(self) -> int:
        """How many spans wait for their endpoints to be back."""
        return sum(one.kept for one in self._keeping() if isinstance(one, OtlpProcessor))

    def watch(self) -> None:
        """Have the logs of children be read while they live, until `look`."""
        for processor in self._keeping():
            processor.watch()

    def look(self) -> None:
        """Have the spans that children wrote be sent: the run that they were of has ended."""
        for processor in self._keeping():
            processor.look()

    # How it ends.

    def begin_flush(self) -> Wait:
        """Begin to export all that has ended; return what waits for it, at most some seconds."""
        failed_before = self.counts.failed
        sending = self._begin_to_send(at_exit.flush_timeout())
        wait = self._runner.begin(self._flush_others)

        def waited(timeout: float) -> bool:
            deadline = time.monotonic() + timeout
            sent = [wait(max(0.0, deadline - time.monotonic())) for wait in [*sending, wait]]
            return all(sent) and self.counts.failed == failed_before

        return waited

    def begin_to_deliver(self, timeout: float) -> Wait:
        """The same, but without exporters that take nothing, or were late a moment ago."""
        ours = [delivering.ours(one, timeout) for one in self._keeping()]
        return delivering.waiting([*ours, delivering.others(self._runner, self._flush_others)])

    def _begin_to_send(self, timeout: float) -> list[Wait]:
        return [one.begin_flush(timeout) for one in self._keeping() if not one.has_ended]

    def hurry(self) -> None:
        """Begin to close, without waiting for it.

        Takes no lock that it could wait for: the garbage collector may call it anywhere.
        """
        self.is_open = False
        if self._begun.acquire(blocking=False):
            self._sending = self._begin_to_send(at_exit.flush_timeout())
            self._runner.begin(self._close_others)

    def abandon(self) -> None:
        """Close, without anybody waiting for it; as `hurry`, for the garbage collector."""
        self.hurry()
        self._runner.begin(self._close_abandoned)
        self._runner.stop()

    def _close_abandoned(self) -> None:
        self._close_keeping(at_exit.flush_timeout())
        at_exit.forget(self)

    def close(self, timeout: float | None = None) -> bool:
        """Export what has ended and take out what was added.

        What an OTLP exporter has not taken when time is over is in the run log, for the next
        process.

        Returns:
            Whether all was sent within `timeout` seconds.
        """
        seconds = at_exit.flush_timeout() if timeout is None else timeout
        deadline = time.monotonic() + seconds
        failed_before = self.counts.failed
        for one in self._keeping():
            watch.leave(one.key)
        self.hurry()
        is_sent = self._close_keeping(seconds)
        is_closed = self._closed.wait(max(0.0, deadline - time.monotonic()))
        self._runner.stop()
        if is_closed:
            self._runner.join(max(0.1, deadline - time.monotonic()))
        if self._loses(is_closed) and not self._has_complained:
            self._has_complained = True
            logger.warning("Some spans could not be exported in time, and are lost.")
        at_exit.forget(self)
        return is_closed and is_sent and self.counts.failed == failed_before

    def _close_keeping(self, timeout: float) -> bool:
        """Send what ends here to OTLP endpoints, and end those that nobody else uses."""
        deadline = time.monotonic() + timeout
        sent = [wait(max(0.0, deadline - time.monotonic())) for wait in self._sending]
        left = [one.end() for one in self._take_out() if isinstance(one, Outgoing)]
        return all(sent) and not any(left)

    def _loses(self, is_closed: bool) -> bool:
        """Whether spans were with an exporter that keeps none, when time was over."""
        return not is_closed and any(not isinstance(one, Outgoing) for one in self._take_out())

    def _of_spans(self) -> Sequence[OtlpProcessor]:
        """What sends spans to OTLP endpoints."""
        if self._own is not None:
            return self._own.processors.ours
        return [one for one in self._batches if isinstance(one, OtlpProcessor)]

    def _keeping(self) -> list[Outgoing]:
        """The processors of this pipeline's OTLP exporters; others may use them too."""
        spans = [one for one in self._batches if isinstance(one, Outgoing)]
        return [*spans, *self.logs.keeping]

    def _flush_others(self) -> bool:
        """Have whatever else exports do so: what is the application's, or writes elsewhere."""
        if self._own is not None:
            ours = (one for one in self._batches if not isinstance(one, Outgoing))
            others = dict.fromkeys([*ours, *self._own.processors.others])
            flushed = [self.logs.flush_others(), *(bool(one.force_flush()) for one in others)]
            return all(flushed)
        flush = getattr(self.provider, "force_flush", None)
        return self.logs.flush_others() and (flush is None or bool(flush()))

    def _close_others(self) -> None:
        try:
            ended = self._take_out()
            self._flush_others()
            for processor in ended:
                if not isinstance(processor, Outgoing):
                    processor.shutdown()
        finally:
            self._closed.set()

    def _take_out(self) -> list[Any]:
        """Take out what was added; return what nobody else uses, to be shut down."""
        with _lock:
            if self._taken_out is None:
                self._taken_out = self._batches
                if self._processors is not None:
                    self._processors.say_no_more(self._texts)
                    if self._processor is not None:
                        self._processors.remove(self._processor)
                if self._own is not None:
                    self._taken_out = self._own.release(self._settings)
                elif self._processors is not None:
                    for batch in self._batches:
                        self._processors.remove(batch)
                self._taken_out = [*self._taken_out, *self.logs.take_out()]
            return self._taken_out

    def _add_processors(self) -> tuple[list[Exporting], SpanCounts]:
        """Add our processors; return those that export, and where they count."""
        counts = SpanCounts()
        # Not the SDK's: it makes spans, and only it knows what becomes of them.
        if self._processors is None:
            return [], counts
        self._processors.say(self._texts)
        if self._processor is not None:
            self._processors.add_span_processor(self._processor)
        if self._own is not None:
            return self._own.acquire(self._settings)
        # The application has seen to its own export. An endpoint in our arguments is one more.
        is_one_more = self._settings.endpoint is not None and not is_served(
            self.provider, self._settings
        )
        batches = span_processors(self._settings, counts) if is_one_more else []
        for batch in batches:
            self._processors.add_span_processor(batch)
        return batches, counts
