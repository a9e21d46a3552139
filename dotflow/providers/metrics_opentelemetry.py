"""Counts and durations by OpenTelemetry, for runs that no ServerOtel reports."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dotflow.abc.metrics import Metrics
from dotflow.core.types.status import TypeStatus
from dotflow.core.types.workflow import WorkflowStatus
from dotflow.process.variables import mended
from dotflow.providers.opentelemetry_api import load
from dotflow.utils.masking import clean, masked_by_default

if TYPE_CHECKING:
    from dotflow.abc.task import TaskView

MOST_RUNS = 10_000
"""Runs under way of which a name is known."""


@dataclass
class _Run:
    """What tasks have said of their run."""

    name: str | None = None
    error: str | None = None


class _NoRuns:
    """Knows of no run that is under way: this contract is told too little of them."""

    def under_way(self, _tally: Any) -> list[Any]:
        """Nothing."""
        return []

    def counts(self, _tally: Any, _workflow: str) -> bool:
        """Nothing."""
        return False


class MetricsOpenTelemetry(Metrics):
    """Measures how long runs and tasks take, and counts retries, without a `ServerOtel`.

    A `ServerOtel` does the same by itself; with both, nothing is counted twice. The metrics go to
    the program's meter provider. If the program has none, dotflow makes one by the standard
    variables. No attribute has an id. The counters `dotflow_workflow_total`, `dotflow_task_total`
    and `dotflow_task_retry_total` are deprecated: the durations have these counts.

    Args:
        service_name: The name of the instrumentation scope of those counters, and the
            `service.name` of a provider that dotflow makes, if the environment names none.

    Raises:
        ModuleNotFound: OpenTelemetry is not installed.
    """

    def __init__(self, service_name: str = "dotflow") -> None:
        with mended():
            meter = load("metrics").get_meter(service_name)
        from dotflow.otel.export.otlp.endpoint import OtlpSettings
        from dotflow.otel.metrics.of_server import ServerMetrics

        self._runs: OrderedDict[str, _Run] = OrderedDict()
        self._no_runs = _NoRuns()
        self._metrics = ServerMetrics(self._no_runs, OtlpSettings(), None, True, service_name)
        self._workflows = meter.create_counter(
            "dotflow_workflow_total", description="Runs that started, completed and failed."
        )
        self._tasks = meter.create_counter(
            "dotflow_task_total", description="Tasks that completed and failed."
        )
        self._retries = meter.create_counter(
            "dotflow_task_retry_total", description="Attempts that failed and were followed by one."
        )

    def workflow_started(self, workflow_id: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Count a run that began."""
        self._metrics.tally()  # a provider that is made is there before anything is counted
        self._workflows.add(1, {"status": "started"})
        self._run(str(workflow_id))

    def workflow_completed(self, workflow_id: Any, duration: float) -> None:
        """Count a run in which no task failed, and record its duration."""
        self._end_workflow(workflow_id, WorkflowStatus.COMPLETED, duration)

    def workflow_failed(self, workflow_id: Any, duration: float) -> None:
        """Count a run in which a task failed, and record its duration."""
        self._end_workflow(workflow_id, WorkflowStatus.FAILED, duration)

    def task_completed(self, task: TaskView) -> None:
        """Count a task that ended well, and record its duration."""
        self._end_task(TypeStatus.COMPLETED, task, None)

    def task_failed(self, task: TaskView) -> None:
        """Count a task that failed for good, and record its duration."""
        self._end_task(TypeStatus.FAILED, task, _error_of(task))

    def task_retried(self, task: TaskView) -> None:
        """Count an attempt that failed and is followed by another."""
        self._retries.add(1)
        wid = str(task.workflow_id)
        run, tally = self._told_by(task), self._metrics.tally()
        if tally is not None and not tally.is_told_of(wid):
            said = (run.name, _said(task.step.name), _said(task.group_name))
            tally.retries.append((*said, _error_of(task), _current()))

    def _end_workflow(self, workflow_id: Any, status: str, duration: float) -> None:
        self._workflows.add(1, {"status": status.lower()})
        wid = str(workflow_id)
        run, tally = self._runs.pop(wid, None) or _Run(), self._metrics.tally()
        if tally is not None and not tally.is_told_of(wid):
            tally.runs.append((run.name, status, duration, run.error, _current()))

    def _end_task(self, status: str, task: TaskView, error: str | None) -> None:
        self._tasks.add(1, {"status": status.lower()})
        run, tally = self._told_by(task), self._metrics.tally()
        run.error = run.error or error
        # A task that came from a checkpoint took no time of its own.
        if tally is None or task.duration is None or task.restored:
            return
        if not tally.is_told_of(str(task.workflow_id)):
            said = (run.name, _said(task.step.name), _said(task.group_name), status)
            tally.tasks.append((*said, task.duration, error, _current()))
            if len(tally.tasks) > tally.most:
                tally.relieve()

    def _told_by(self, task: TaskView) -> _Run:
        run = self._run(str(task.workflow_id))
        if task.workflow_name is not None:
            run.name = _said(task.workflow_name)
        return run

    def _run(self, workflow: str) -> _Run:
        run = self._runs.get(workflow)
        if run is None:
            run = self._runs[workflow] = _Run()
            if len(self._runs) > MOST_RUNS:
                self._runs.popitem(last=False)
        return run


def _said(name: str) -> str:
    return masked_by_default(clean(str(name)))


def _error_of(task: TaskView) -> str | None:
    return task.errors[-1].error_type if task.errors else None


def _current() -> Any:
    """The span that is current, for exemplars."""
    return load("trace").get_current_span().get_span_context()
