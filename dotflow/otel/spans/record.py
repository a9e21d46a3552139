"""What a span says: attributes, events and status."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.trace import Span, Status, StatusCode

from dotflow.core.types import TypeStatus, WorkflowStatus
from dotflow.otel import attributes as names
from dotflow.otel.spans.exceptions import Exceptions
from dotflow.otel.spans.values import (
    MESSAGE_LIMIT,
    PATH_LIMIT,
    ContextText,
    Redact,
    cut,
    short,
)

if TYPE_CHECKING:
    from dotflow.abc.task import ContextView, Failure, TaskView
    from dotflow.otel.spans.runs import TaskRun, WorkflowRun

Attributes = dict[str, Any]


class SpanRecorder:
    """Writes what is known of workflows, tasks and attempts to their spans.

    Args:
        contexts: Whether spans carry contexts.
        context_limit: Characters of a context that a span carries.
        redact: What a program wants hidden.
    """

    def __init__(self, contexts: bool, context_limit: int, redact: Redact | None) -> None:
        self._context_text = ContextText(context_limit, redact) if contexts else None
        self._exceptions = Exceptions()

    def workflow(self, run: WorkflowRun) -> Attributes:
        """What is known of a workflow when it begins."""
        found: Attributes = {
            names.WORKFLOW_ID: short(run.workflow),
            names.WORKFLOW_MODE: run.description.mode or "",
            names.WORKFLOW_TASK_COUNT: len(run.description.tasks),
        }
        if run.description.name:
            found[names.WORKFLOW_NAME] = short(run.name)
        return found

    def end_workflow(self, run: WorkflowRun) -> None:
        """The outcome of a workflow."""
        if run.error is not None:
            self._exceptions.tell(run.span, "dotflow.workflow", run.error, None)
        if not run.span.is_recording():
            return
        run.span.set_attribute(names.WORKFLOW_STATUS, run.status)
        if run.duration is not None:
            run.span.set_attribute(names.WORKFLOW_DURATION, run.duration)
        if run.status != WorkflowStatus.FAILED:
            return
        task = run.first_failed
        if task is not None and task.errors:
            fail_by(run.span, task)
        elif run.error is not None:
            _fail(run.span, run.error.message, run.error.error_type)
        else:
            _fail(run.span, "the run ended before its tasks did", "_OTHER")

    @staticmethod
    def abandon_task(span: Span, status: str) -> None:
        """The outcome of a task that had none when its run ended."""
        span.set_attribute(names.TASK_STATUS, status)
        _fail(span, "the run ended before the task did", "_OTHER")

    def task(self, run: TaskRun) -> Attributes:
        """What is known of a task when it begins."""
        task = run.task
        step = task.step
        source = step.source
        found: Attributes = {
            names.WORKFLOW_ID: short(run.workflow.workflow),
            names.TASK_ID: task.task_id,
            names.TASK_NAME: short(step.name),
            names.TASK_GROUP: short(str(task.group_name)),
            names.TASK_MAX_ATTEMPTS: max(1, step.retry),
            names.CODE_FUNCTION_NAME: short(source.function),
        }
        if source.file is not None:
            found[names.CODE_FILE_PATH] = cut(source.file, PATH_LIMIT)
            found[names.CODE_LINE_NUMBER] = source.line
        if step.timeout:
            found[names.TASK_TIMEOUT] = float(step.timeout)
        return found

    def end_task(self, run: TaskRun) -> None:
        """The outcome of a task."""
        task = run.task
        error = task.errors[-1] if task.status == TypeStatus.FAILED and task.errors else None
        # With attempts the exception is on the attempt's span: once, on the innermost.
        if error is not None and max(1, task.step.retry) == 1:
            self._exceptions.tell(run.span, "dotflow.task", error, task.finished_ns)
        if not run.span.is_recording():
            return
        found: Attributes = {
            names.TASK_STATUS: task.status,
            names.TASK_RETRY_COUNT: task.retry_count,
            names.TASK_RESTORED: task.restored,
        }
        if task.duration is not None:
            found[names.TASK_DURATION] = task.duration
        self._add_context(found, "initial", names.TASK_CONTEXT_INITIAL, task.initial_context)
        self._add_context(found, "previous", names.TASK_CONTEXT_PREVIOUS, task.previous_context)
        self._add_context(found, "current", names.TASK_CONTEXT_CURRENT, task.current_context)
        run.span.set_attributes(found)
        if error is not None:
            _fail(run.span, error.message, error.error_type)

    def attempt(self, number: int) -> Attributes:
        """What is known of an attempt when it begins."""
        return {names.ATTEMPT_NUMBER: number}

    def end_attempt(self, span: Span, error: Failure | None, time_ns: int | None) -> None:
        """End the span of an attempt, with the error that it failed with."""
        if error is not None:
            self._exceptions.tell(span, "dotflow.task", error, time_ns)
            _fail(span, error.message, error.error_type)
        span.end(time_ns)

    def _add_context(self, found: Attributes, role: str, name: str, context: ContextView) -> None:
        if self._context_text is None or context.storage is None:
            return
        found[name], truncated = self._context_text.write(role, context)
        if truncated:
            found[name + names.TRUNCATED] = True


def fail_by(span: Span, task: TaskView) -> None:
    """Have the span of a run, or of a part of it, fail by a task that failed."""
    error = task.errors[-1]
    message = f"task {task.task_id} ({task.step.name}) failed: {error.message}"
    _fail(span, message, error.error_type)


def _fail(span: Span, message: str, error_type: str) -> None:
    span.set_status(Status(StatusCode.ERROR, cut(message, MESSAGE_LIMIT)))
    span.set_attribute(names.ERROR_TYPE, short(error_type))
