"""ServerOtel: every workflow run is a trace, every task a span."""

from __future__ import annotations

import threading
import time
import weakref
from collections import OrderedDict
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import Link, SpanContext, SpanKind

from dotflow.abc.server import Carrier, FlushResult, Server, WorkflowDescription
from dotflow.core.types import TypeStatus, WorkflowStatus
from dotflow.delivery import at_exit
from dotflow.delivery.dialect import Dialect
from dotflow.delivery.environment import find_destination
from dotflow.delivery.forking import renew_in_child
from dotflow.delivery.numbering import next_task_id
from dotflow.logging import logger
from dotflow.otel import propagation
from dotflow.otel.exporter import DotflowSpanExporter
from dotflow.otel.ids import pinned, trace_id_of
from dotflow.otel.otlp import OtlpSettings
from dotflow.otel.processor import OwnSpanProcessor
from dotflow.otel.provider import Pipeline
from dotflow.otel.record import SpanRecorder
from dotflow.otel.runs import Run, TaskRun, WorkflowRun, with_run
from dotflow.otel.values import CONTEXT_LIMIT, Redact, clean

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from dotflow.core.task import Task, TaskError

KNOWN_ROOTS = 1000
"""Workflow ids whose last root is remembered, to be linked to by a second run."""


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

    Raises:
        ValueError: There is no such dialect or protocol, or an address is no http or https URL.
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
    ) -> None:
        self._otlp = OtlpSettings(endpoint, protocol)
        self._destination = find_destination(base_url, user_token, dialect)
        self._provider_choice = (set_global, tracer_provider, service_name)
        self._record = SpanRecorder(contexts, context_limit, redact)
        self.renew()
        renew_in_child(self)
        self._exporter: DotflowSpanExporter | None = None
        self._pipeline: Pipeline | None = None
        self._descriptions: dict[str, WorkflowDescription] = {}
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
            self._descriptions[str(workflow)] = description

    def create_workflow(self, workflow: str | UUID) -> None:
        """Nothing yet: the run's span begins when the run does."""

    def create_task(self, task: Task) -> None:
        """Nothing yet: the task is in the plan, and its span begins when it does."""

    def update_workflow(self, workflow: str | UUID, status: str = "") -> None:
        """Begin the run's span at "In progress", end it at "Completed" or "Failed"."""
        wid = str(workflow)
        if status == WorkflowStatus.IN_PROGRESS:
            self._begin_workflow(wid)
        elif status in (WorkflowStatus.COMPLETED, WorkflowStatus.FAILED):
            self._end_workflow(wid, status)

    def update_task(self, task: Task) -> None:
        """Begin the task's span when it begins, end it when it ends, report a retry between."""
        run = self._workflow_of(task)
        if run is None:
            return
        if task.status == TypeStatus.IN_PROGRESS:
            self._begin_task(run, task)
        elif task.status == TypeStatus.RETRY:
            if run.exporter is not None and task.task_id in run.tasks:
                run.exporter.update(run.tasks[task.task_id])
        elif task.status in (TypeStatus.COMPLETED, TypeStatus.FAILED):
            if task.task_id not in run.tasks:  # restored from a checkpoint
                self._begin_task(run, task)
            self._end_task(run, task)

    def start_attempt(self, task: Task, attempt: int, time_ns: int) -> None:
        """Begin the span of a try."""
        run = self._run_of(task)
        if run is not None:
            run.attempt = _started(
                self._tracer,
                "attempt",
                context=run.context,
                attributes=self._record.attempt(attempt),
                start_time=time_ns,
            )

    def end_attempt(self, task: Task, attempt: int, error: TaskError | None, time_ns: int) -> None:
        """End the span of a try, with the error it failed with."""
        del attempt  # a task has one attempt at a time
        run = self._run_of(task)
        if run is not None and run.attempt is not None:
            self._record.end_attempt(run.attempt, error, time_ns)
            run.attempt = None

    # Spans that become current.

    def activate(self, task: Task) -> AbstractContextManager[Any]:
        """Make the attempt's span, or the task's, current in this thread."""
        run = self._run_of(task)
        return nullcontext() if run is None else _Active(_innermost(run))

    def carrier(self, task: Task) -> Carrier:
        """What leads another process to the attempt's span, or the task's."""
        run = self._run_of(task)
        return {} if run is None else propagation.carrier_of(_innermost(run))

    @classmethod
    def attach(cls, carrier: Carrier) -> AbstractContextManager[Any]:
        """Make the span that a carrier leads to current, in a child process."""
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
        return replace(result, complete=result.complete and is_sent)

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
        return replace(result, complete=result.complete and is_sent)

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
        pipeline = self._open()
        at_exit.close_in_child()
        description = self._descriptions.pop(wid, None) or WorkflowDescription()
        context = propagation.where_the_run_comes_from()
        again = wid in self._roots
        run = WorkflowRun(
            wid, description, context, self._exporter,
            known=description.managed or again, again=description.resumed or again,
        )  # fmt: skip
        parent = trace.get_current_span(context).get_span_context()
        is_entry = not parent.is_valid or parent.is_remote
        with pinned(trace_id_of(wid)) if pipeline.pins_trace_ids else nullcontext():
            run.span = _started(
                pipeline.tracer,
                run.name,
                context=with_run(run, context),
                kind=SpanKind.SERVER if is_entry else SpanKind.INTERNAL,
                attributes=self._record.workflow(run),
                links=[Link(self._roots[wid])] if wid in self._roots else None,
            )
        run.context = trace.set_span_in_context(run.span, context)
        self._runs.setdefault(wid, []).append(run)
        self._remember_root(wid, run.span.get_span_context())
        self._report_start(run)

    def _end_workflow(self, wid: str, status: str) -> None:
        runs = self._runs.get(wid)
        if not runs:
            return
        run = runs.pop()
        if not runs:
            del self._runs[wid]
        run.finish(status)
        try:
            self._record.end_workflow(run)
            run.span.end()
        finally:  # a processor of the application may raise
            self._report_end(run)

    def _begin_task(self, workflow: WorkflowRun, task: Task) -> None:
        run = TaskRun(task, workflow)
        run.span = _started(
            self._tracer,
            clean(task.step.name),
            context=with_run(run, workflow.context),
            attributes=self._record.task(run),
            start_time=task.started_ns,
        )
        run.context = trace.set_span_in_context(run.span, workflow.context)
        workflow.tasks[task.task_id] = run
        self._report_start(run)

    def _end_task(self, workflow: WorkflowRun, task: Task) -> None:
        run = workflow.tasks.pop(task.task_id)
        if run.attempt is not None:  # a child that died within a try
            self._record.end_attempt(run.attempt, task.errors[-1], task.finished_ns)
        if task.status == TypeStatus.FAILED and workflow.first_failed is None:
            workflow.first_failed = task
        try:
            self._record.end_task(run)
            run.span.end(task.finished_ns)
        finally:  # a processor of the application may raise
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

    def _run_of(self, task: Task) -> TaskRun | None:
        workflow = self._workflow_of(task)
        return None if workflow is None else workflow.tasks.get(task.task_id)

    def _workflow_of(self, task: Task) -> WorkflowRun | None:
        runs = self._runs.get(str(task.workflow_id))
        if not runs:
            return None
        if len(runs) == 1:
            return runs[0]
        own = (run for run in reversed(runs) if any(one is task for one in run.description.tasks))
        return next(own, runs[-1])

    def _remember_root(self, wid: str, root: SpanContext) -> None:
        self._roots[wid] = root
        self._roots.move_to_end(wid)
        if len(self._roots) > KNOWN_ROOTS:
            self._roots.popitem(last=False)


def _countdown(timeout: float | None) -> Callable[[], float]:
    """Tells the seconds that are left of a time that begins now."""
    deadline = time.monotonic() + (at_exit.flush_timeout() if timeout is None else timeout)
    return lambda: max(0.0, deadline - time.monotonic())


def _started(tracer: trace.Tracer, name: str, context: Context, **known: Any) -> trace.Span:
    """A span; where a processor of the application raises, one that records nothing."""
    try:
        return tracer.start_span(name, context, **known)
    except Exception as error:  # noqa: BLE001 - it costs the span, not the report
        logger.warning("A span could not be started: %s", error)
        return trace.NonRecordingSpan(trace.get_current_span(context).get_span_context())


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
