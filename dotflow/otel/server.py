"""ServerOtel: every workflow run is a trace, every task a span."""

from __future__ import annotations

import threading
import time
import weakref
from collections import OrderedDict
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, TypeVar

from opentelemetry import trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import Link, SpanContext, SpanKind

from dotflow.abc.server import FlushResult, Server, WorkflowDescription
from dotflow.core.types import TypeStatus, WorkflowStatus
from dotflow.delivery.dialect import Dialect
from dotflow.delivery.environment import find_destination
from dotflow.delivery.numbering import next_task_id
from dotflow.otel import attributes as names
from dotflow.otel import propagation
from dotflow.otel.export.otlp import OtlpSettings
from dotflow.otel.export.provider import Pipeline, open_in_child
from dotflow.otel.exporter import DotflowSpanExporter
from dotflow.otel.ids import pinned, trace_id_of
from dotflow.otel.processor import OwnSpanProcessor
from dotflow.otel.spans.earlier import link, links_to, note_of
from dotflow.otel.spans.markers import PART, TASK, WORKFLOW, are_wanted, mark
from dotflow.otel.spans.origin import Origin, TraceContinuation, origin_of_a_run, within_run
from dotflow.otel.spans.record import SpanRecorder
from dotflow.otel.spans.runs import Run, TaskRun, WorkflowRun, with_run
from dotflow.otel.spans.splitting import Part, Splitter
from dotflow.otel.spans.starting import started
from dotflow.otel.spans.values import CONTEXT_LIMIT, Redact, short
from dotflow.process import at_exit
from dotflow.process.forking import renew_in_child

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from uuid import UUID

    from dotflow.abc.facts import Carrier
    from dotflow.abc.task import Failure, TaskView

KNOWN_ROOTS = 1000
"""Workflow ids whose last root is remembered, to be linked to by a second run."""

KNOWN_DESCRIPTIONS = 1000
"""Runs that were described and have not begun. The engine has one: they begin next."""

OPEN_RUNS = 10_000
"""Workflow ids with runs under way; of more the oldest is taken for one whose end never came."""

MOST_NESTED = 100
"""Runs under way under one id, each within a step of the one before."""


Known = TypeVar("Known")


