"""The instruments of one meter provider, and what they are given."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Protocol

from dotflow.otel import attributes as names
from dotflow.otel.metrics.labels import Active, Labels
from dotflow.otel.metrics.outbox import Outboxes
from dotflow.otel.spans.record import FAILED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.context import Context
    from opentelemetry.metrics import Observation

    from dotflow.otel.attributes import Metric

OPT_IN = "OTEL_SEMCONV_STABILITY_OPT_IN"
"""OpenTelemetry's variable for conventions that are new, set apart by commas: with `cicd` among
them, the metrics of pipelines are there beside our own."""

BUCKETS = (0.005, 0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200,
           21_600, 86_400)  # fmt: skip
"""Seconds between which durations are counted, from milliseconds to a day. They are advice: a View
of the application's goes before, and what the variables say of histograms."""

RESULTS = {
    "timeout": names.CICD_PIPELINE_RESULT_TIMEOUT,
    "process_killed": names.CICD_PIPELINE_RESULT_ERROR,
    "KeyboardInterrupt": names.CICD_PIPELINE_RESULT_CANCELLATION,
    "dotflow.core.exception.Interrupted": names.CICD_PIPELINE_RESULT_CANCELLATION,
}
"""What came of a pipeline that failed, by the error's type: of any other it is a failure."""

Run = tuple[str | None, list[tuple[str, str]]]
"""A run: the name it was given, or None, and names and groups of its tasks."""

_RUN = (names.WORKFLOW_NAME,)
_TASK = (*_RUN, names.TASK_NAME, names.TASK_GROUP)


def wants_pipelines() -> bool:
    """Whether OpenTelemetry's metrics of pipelines are wanted."""
    said = os.environ.get(OPT_IN, "").split(",")
    return any(one.strip().lower() in ("cicd", "cicd/dup") for one in said)


class Counted(Protocol):
    """What is to be collected."""

    @property
    def is_used(self) -> bool:
        """Whether this process had a run that is counted."""

    def record(self) -> None:
        """Record what ended."""

    def under_way(self) -> list[Run]:
        """The runs that are under way, and their tasks."""


class Instruments:
    """What measures and counts, once for each meter provider.

    What is under way, and what waits in the outbox, is asked for by the reader that collects: it
    costs the work nothing. The first question has what ended recorded, so that it is collected too.

    Args:
        meter: Makes them.
        tally: Knows what ended, and what is under way.
    """

    def __init__(self, meter: Any, tally: Counted) -> None:
        self._tally = tally
        self._runs, self._tasks = Active(*_RUN), Active(*_TASK)
        self._outboxes = Outboxes()
        self._of_run = Labels(*_RUN, names.WORKFLOW_STATUS, names.ERROR_TYPE)
        self._of_task = Labels(*_TASK, names.TASK_STATUS, names.ERROR_TYPE)
        self._of_retry = Labels(*_TASK, names.ERROR_TYPE)
        self._workflow_duration = histogram(meter, names.METRIC_WORKFLOW_DURATION)
        self._task_duration = histogram(meter, names.METRIC_TASK_DURATION)
        self._retries = meter.create_counter(*names.METRIC_TASK_RETRIES)
        self._pipelines = Pipelines(meter, tally) if wants_pipelines() else None
        up_and_down(meter, names.METRIC_WORKFLOW_ACTIVE, self._runs_under_way)
        up_and_down(meter, names.METRIC_TASK_ACTIVE, self._tasks_under_way)
        up_and_down(meter, names.METRIC_OUTBOX_PENDING, self._waiting("pending"))
        gauge = meter.create_observable_gauge
        gauge(
            names.METRIC_OUTBOX_OLDEST_AGE.name,
            [self._waiting("age")],
            *names.METRIC_OUTBOX_OLDEST_AGE[1:],
        )
        for metric, what in (
            (names.METRIC_OUTBOX_DELIVERED, "delivered"),
            (names.METRIC_OUTBOX_DEAD, "dead"),
        ):
            meter.create_observable_counter(metric.name, [self._waiting(what)], *metric[1:])

    def forget(self) -> None:
        """Observe nothing that is another process's, in a forked child."""
        self._outboxes = Outboxes()
        self._runs.forget()
        self._tasks.forget()
        if self._pipelines is not None:
            self._pipelines.forget()

    def run_ended(
        self, workflow: str | None, status: str, seconds: float, error: str | None, context: Context
    ) -> None:
        """A run ended, after some seconds, by an error of some type or without."""
        said = self._of_run.of(workflow, status, error)
        self._workflow_duration.record(seconds, said, context)
        if self._pipelines is not None:
            self._pipelines.run_ended(workflow, status, seconds, error, context)

    def task_ended(
        self, workflow: str | None, task: str, group: str, status: str, seconds: float,
        error: str | None, context: Context,
    ) -> None:  # fmt: skip
        """A task ended."""
        said = self._of_task.of(workflow, task, group, status, error)
        self._task_duration.record(seconds, said, context)
        if self._pipelines is not None and error is not None:
            self._pipelines.failed(workflow, error, context)

    def retried(
        self, workflow: str | None, task: str, group: str, error: str | None, context: Context
    ) -> None:
        """A try of a task failed, and another follows."""
        self._retries.add(1, self._of_retry.of(workflow, task, group, error), context)

    # What a reader asks for.

    def _runs_under_way(self, _options: Any) -> Iterable[Observation]:
        self._tally.record()
        return self._runs.observed((name,) for name, _ in self._tally.under_way())

    def _tasks_under_way(self, _options: Any) -> Iterable[Observation]:
        return self._tasks.observed(
            (name, *task) for name, tasks in self._tally.under_way() for task in tasks
        )

    def _waiting(self, what: str) -> Callable[[Any], Iterable[Observation]]:
        def observed(_options: Any) -> Iterable[Observation]:
            return self._outboxes.observed(what) if self._tally.is_used else ()

        return observed


