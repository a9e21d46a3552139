"""Every name that dotflow emits, once.

Made by `python -m conventions` from the registry in conventions/: change that, not this.
docs/reference/telemetry.md says more of each.
"""

from __future__ import annotations

from typing import NamedTuple

SCOPE = "dotflow"
"""The instrumentation scope of what we emit."""

SCHEMA_URL = "https://opentelemetry.io/schemas/1.44.0"
"""The version of OpenTelemetry's semantic conventions that the names are of."""


class Metric(NamedTuple):
    """What a metric is created with."""

    name: str
    unit: str
    description: str


# Attributes, and the values of those that have a few.

WORKFLOW_ID = "dotflow.workflow.id"
"""The id of the workflow, the same in each of its runs."""

WORKFLOW_NAME = "dotflow.workflow.name"
"""The name that the workflow was given."""

WORKFLOW_MODE = "dotflow.workflow.mode"
"""How the tasks are run."""
WORKFLOW_MODE_SEQUENTIAL = "sequential"
WORKFLOW_MODE_SEQUENTIAL_GROUP = "sequential_group"
WORKFLOW_MODE_BACKGROUND = "background"
WORKFLOW_MODE_PARALLEL = "parallel"

WORKFLOW_STATUS = "dotflow.workflow.status"
"""What came of the run."""
WORKFLOW_STATUS_COMPLETED = "Completed"
WORKFLOW_STATUS_FAILED = "Failed"
WORKFLOW_STATUS_IN_PROGRESS = "In progress"

WORKFLOW_DURATION = "dotflow.workflow.duration"
"""How long the run took, in seconds."""

WORKFLOW_TASK_COUNT = "dotflow.workflow.task_count"
"""How many tasks are planned."""

WORKFLOW_PLAN = "dotflow.workflow.plan"
"""The tasks that are planned, as JSON text, each with its number, name and group."""

WORKFLOW_PART_COUNT = "dotflow.workflow.part_count"
"""How many traces the run is in."""

WORKFLOW_PART = "dotflow.workflow.part"
"""The number of this trace among the traces of a run; the first one has the run's root."""

TASK_ID = "dotflow.task.id"
"""The number of the task in its workflow."""

TASK_NAME = "dotflow.task.name"
"""The name of the step's function."""

TASK_GROUP = "dotflow.task.group"
"""The group that the task is in."""

TASK_STATUS = "dotflow.task.status"
"""What came of the task; in a log record the status at that moment."""
TASK_STATUS_COMPLETED = "Completed"
TASK_STATUS_FAILED = "Failed"
TASK_STATUS_IN_PROGRESS = "In progress"
TASK_STATUS_NOT_STARTED = "Not started"
TASK_STATUS_RETRY = "Retry"

TASK_DURATION = "dotflow.task.duration"
"""How long the task took, in seconds; absent if the task was restored."""

TASK_QUEUE_DURATION = "dotflow.task.queue_duration"
"""How long the task waited for a worker of its executor, in seconds."""

TASK_RETRY_COUNT = "dotflow.task.retry_count"
"""How many further attempts there were after the first."""

TASK_MAX_ATTEMPTS = "dotflow.task.max_attempts"
"""How many attempts there may be in all."""

TASK_TIMEOUT = "dotflow.task.timeout"
"""The limit of an attempt, in seconds."""

TASK_RESTORED = "dotflow.task.restored"
"""Whether the result came from a checkpoint."""

TASK_CONTEXT_INITIAL = "dotflow.task.context.initial"
"""What the task was added with, as JSON text."""

TASK_CONTEXT_PREVIOUS = "dotflow.task.context.previous"
"""What the task before returned, as JSON text."""

TASK_CONTEXT_CURRENT = "dotflow.task.context.current"
"""What the task returned, as JSON text."""

TASK_CONTEXT_INITIAL_TRUNCATED = "dotflow.task.context.initial_truncated"
"""Whether the initial context is cut."""

TASK_CONTEXT_PREVIOUS_TRUNCATED = "dotflow.task.context.previous_truncated"
"""Whether the previous context is cut."""

TASK_CONTEXT_CURRENT_TRUNCATED = "dotflow.task.context.current_truncated"
"""Whether the current context is cut."""

ATTEMPT_NUMBER = "dotflow.attempt.number"
"""The number of the attempt; the first is 1."""

REPORTED = "dotflow.reported"
"""Whether the run is reported to a dotflow-api without this span; dotflow's exporters skip it."""

