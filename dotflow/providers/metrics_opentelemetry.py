"""Counts and durations through the program's own meter provider."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dotflow.abc.metrics import Metrics
from dotflow.process.variables import mended
from dotflow.providers.opentelemetry_api import load

if TYPE_CHECKING:
    from dotflow.abc.task import TaskView


class MetricsOpenTelemetry(Metrics):
    """Counts workflows, tasks and retries, and measures how long they take, in seconds.

    The instruments are those of the meter provider that the program has configured, now or later;
    without one nothing is measured. No attribute holds an id.

    Args:
        service_name: The name of the instrumentation scope. (The `service.name` of the metrics is
            that of the provider's resource.)

    Raises:
        ModuleNotFound: OpenTelemetry is not installed.
    """

    def __init__(self, service_name: str = "dotflow") -> None:
        with mended():
            meter = load("metrics").get_meter(service_name)
        self._workflows = meter.create_counter(
            "dotflow_workflow_total", description="Runs that started, completed and failed."
        )
        self._tasks = meter.create_counter(
            "dotflow_task_total", description="Tasks that completed and failed."
        )
        self._retries = meter.create_counter(
            "dotflow_task_retry_total", description="Attempts that failed and were followed by one."
        )
        self._workflow_duration = meter.create_histogram(
            "dotflow_workflow_duration_seconds", unit="s", description="How long runs took."
        )
        self._task_duration = meter.create_histogram(
            "dotflow_task_duration_seconds", unit="s", description="How long tasks took."
        )

    def workflow_started(self, workflow_id: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Count a run that began."""
        self._workflows.add(1, {"status": "started"})

    def workflow_completed(self, workflow_id: Any, duration: float) -> None:  # noqa: ARG002
        """Count a run in which no task failed, and record its duration."""
        self._end_workflow("completed", duration)

    def workflow_failed(self, workflow_id: Any, duration: float) -> None:  # noqa: ARG002
        """Count a run in which a task failed, and record its duration."""
        self._end_workflow("failed", duration)

    def task_completed(self, task: TaskView) -> None:
        """Count a task that ended well, and record its duration."""
        self._end_task("completed", task)

    def task_failed(self, task: TaskView) -> None:
        """Count a task that failed for good, and record its duration."""
        self._end_task("failed", task)

    def task_retried(self, task: TaskView) -> None:  # noqa: ARG002
        """Count an attempt that failed and is followed by another."""
        self._retries.add(1)

    def _end_workflow(self, status: str, duration: float) -> None:
        self._workflows.add(1, {"status": status})
        self._workflow_duration.record(duration, {"status": status})

    def _end_task(self, status: str, task: TaskView) -> None:
        self._tasks.add(1, {"status": status})
        # A task that came from a checkpoint took no time of its own.
        if task.duration is not None:
            self._task_duration.record(task.duration, {"status": status})