class ServerOtel(Server):
    """Reports runs as OpenTelemetry spans, and, where a dotflow-api is configured, there too.

    Nothing starts and nothing global is set before the first run. An application's tracer
    provider is used as it is; where there is none, one is made by the standard `OTEL_*` variables.

    Args:
        base_url: The address of a dotflow-api; without one what the environment says
            (`DOTFLOW_SERVER_URL`, or `SERVER_BASE_URL` of the managed dialect).
        user_token: Its token; without one what the environment says (`DOTFLOW_USER_TOKEN`, or
            `SERVER_USER_TOKEN`).
        dialect: "default" or "managed"; without one that whose variables are set.
        endpoint: An OTLP endpoint; without one what `OTEL_EXPORTER_OTLP_ENDPOINT` and its kin say.
        protocol: "http/protobuf" or "grpc"; without one what `OTEL_EXPORTER_OTLP_PROTOCOL` says.
        tracer_provider: The provider to use, in place of the global one.
        set_global: Whether a provider that is made becomes the global one.
        service_name: `service.name` of a provider that is made, where the environment has none.
        contexts: Whether spans carry the tasks' contexts; dotflow-api has them either way.
        context_limit: Characters of a context that a span carries.
        redact: Called as `redact(role, value)` with the role ("initial", "previous", "current")
            and the value of a context; spans carry what it returns.
        trace_continuation: What a run does with the trace that it is started in (the current
            span's, else that of `TRACEPARENT`): "continue" it, be a trace of its own with a "link"
            to it, or be a "new" one without; without one what `DOTFLOW_TRACE_CONTINUATION` says,
            else "continue". A run that a step of another starts is always a part of that one.
        markers: Whether a tiny span says at once that a run or a task has begun: the spans
            themselves are exported when they end; without it what `DOTFLOW_TRACE_MARKERS` says.
        tasks_per_trace: Tasks after which a run goes on in another trace, linked to the first;
            0 for never; without it what `DOTFLOW_TRACE_MAX_TASKS` says, else 10,000.

    Raises:
        ValueError: There is no such dialect, protocol or continuation, or an address is no http
            or https URL.
    """

    def __init__(
        self,
        base_url: str | None = None,
        user_token: str | None = None,
        dialect: Dialect | str | None = None,
        *,
        endpoint: str | None = None,
        protocol: str | None = None,
        tracer_provider: Any = None,
        set_global: bool = True,
        service_name: str = "dotflow",
        contexts: bool = True,
        context_limit: int = CONTEXT_LIMIT,
        redact: Redact | None = None,
        trace_continuation: TraceContinuation | str | None = None,
        markers: bool | None = None,
        tasks_per_trace: int | None = None,
    ) -> None:
        self._continuation = TraceContinuation.chosen(trace_continuation)
        self._otlp = OtlpSettings(endpoint, protocol)
        self._destination = find_destination(base_url, user_token, dialect)
        self._provider_choice = (set_global, tracer_provider, service_name)
        self._record = SpanRecorder(contexts, context_limit, redact)
        self._has_markers = are_wanted(markers)
        self._splitter = Splitter(tasks_per_trace)
        self.renew()
        renew_in_child(self)
        self._exporter: DotflowSpanExporter | None = None
        self._pipeline: Pipeline | None = None
        self._descriptions: OrderedDict[str, WorkflowDescription] = OrderedDict()
        # Several under one id where a step starts a run under it (WORKFLOW_ID): the last is inner.
        self._runs: dict[str, list[WorkflowRun]] = {}
        self._roots: OrderedDict[str, SpanContext] = OrderedDict()

    def renew(self) -> None:
        """Have a lock that nobody holds, in a forked child."""
        self._lock = threading.Lock()

    # The life of a run, as the engine reports it.

    def get_next_task_id(self, workflow: str | UUID) -> int:
        """The number that dotflow-api says (managed dialect); it never collides."""
        exporter = self._open_exporter()
        if exporter is None or exporter.channel.destination.dialect is not Dialect.MANAGED:
            return super().get_next_task_id(workflow)
        return next_task_id(exporter.channel, str(workflow))

    def describe_workflow(self, workflow: str | UUID, description: WorkflowDescription) -> None:
        """Keep what is known of a run that is about to start."""
        if description.mode is not None:
            _remember(self._descriptions, str(workflow), description, KNOWN_DESCRIPTIONS)

    def create_workflow(self, workflow: str | UUID) -> None:
        """Nothing yet: the run's span begins when the run does."""

    def create_task(self, task: TaskView) -> None:
        """Nothing yet: the task is in the plan, and its span begins when it does."""

    def update_workflow(self, workflow: str | UUID, status: str = "") -> None:
        """Begin the run's span at "In progress", end it at "Completed" or "Failed"."""
        wid = str(workflow)
        if status == WorkflowStatus.IN_PROGRESS:
            self._begin_workflow(wid)
        elif status in (WorkflowStatus.COMPLETED, WorkflowStatus.FAILED):
            self._end_workflow(wid, status)

    def fail_workflow(self, workflow: str | UUID, error: Failure) -> None:
        """Keep what ended a run, for its span to say."""
        runs = self._runs.get(str(workflow))
        if runs:
            runs[-1].error = error

    def update_task(self, task: TaskView) -> None:
        """Begin the task's span when it begins, end it when it ends, report a retry between."""
        run = self._workflow_of(task)
        if run is None:
            return
        if task.status == TypeStatus.IN_PROGRESS:
            if task.task_id not in run.tasks:
                self._begin_task(run, task)
        elif task.status == TypeStatus.RETRY:
            if run.exporter is not None and task.task_id in run.tasks:
                run.exporter.update(run.tasks[task.task_id])
        elif task.status in (TypeStatus.COMPLETED, TypeStatus.FAILED):
            if task.task_id not in run.tasks:
                if task.task_id in run.ended:
                    return
                self._begin_task(run, task)  # restored from a checkpoint
            self._end_task(run, task)

    def start_attempt(self, task: TaskView, attempt: int, time_ns: int) -> None:
        """Begin the span of a try."""
        run = self._run_of(task)
        if run is not None:
            if run.attempt is not None:  # its end was not told
                run.attempt.end(time_ns)
            run.attempt_number = attempt
            run.attempt = started(
                self._tracer,
                "attempt",
                context=run.context,
                attributes=self._record.attempt(attempt),
                start_time=time_ns,
            )

    def end_attempt(
        self, task: TaskView, attempt: int, error: Failure | None, time_ns: int
    ) -> None:
        """End the span of a try, with the error it failed with."""
        run = self._run_of(task)
        # A task has one attempt at a time: the end of another one is not this one's.
        if run is not None and run.attempt is not None and run.attempt_number == attempt:
            self._record.end_attempt(run.attempt, error, time_ns)
            run.attempt = None

    # What a later run is to know of this one.

    keeps_notes = True

    def note(self, workflow: str | UUID, task: TaskView | None = None) -> Carrier:
        """What leads to the span of the run, or of the task."""
        if task is not None:
            run = self._run_of(task)
            return {} if run is None else note_of(run.span)
        runs = self._runs.get(str(workflow))
        return note_of(runs[-1].span) if runs else {}

    def restored(self, task: TaskView, note: Carrier) -> None:
        """Begin the span of a restored task, with a link to the span that did the work."""
        run = self._workflow_of(task)
        if run is not None and task.task_id not in run.tasks:
            self._begin_task(run, task, links_to(note, names.LINK_RESTORED_FROM))

    # Spans that become current.

    def activate(self, task: TaskView) -> AbstractContextManager[Any]:
        """Make the attempt's span, or the task's, current in this thread."""
        run = self._run_of(task)
        return nullcontext() if run is None else _Active(_innermost(run))

    def carrier(self, task: TaskView) -> Carrier:
        """What leads another process to the attempt's span, or the task's."""
        run = self._run_of(task)
        if run is None:
            return {}
        run.workflow.has_children = True
        return {**propagation.step_carrier_of(_innermost(run)), **self._open().for_a_child}

    @classmethod
    def attach(cls, carrier: Carrier) -> AbstractContextManager[Any]:
        """Make the span that a carrier leads to current, in a child process."""
        open_in_child(carrier)
        return propagation.attached(carrier)

    # Delivery.

    @property
    def tracer_provider(self) -> Any:
        """The tracer provider that runs are traced with; found or made now, if it was not yet."""
        return self._open().provider

    @property
    def spans_exported(self) -> int:
        """Spans that left through OTLP so far (those of other libraries on our provider too)."""
        return 0 if self._pipeline is None else self._pipeline.counts.exported

    @property
    def spans_failed(self) -> int:
        """Spans that are lost: that no exporter will deliver."""
        return 0 if self._pipeline is None else self._pipeline.counts.failed

    @property
    def spans_kept(self) -> int:
        """Spans that wait in the outbox, for the OTLP endpoint to take them."""
        return 0 if self._pipeline is None else self._pipeline.counts.kept

    def flush(self, timeout: float | None = None) -> FlushResult:
        """Send what has ended, to OTLP and to dotflow-api, within `timeout` seconds for both.

        Spans that an OTLP endpoint did not take before are sent too.

        Args:
            timeout: Seconds; `DOTFLOW_FLUSH_TIMEOUT` (5 by default) without one.
        """
        left = _countdown(timeout)
        spans_sent = None if self._pipeline is None else self._pipeline.begin_flush()
        result = FlushResult()
        if self._exporter is not None:
            result = self._exporter.channel.flush(left())
        is_sent = spans_sent is None or spans_sent(left())
        return result._replace(complete=result.complete and is_sent)

    def close(self, timeout: float | None = None) -> FlushResult:
        """Flush, and release threads and connections; a later run begins anew.

        Reports and spans that are left stay in their outboxes, for the next process.

        Args:
            timeout: Seconds; `DOTFLOW_FLUSH_TIMEOUT` (5 by default) without one.
        """
        left = _countdown(timeout)
        with self._lock:
            pipeline, exporter = self._pipeline, self._exporter
            self._pipeline = self._exporter = None
        if pipeline is not None:
            self._abandoned.detach()
            pipeline.hurry()
        result = FlushResult() if exporter is None else exporter.channel.close(left())
        is_sent = pipeline is None or pipeline.close(left())
        return result._replace(complete=result.complete and is_sent)

    def shutdown(self) -> FlushResult:
        """The same as `close`, by OpenTelemetry's word."""
        return self.close()

    # The spans themselves.

    @property
    def _tracer(self) -> trace.Tracer:
        return self._open().tracer

    def _open(self) -> Pipeline:
        """The tracer provider, found or made when the first run starts."""
        pipeline = self._pipeline
        if pipeline is None:
            exporter = self._open_exporter()
            with self._lock:
                if self._pipeline is None:
                    processor = OwnSpanProcessor(exporter) if exporter is not None else None
                    self._pipeline = Pipeline(self._otlp, processor, *self._provider_choice)
                    # What nobody holds any more is closed, its spans sent.
                    self._abandoned = weakref.finalize(self, self._pipeline.abandon)
                    self._abandoned.atexit = False
                pipeline = self._pipeline
        return pipeline

    def _open_exporter(self) -> DotflowSpanExporter | None:
        with self._lock:
            if self._exporter is None and self._destination is not None:
                self._exporter = DotflowSpanExporter(
                    self._destination.url,
                    self._destination.token,
                    self._destination.dialect,
                    self._destination.timeout,
                )
            return self._exporter

    def _begin_workflow(self, wid: str) -> None:
        if wid in self._runs and wid not in self._descriptions:
            return  # told twice: a run within a step of this one is described before it begins
        pipeline = self._open()
        at_exit.close_in_child()
        description = self._descriptions.pop(wid, None) or WorkflowDescription()
        origin = origin_of_a_run(self._continuation)
        context = origin.context
        again = wid in self._roots
        run = WorkflowRun(
            wid, description, context, self._exporter,
            known=description.managed or again, again=description.resumed or again,
        )  # fmt: skip
        parent = trace.get_current_span(context).get_span_context()
        is_entry = not parent.is_valid or parent.is_remote
        known = self._record.workflow(run)
        with pinned(trace_id_of(wid)) if pipeline.pins_trace_ids else nullcontext():
            run.span = started(
                pipeline.tracer,
                short(run.name),
                context=with_run(run, context),
                kind=SpanKind.SERVER if is_entry else SpanKind.INTERNAL,
                attributes=known,
                links=self._links_of(run, origin),
            )
        run.context = within_run(trace.set_span_in_context(run.span, context))
        run.part = Part(1, run.span, run.context)
        self._runs.setdefault(wid, []).append(run)
        _remember(self._roots, wid, run.span.get_span_context(), KNOWN_ROOTS)
        self._report_start(run)
        self._mark(WORKFLOW, run.span, known)
        self._abandon_the_oldest(wid)

    def _links_of(self, run: WorkflowRun, origin: Origin) -> list[Link]:
        """From the root of a run to that of the run before it, and to the span it is started in."""
        links = links_to(run.description.earlier, names.LINK_EARLIER_RUN)
        last = self._roots.get(run.workflow)
        if not links and last is not None:
            links = [link(last, names.LINK_EARLIER_RUN)]
        if origin.linked is not None:
            links.append(Link(origin.linked, {names.LINK_TYPE: names.LINK_STARTED_IN}))
        return links

    def _mark(self, name: str, span: trace.Span, known: Mapping[str, Any]) -> None:
        if self._has_markers:
            mark(self._tracer, name, span, known)

    def _abandon_the_oldest(self, wid: str) -> None:
        """End the spans of runs whose ends never came, where these are too many."""
        if len(self._runs[wid]) > MOST_NESTED:
            self._end_spans(self._runs[wid].pop(0))
        while len(self._runs) > OPEN_RUNS:
            for run in self._runs.pop(next(iter(self._runs))):
                self._end_spans(run)

    def _end_workflow(self, wid: str, status: str) -> None:
        runs = self._runs.get(wid)
        if not runs:
            return
        run = runs.pop()
        if not runs:
            del self._runs[wid]
        run.finish(status)
        self._end_spans(run)
        if run.has_children and self._pipeline is not None:
            self._pipeline.look()

    def _end_spans(self, run: WorkflowRun) -> None:
        """End the span of a run, and those of it that are left: none, where its engine is ours."""
        try:
            for task in list(run.tasks.values()):
                self._abandon_task(task)
            self._splitter.close(run)
            self._record.end_workflow(run)
            run.span.end()
        finally:  # a processor of the application may raise
            self._report_end(run)

    def _abandon_task(self, run: TaskRun) -> None:
        """End the span of a task whose run ended before it."""
        del run.workflow.tasks[run.task.task_id]
        try:
            if run.attempt is not None:
                run.attempt.end()
            self._record.abandon_task(run.span, run.task.status)
            run.span.end()
        finally:
            self._splitter.leave(run.workflow, run.part, run.task, run.span)
            self._report_end(run)

    def _begin_task(
        self, workflow: WorkflowRun, task: TaskView, links: Sequence[Link] = ()
    ) -> None:
        pipeline = self._open()
        if self._splitter.enter(workflow, pipeline, task.started_ns):
            self._mark(PART, workflow.part.span, workflow.part.known)
        run = TaskRun(task, workflow)
        known = self._record.task(run)
        run.span = started(
            pipeline.tracer,
            short(task.step.name),
            context=with_run(run, run.context),
            attributes=known,
            links=links,
            start_time=task.started_ns,
        )
        run.context = trace.set_span_in_context(run.span, run.context)
        workflow.tasks[task.task_id] = run
        workflow.ended.discard(task.task_id)
        run.part.begin()
        self._report_start(run)
        if task.status == TypeStatus.IN_PROGRESS:  # what is over as it begins needs no marker
            self._mark(TASK, run.span, known)

    def _end_task(self, workflow: WorkflowRun, task: TaskView) -> None:
        run = workflow.tasks.pop(task.task_id)
        workflow.ended.add(task.task_id)
        has_failed = task.status == TypeStatus.FAILED
        if run.attempt is not None:  # a child that died within a try
            error = task.errors[-1] if has_failed and task.errors else None
            self._record.end_attempt(run.attempt, error, task.finished_ns)
        if has_failed and workflow.first_failed is None:
            workflow.first_failed = task
        try:
            self._record.end_task(run)
            run.span.end(task.finished_ns)
        finally:  # a processor of the application may raise
            self._splitter.leave(workflow, run.part, task, run.span)
            self._report_end(run)

    @staticmethod
    def _report_start(run: Run) -> None:
        # A recorded span has brought the run to its exporter already: then this is nothing.
        if run.exporter is not None:
            run.exporter.start(run, run.span.get_span_context())

    @staticmethod
    def _report_end(run: Run) -> None:
        if run.exporter is not None:
            run.exporter.end(run, run.span.get_span_context())

    def _run_of(self, task: TaskView) -> TaskRun | None:
        workflow = self._workflow_of(task)
        return None if workflow is None else workflow.tasks.get(task.task_id)

    def _workflow_of(self, task: TaskView) -> WorkflowRun | None:
        runs = self._runs.get(str(task.workflow_id))
        if not runs:
            return None
        if len(runs) == 1:
            return runs[0]
        own = (run for run in reversed(runs) if run.description.run == task.run)
        return next(own, runs[-1])


def _remember(known: OrderedDict[str, Known], key: str, value: Known, most: int) -> None:
    """Keep a value under a key, of the last `most` keys."""
    known[key] = value
    known.move_to_end(key)
    if len(known) > most:
        known.popitem(last=False)


def _countdown(timeout: float | None) -> Callable[[], float]:
    """Tells the seconds that are left of a time that begins now."""
    deadline = time.monotonic() + (at_exit.flush_timeout() if timeout is None else timeout)
    return lambda: max(0.0, deadline - time.monotonic())


def _innermost(run: TaskRun) -> Context:
    if run.attempt is None:
        return run.context
    return trace.set_span_in_context(run.attempt, run.context)


class _Active(AbstractContextManager[None]):
    """Makes a context current, and what was current before it again."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def __enter__(self) -> None:
        self._token = attach(self._context)

    def __exit__(self, *_: object) -> None:
        detach(self._token)