class Pipelines:
    """Runs by OpenTelemetry's conventions for pipelines, which are not stable yet.

    Args:
        meter: Makes the instruments.
        tally: Knows what is under way.
    """

    def __init__(self, meter: Any, tally: Counted) -> None:
        self._tally = tally
        self._active = Active(names.CICD_PIPELINE_NAME, names.CICD_PIPELINE_RUN_STATE)
        self._of_run = Labels(
            names.CICD_PIPELINE_NAME,
            names.CICD_PIPELINE_RUN_STATE,
            names.CICD_PIPELINE_RESULT,
            names.ERROR_TYPE,
        )
        self._of_error = Labels(names.CICD_PIPELINE_NAME, names.ERROR_TYPE)
        self._duration = histogram(meter, names.METRIC_CICD_PIPELINE_RUN_DURATION)
        self._errors = meter.create_counter(*names.METRIC_CICD_PIPELINE_RUN_ERRORS)
        up_and_down(meter, names.METRIC_CICD_PIPELINE_RUN_ACTIVE, self._under_way)

    def forget(self) -> None:
        """Observe nothing that is another process's, in a forked child."""
        self._active.forget()

    def run_ended(
        self, workflow: str | None, status: str, seconds: float, error: str | None, context: Context
    ) -> None:
        """A run ended."""
        result = names.CICD_PIPELINE_RESULT_SUCCESS
        if status == FAILED:
            result = RESULTS.get(error or "", names.CICD_PIPELINE_RESULT_FAILURE)
        said = self._of_run.of(
            workflow or names.SPAN_WORKFLOW, names.CICD_PIPELINE_RUN_STATE_EXECUTING, result, error
        )
        self._duration.record(seconds, said, context)

    def failed(self, workflow: str | None, error: str, context: Context) -> None:
        """A task of a run failed."""
        self._errors.add(1, self._of_error.of(workflow or names.SPAN_WORKFLOW, error), context)

    def _under_way(self, _options: Any) -> Iterable[Observation]:
        return self._active.observed(
            (name or names.SPAN_WORKFLOW, names.CICD_PIPELINE_RUN_STATE_EXECUTING)
            for name, _ in self._tally.under_way()
        )


def histogram(meter: Any, metric: Metric) -> Any:
    """A histogram of durations."""
    return meter.create_histogram(*metric, explicit_bucket_boundaries_advisory=BUCKETS)


def up_and_down(
    meter: Any, metric: Metric, callback: Callable[[Any], Iterable[Observation]]
) -> None:
    """Have a reader that collects ask how many there are of something."""
    meter.create_observable_up_down_counter(metric.name, [callback], *metric[1:])
