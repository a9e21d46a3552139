"""Workflows and tasks as spans of the program's own tracer provider."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from dotflow.abc.tracer import Tracer
from dotflow.abc.words import words_of_last
from dotflow.core.types.status import TypeStatus
from dotflow.process.variables import mended
from dotflow.providers.opentelemetry_api import load, part
from dotflow.utils.error_handler import class_and_message

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from dotflow.abc.task import TaskView


@dataclass
class _Run:
    """The open spans of one workflow."""

    span: Span | None = None
    tasks: dict[int, Span] = field(default_factory=dict)


class TracerOpenTelemetry(Tracer):
    """Makes a span `workflow:{id}` for a run, and a span `task:{number}` for each of its tasks.

    `ServerOtel` says more about a run and reaches steps in other processes: use it if you can.

    While a step runs in this process, its span is current. The spans go to the program's tracer
    provider. If the program has none when the first run begins, and an `OTEL_*` variable names an
    endpoint or an exporter for traces, dotflow makes one; else nothing is recorded.

    Args:
        service_name: The name of the instrumentation scope, and the `service.name` of a provider
            that dotflow makes, if the environment names none.

    Raises:
        ModuleNotFound: OpenTelemetry is not installed.
    """

    activates = True

    def __init__(self, service_name: str = "dotflow") -> None:
        self._trace = load("trace")
        self._service_name = service_name
        with mended():
            self._tracer = self._trace.get_tracer(service_name)
        self._lock = threading.Lock()
        self._runs: dict[str, _Run] = {}

    def start_workflow(self, workflow_id: Any, **kwargs: Any) -> None:
        """Start the run's span; where it is open already, keep it."""
        part("export.provider.alone").open_tracing(self._service_name)
        wid = str(workflow_id)
        attributes = {f"dotflow.{name}": str(value) for name, value in kwargs.items()}
        with self._lock:
            run = self._runs.setdefault(wid, _Run())
            if run.span is None:
                run.span = self._tracer.start_span(
                    f"workflow:{wid}", attributes={"dotflow.workflow_id": wid, **attributes}
                )

    def end_workflow(self, workflow_id: Any, **kwargs: Any) -> None:
        """End the run's span, and those of its tasks that are open still."""
        with self._lock:
            run = self._runs.pop(str(workflow_id), None)
        if run is None:
            return
        for left in run.tasks.values():
            left.end()
        if run.span is None:
            return
        if kwargs.get("duration") is not None:
            run.span.set_attribute("dotflow.duration", kwargs["duration"])
        self._end(run.span, "workflow failed" if kwargs.get("failed") else None)

    def start_task(self, task: TaskView) -> None:
        """Start the task's span within the run's; where it is open already, keep it."""
        wid = str(task.workflow_id)
        with self._lock:
            run = self._runs.setdefault(wid, _Run())
            if task.task_id in run.tasks:
                return
            context = self._trace.set_span_in_context(run.span) if run.span is not None else None
            run.tasks[task.task_id] = self._tracer.start_span(
                f"task:{task.task_id}",
                context=context,
                attributes={"dotflow.workflow_id": wid, "dotflow.task_id": str(task.task_id)},
                start_time=_on_executor(task, task.started_ns),
            )

    def end_task(self, task: TaskView) -> None:
        """End the task's span with what became of the task."""
        span = self._take(task)
        if span is None:
            return
        span.set_attribute("dotflow.task.status", str(task.status))
        if task.duration is not None:
            span.set_attribute("dotflow.task.duration", task.duration)
        if task.retry_count:
            span.set_attribute("dotflow.task.retry_count", task.retry_count)
        ended_ns = _on_executor(task, task.finished_ns)
        if task.status != TypeStatus.FAILED:
            self._end(span, None, ended_ns)
            return
        failure = str(task.status)
        if task.errors:
            exception, (message, _) = task.errors[-1].exception, words_of_last(task)
            span.add_event("exception", {"exception.type": exception, "exception.message": message})
            failure = class_and_message(exception, message)
        self._end(span, failure, ended_ns)

    def activate(self, task: TaskView) -> AbstractContextManager[Any]:
        """Make the task's span current in this thread."""
        span = self._span_of(task)
        if span is None:
            return nullcontext()
        # What the step raises is told at the end of the task.
        return cast(
            "AbstractContextManager[Any]",
            self._trace.use_span(span, record_exception=False, set_status_on_exception=False),
        )

    def carrier(self, task: TaskView) -> dict[str, str]:
        """What leads to the span of a task, or else to that of its run."""
        span = self._span_of(task)
        if span is None:
            return {}
        carrier: dict[str, str] = {}
        load("propagate").inject(carrier, self._trace.set_span_in_context(span))
        return carrier

    def _span_of(self, task: TaskView) -> Span | None:
        with self._lock:
            run = self._runs.get(str(task.workflow_id))
            return None if run is None else run.tasks.get(task.task_id, run.span)

    def _take(self, task: TaskView) -> Span | None:
        wid = str(task.workflow_id)
        with self._lock:
            run = self._runs.get(wid)
            if run is None:
                return None
            span = run.tasks.pop(task.task_id, None)
            if run.span is None and not run.tasks:
                del self._runs[wid]
            return span

    def _end(self, span: Span, failure: str | None, ended_ns: int | None = None) -> None:
        code = self._trace.StatusCode.OK if failure is None else self._trace.StatusCode.ERROR
        span.set_status(code, failure)
        span.end(ended_ns)


def _on_executor(task: TaskView, time_ns: int | None) -> int | None:
    """A time of a task of which an executor may tell late; None for now."""
    return None if getattr(task, "place", None) is None else time_ns
