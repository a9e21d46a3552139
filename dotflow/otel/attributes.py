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

WORKFLOW_ID = "dotflow.workflow.id"
WORKFLOW_NAME = "dotflow.workflow.name"
WORKFLOW_MODE = "dotflow.workflow.mode"
WORKFLOW_STATUS = "dotflow.workflow.status"
WORKFLOW_DURATION = "dotflow.workflow.duration"  # seconds
WORKFLOW_TASK_COUNT = "dotflow.workflow.task_count"

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
