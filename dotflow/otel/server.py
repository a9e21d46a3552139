"""ServerOtel: every workflow run is a trace, every task a span."""

from __future__ import annotations

import threading
import weakref
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from opentelemetry.trace import format_trace_id

from dotflow.abc import facts
from dotflow.delivery.dialect import Dialect
from dotflow.delivery.environment import find_destination
from dotflow.delivery.numbering import next_task_id
from dotflow.otel import propagation
from dotflow.otel.export.otlp.endpoint import OtlpSettings
from dotflow.otel.export.otlp.exports import load, tell_of_nowhere
from dotflow.otel.exporter import DotflowSpanExporter
from dotflow.otel.flushing import FlushedServer
from dotflow.otel.hooks import HookedServer
from dotflow.otel.metrics.of_server import ServerMetrics
from dotflow.otel.processor import OwnSpanProcessor
from dotflow.otel.spans.exceptions import Exceptions
from dotflow.otel.spans.light import LightSpan
from dotflow.otel.spans.markers import are_wanted
from dotflow.otel.spans.open_runs import OpenRuns
from dotflow.otel.spans.origin import TraceContinuation
from dotflow.otel.spans.runs import Active
from dotflow.otel.spans.splitting import Splitter
from dotflow.otel.spans.starting import is_sampled
from dotflow.otel.spans.tasks import TaskTeller
from dotflow.otel.spans.values import CONTEXT_LIMIT
from dotflow.otel.spans.workflows import WorkflowTeller
from dotflow.process.at_exit import is_child
from dotflow.process.forking import renew_in_child
from dotflow.runlog.texts import Redact, Texts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from opentelemetry.trace import Span

    from dotflow.abc.facts import Carrier, Fact
    from dotflow.abc.task import Failure, TaskView
    from dotflow.abc.words import Words
    from dotflow.otel.export.provider.pipeline import Pipeline
    from dotflow.otel.spans.runs import TaskRun