LINK_TYPE = "dotflow.link.type"
"""What a link says."""
LINK_TYPE_STARTED_IN = "started_in"
LINK_TYPE_PART = "part"
LINK_TYPE_PART_OF = "part_of"
LINK_TYPE_EARLIER_RUN = "earlier_run"
LINK_TYPE_RESTORED_FROM = "restored_from"

OUTBOX_DESTINATION = "dotflow.outbox.destination"
"""Where reports go, without credentials."""

ERROR_TYPE = "error.type"
"""What kind of error it ended with."""
ERROR_TYPE_OTHER = "_OTHER"

EXCEPTION_TYPE = "exception.type"
"""The qualified name of the exception's class."""

EXCEPTION_MESSAGE = "exception.message"
"""The message of the exception."""

EXCEPTION_STACKTRACE = "exception.stacktrace"
"""The traceback of the exception."""

CODE_FUNCTION_NAME = "code.function.name"
"""The qualified name of the function."""

CODE_FILE_PATH = "code.file.path"
"""The file that has the function."""

CODE_LINE_NUMBER = "code.line.number"
"""The first line of the function."""

HOST_NAME = "host.name"
"""The name of the machine."""

PROCESS_PID = "process.pid"
"""The number of the process."""

CICD_PIPELINE_NAME = "cicd.pipeline.name"
"""The name of the pipeline."""

CICD_PIPELINE_RUN_STATE = "cicd.pipeline.run.state"
"""The state that the run is in."""
CICD_PIPELINE_RUN_STATE_PENDING = "pending"
CICD_PIPELINE_RUN_STATE_EXECUTING = "executing"
CICD_PIPELINE_RUN_STATE_FINALIZING = "finalizing"

CICD_PIPELINE_RESULT = "cicd.pipeline.result"
"""What came of the run."""
CICD_PIPELINE_RESULT_SUCCESS = "success"
CICD_PIPELINE_RESULT_FAILURE = "failure"
CICD_PIPELINE_RESULT_ERROR = "error"
CICD_PIPELINE_RESULT_TIMEOUT = "timeout"
CICD_PIPELINE_RESULT_CANCELLATION = "cancellation"
CICD_PIPELINE_RESULT_SKIP = "skip"

# Names of spans.

SPAN_WORKFLOW = "workflow"
SPAN_PART = "workflow part"
SPAN_ATTEMPT = "attempt"
SPAN_WORKFLOW_STARTED = "workflow started"
SPAN_PART_STARTED = "workflow part started"
SPAN_TASK_STARTED = "task started"
SPAN_DOCTOR = "dotflow doctor"

# Names of events.

EVENT_TASK_EXCEPTION = "dotflow.task.exception"
EVENT_WORKFLOW_EXCEPTION = "dotflow.workflow.exception"
EVENT_EXCEPTION = "exception"

# Metrics.

METRIC_WORKFLOW_DURATION = Metric("dotflow.workflow.duration", "s", "How long runs took.")
METRIC_TASK_DURATION = Metric(
    "dotflow.task.duration",
    "s",
    "How long tasks took, with all their attempts; restored ones are not among them.",
)
METRIC_WORKFLOW_ACTIVE = Metric("dotflow.workflow.active", "{run}", "Runs that are under way.")
METRIC_TASK_ACTIVE = Metric("dotflow.task.active", "{task}", "Tasks that are under way.")
METRIC_TASK_RETRIES = Metric(
    "dotflow.task.retries", "{retry}", "Attempts that failed and were followed by another."
)
METRIC_OUTBOX_PENDING = Metric(
    "dotflow.outbox.pending",
    "{message}",
    "Messages to a dotflow-api, or spans for an OTLP endpoint, that wait to be delivered.",
)
METRIC_OUTBOX_OLDEST_AGE = Metric(
    "dotflow.outbox.oldest_age",
    "s",
    "The age of the oldest event that waits to be reported; 0 if none waits.",
)
METRIC_OUTBOX_DELIVERED = Metric(
    "dotflow.outbox.delivered", "{message}", "Messages or spans that were delivered."
)
METRIC_OUTBOX_DEAD = Metric(
    "dotflow.outbox.dead",
    "{message}",
    "Messages or spans that a destination refused for good, or that are lost.",
)
METRIC_CICD_PIPELINE_RUN_DURATION = Metric(
    "cicd.pipeline.run.duration", "s", "How long the runs of pipelines took."
)
METRIC_CICD_PIPELINE_RUN_ACTIVE = Metric(
    "cicd.pipeline.run.active", "{run}", "The runs of pipelines that are under way."
)
METRIC_CICD_PIPELINE_RUN_ERRORS = Metric(
    "cicd.pipeline.run.errors", "{error}", "The errors in runs of pipelines."
)
