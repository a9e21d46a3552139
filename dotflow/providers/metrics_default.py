"""The Metrics of who measures nothing."""

from __future__ import annotations

from dotflow.abc.metrics import Metrics
from dotflow.utils.basic_functions import basic_function


class MetricsDefault(Metrics):
    """Measures nothing: the default of the slot `metrics`."""

    # The engine knows this function, and does not call it on the way of a task.
    workflow_started = workflow_completed = workflow_failed = basic_function
    task_completed = task_failed = task_retried = basic_function