class ServerOtel(FlushedServer):
    """Reports each run as an OpenTelemetry trace, and to dotflow-api if an address is configured.

    ServerOtel uses the tracer provider of your application. If the application has none, ServerOtel
    makes one by the standard `OTEL_*` variables. Before the first run it starts nothing and sets
    nothing global. None of its methods raises or waits for a network in the workflow's thread.

    Args:
        base_url: The address of a dotflow-api; by default `DOTFLOW_SERVER_URL`, or
            `SERVER_BASE_URL` for the managed dialect.
        user_token: The token for that address; by default `DOTFLOW_USER_TOKEN`, or
            `SERVER_USER_TOKEN`.
        dialect: "default" or "managed"; by default the dialect whose variables are set.
        endpoint: An OTLP endpoint; by default `OTEL_EXPORTER_OTLP_ENDPOINT`, or
            `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`.
        protocol: "http/protobuf" or "grpc"; by default `OTEL_EXPORTER_OTLP_PROTOCOL`.
        tracer_provider: The tracer provider to use; by default the global one.
        meter_provider: The meter provider to count runs and tasks with; by default the global one.
        set_global: Whether a provider that ServerOtel makes becomes the global one.
        service_name: The `service.name` of a provider that ServerOtel makes, if the environment
            names none.
        contexts: Whether spans and records carry the tasks' contexts.
        context_limit: How many characters of a context a span carries.
        redact: Called as `redact(role, value)` with the role ("initial", "previous", "current"
            or "error") and a value; reports carry what the function returns.
        whole_values: Whether reports carry the values of keys that look like credentials; by
            default `DOTFLOW_WHOLE_VALUES` decides.
        trace_continuation: What a run does if it starts within a trace (the current span's, else
            the trace of `TRACEPARENT`): "continue" that trace, begin a trace of its own with a
            "link" to it, or begin a "new" one. By default `DOTFLOW_TRACE_CONTINUATION`, else
            "continue". A run that a step starts is always part of that step's run.
        markers: Whether a tiny span says at once that a run or a task has begun; the spans
            themselves are exported when they end. By default `DOTFLOW_TRACE_MARKERS` decides.
        tasks_per_trace: After how many tasks a run goes on in another trace, linked to the first; 0
            for never. By default `DOTFLOW_TRACE_MAX_TASKS`, else 10,000.
        logs: Whether the log records of steps go to the OTLP endpoint too; by default they do if
            `OTEL_LOGS_EXPORTER` or `OTEL_EXPORTER_OTLP_LOGS_ENDPOINT` says so.

    Raises:
        ValueError: The dialect, the protocol or the continuation does not exist; or an address is
            not an http or https URL.
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
        meter_provider: Any = None,
        set_global: bool = True,
        service_name: str = "dotflow",
        contexts: bool = True,
        context_limit: int = CONTEXT_LIMIT,
        redact: Redact | None = None,
        whole_values: bool | None = None,
        trace_continuation: TraceContinuation | str | None = None,
        markers: bool | None = None,
        tasks_per_trace: int | None = None,
        logs: bool | None = None,
    ) -> None:
        super().__init__()
        self._continuation = TraceContinuation.chosen(trace_continuation)
        self._otlp = OtlpSettings(endpoint, protocol)
        self._destination = find_destination(base_url, user_token, dialect)
        self._provider_choice = (set_global, tracer_provider, service_name)
        self._exporter: DotflowSpanExporter | None = None
        self._pipeline: Pipeline | None = None
        self._runs = OpenRuns()
        self._metrics = ServerMetrics(
            self._runs, self._otlp, meter_provider, set_global, service_name
        )
        self._has_logs = logs
        if not is_child():  # one that runs a step only writes
            load(self._otlp, self._metrics.load, self._destination is not None)
        self._texts = texts = Texts(contexts, redact, whole_values)
        exceptions = Exceptions()
        has_markers = are_wanted(markers)
        splitter = Splitter(tasks_per_trace, has_markers)
        # Not methods of this object: it is garbage as soon as nobody has it.
        opened = _opener(self)
        self._tasks = TaskTeller(
            self._runs, opened, texts, context_limit, exceptions, splitter, has_markers,
            redact is not None,
        )  # fmt: skip
        self._workflows = WorkflowTeller(
            self._runs, opened, self._tasks, texts, exceptions, splitter, self._continuation,
            has_markers, self._metrics,
        )  # fmt: skip
        self._tell: dict[type, Callable[[Any, Any], None]] = {
            facts.TaskAdded: _nothing,
            facts.TaskBegan: self._tasks.began,
            facts.AttemptBegan: self._tasks.attempt_began,
            facts.AttemptEnded: self._tasks.attempt_ended,
            facts.Retried: self._tasks.retried,
            facts.TaskEnded: self._tasks.ended,
            facts.TaskRestored: self._tasks.restored,
        }
        self._is_plain: bool | None = None
        self.renew()
        renew_in_child(self)

    def renew(self) -> None:
        """Have a lock that nobody holds, in a forked child; runs under way are the parent's."""
        self._lock = threading.Lock()
        self._runs.forget()

    # What happens in a run.

    def happened(self, fact: Fact, subject: Any) -> None:
        """Begin or end the spans that a fact is about, and write the fact down."""
        tell = self._tell.get(type(fact))
        if tell is not None and self._is_plain:
            tell(fact, subject)
        elif isinstance(fact, (facts.RunBegan, facts.WorkflowCreated)):
            self._is_plain = not HookedServer._is_overridden(self)
            self._of_workflow(fact, subject)
        elif isinstance(fact, facts.WorkflowFact):
            self._of_workflow(fact, subject)
        elif self._is_plain is False:
            super().happened(fact, subject)
        elif tell is not None:
            tell(fact, subject)

    def _of_workflow(self, fact: Any, workflow: Any) -> None:
        if not self._is_plain:
            super().happened(fact, workflow)
        elif type(fact) is facts.RunBegan:
            self._begin_run(fact, str(workflow))
        elif type(fact) is facts.RunEnded:
            self._workflows.ended(fact, str(workflow))
        elif type(fact) is facts.RunFailed:
            self._workflows.failed(fact, str(workflow))

    def _begin_run(self, fact: facts.RunBegan, workflow: str) -> None:
        pipeline = self._open()
        pipeline.logs.see()
        if pipeline.leads_nowhere:
            tell_of_nowhere()
        exporter = self._exporter
        self._workflows.began(fact, workflow, None if exporter is None else exporter.channel)

    def get_next_task_id(self, workflow: str | UUID) -> int:
        """The number that dotflow-api says (managed dialect); it never collides."""
        exporter = self._open_exporter()
        if exporter is None or exporter.channel.destination.dialect is not Dialect.MANAGED:
            return super().get_next_task_id(workflow)
        return next_task_id(exporter.channel, str(workflow))

    def words_of(self, error: Failure) -> Words:
        """The message and the traceback of an error, as they may be said."""
        return self._texts.words_of(error)

    # What a later run is to know of this one.

    keeps_notes = True

    def note(self, workflow: str | UUID, task: TaskView | None = None) -> Carrier:
        """What leads to the span of the run, or of the task."""
        if task is not None:
            state = self._run_of(task)
            return {} if state is None else _note_of(state.span)
        run = self._runs.of_workflow(str(workflow))
        return {} if run is None else _note_of(run.span)

    def trace_id(self, workflow: str | UUID) -> str | None:
        """The id of the trace that the run's root is in; None where OpenTelemetry is off."""
        run = self._runs.of_workflow(str(workflow))
        found = None if run is None else run.span.get_span_context().trace_id
        return format_trace_id(found) if found else None

    def places(self, workflow: str | UUID) -> dict[str, str]:
        """Where the record of a run is, and where its spans go."""
        found = {}
        if self._destination is not None:
            found["records"] = self._destination.workflow_url(str(workflow))
        if self._pipeline is not None and self._pipeline.place is not None:
            found["spans"] = self._pipeline.place
        return found

    # Spans that become current.

    def activate(self, task: TaskView) -> AbstractContextManager[Any]:
        """Make the attempt's span, or the task's, current in this thread."""
        state = self._run_of(task)
        return nullcontext() if state is None else Active(state.innermost)

    def carrier(self, task: TaskView) -> Carrier:
        """What leads another process to the attempt's span, or the task's."""
        state = self._run_of(task)
        if state is None:
            return {}
        pipeline = self._open()
        if not state.workflow.has_children:
            state.workflow.has_children = True
            pipeline.watch()
        return {**propagation.step_carrier_of(state.innermost), **pipeline.for_a_child}

    @classmethod
    def attach(cls, carrier: Carrier) -> AbstractContextManager[Any]:
        """Make the span that a carrier leads to current, in a child process or on a worker."""
        from dotflow.otel.workers.told import WORKER_KEY

        if WORKER_KEY in carrier:
            from dotflow.otel.workers import begun

            return begun.attached(carrier)
        from dotflow.otel.export.provider.in_child import open_in_child

        propagation.be_a_child(carrier)
        open_in_child(carrier)
        return propagation.attached(carrier)

    # Steps on an executor.

    def reserve(self, task: TaskView, attempts: int) -> Sequence[Carrier]:
        """What leads to the spans that a task and its attempts will have."""
        return self._tasks.reserver.reserve(task, attempts, self._metrics.for_a_worker) or ()

    @classmethod
    def gather(cls, limit: int) -> bytes:
        """What the step's code traced, logged and measured that does not leave from the worker."""
        from dotflow.otel.workers.begun import gather

        return gather(limit)

    def gathered(self, task: TaskView, payload: bytes) -> None:
        """Have them leave from here, as if the step had run here."""
        if payload:
            from dotflow.otel.workers.gathered import deliver

            pipeline = self._open()
            deliver(payload, pipeline.provider, pipeline.logs, self._metrics, task)

    # How it leaves.

    def _open(self) -> Pipeline:
        """The tracer provider, found or made when the first run starts."""
        pipeline = self._pipeline
        if pipeline is None:
            # Here, for a program that only has a ServerOtel exports nothing.
            from dotflow.otel.export.provider.pipeline import Pipeline

            exporter = self._open_exporter()
            with self._lock:
                if self._pipeline is None:
                    processor = OwnSpanProcessor(exporter) if exporter is not None else None
                    self._pipeline = Pipeline(
                        self._otlp, processor, *self._provider_choice, self._texts, self._has_logs
                    )
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

    def _run_of(self, task: TaskView) -> TaskRun | None:
        run = self._runs.by_number.get(task.run) or self._runs.of_task(task)
        return None if run is None else run.tasks.get(task.task_id)


def _nothing(_fact: Any, _task: Any) -> None:
    """Tell nothing yet: the task is in the plan, and its span begins when it does."""


def _opener(server: ServerOtel) -> Callable[[], Pipeline]:
    """Opens a server's pipeline, without holding the server."""
    found = weakref.ref(server)

    def opened() -> Pipeline:
        one = found()
        if one is None:
            raise ReferenceError("the server is gone")
        return one._open()

    return opened


def _note_of(span: Span) -> dict[str, str]:
    """What leads to a span, to be kept; nothing for one that is not sampled, and leads nowhere."""
    if type(span) is LightSpan:  # all of them are sampled
        return {"traceparent": f"{span.place.traceparent}{span.span_id:016x}-01"}
    if not is_sampled(span):
        return {}
    found = span.get_span_context()
    # As the propagator writes it, in a tenth of the time.
    return {"traceparent": f"00-{found.trace_id:032x}-{found.span_id:016x}-01"}
