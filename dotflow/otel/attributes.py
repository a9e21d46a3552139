"""Every attribute name, once.

Beside the project's own stand those of OpenTelemetry's semantic conventions:
https://opentelemetry.io/docs/specs/semconv/registry/attributes/
"""

from __future__ import annotations

from opentelemetry.semconv.attributes.code_attributes import (
    CODE_FILE_PATH,
    CODE_FUNCTION_NAME,
    CODE_LINE_NUMBER,
)
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.semconv.attributes.exception_attributes import (
    EXCEPTION_MESSAGE,
    EXCEPTION_STACKTRACE,
    EXCEPTION_TYPE,
)

__all__ = [
    "CODE_FILE_PATH",
    "CODE_FUNCTION_NAME",
    "CODE_LINE_NUMBER",
    "ERROR_TYPE",
    "EXCEPTION_MESSAGE",
    "EXCEPTION_STACKTRACE",
    "EXCEPTION_TYPE",
]

SCOPE = "dotflow"
"""The instrumentation scope of our spans."""

WORKFLOW_ID = "dotflow.workflow.id"
WORKFLOW_NAME = "dotflow.workflow.name"
WORKFLOW_MODE = "dotflow.workflow.mode"
WORKFLOW_STATUS = "dotflow.workflow.status"
WORKFLOW_DURATION = "dotflow.workflow.duration"  # seconds
WORKFLOW_TASK_COUNT = "dotflow.workflow.task_count"
WORKFLOW_PARTS = "dotflow.workflow.parts"  # the traces of a run that is split
WORKFLOW_PART = "dotflow.workflow.part"  # which of them; the first has the run's root

TASK_ID = "dotflow.task.id"
TASK_NAME = "dotflow.task.name"
TASK_GROUP = "dotflow.task.group"
TASK_STATUS = "dotflow.task.status"
TASK_DURATION = "dotflow.task.duration"  # seconds
TASK_RETRY_COUNT = "dotflow.task.retry_count"
TASK_MAX_ATTEMPTS = "dotflow.task.max_attempts"
TASK_TIMEOUT = "dotflow.task.timeout"  # seconds
TASK_RESTORED = "dotflow.task.restored"

TASK_CONTEXT_INITIAL = "dotflow.task.context.initial"
TASK_CONTEXT_PREVIOUS = "dotflow.task.context.previous"
TASK_CONTEXT_CURRENT = "dotflow.task.context.current"
TRUNCATED = ".truncated"  # after the name of a context's attribute

ATTEMPT_NUMBER = "dotflow.attempt.number"

LINK_TYPE = "dotflow.link.type"
LINK_STARTED_IN = "started_in"  # from a run's root to the span in whose trace it is not
LINK_PART = "part"  # from the run's root to the root of a part
LINK_PART_OF = "part_of"  # and back
LINK_EARLIER_RUN = "earlier_run"  # from a run's root to that of the run before it, of the same id
LINK_RESTORED_FROM = "restored_from"  # from a restored task to the task that did the work
