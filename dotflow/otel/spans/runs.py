"""What is under way: each workflow and task with its span, and what it has to report."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from opentelemetry import context as otel_context
from opentelemetry.trace import INVALID_SPAN, Span, SpanContext, format_trace_id

from dotflow.core.types.workflow import WorkflowStatus
from dotflow.delivery.bodies import (
    plan,
    task_patch,
    task_post,
    workflow_open,
    workflow_patch,
    workflow_post,
)
from dotflow.otel.ids import trace_id_of
from dotflow.otel.spans.values import clean

if TYPE_CHECKING:
    from opentelemetry.context import Context

    from dotflow.abc.server import WorkflowDescription
    from dotflow.abc.task import Failure, TaskView
    from dotflow.delivery.message import Message
    from dotflow.otel.exporter import DotflowSpanExporter
    from dotflow.otel.spans.splitting import Part

UNNAMED = "workflow"

_RUN = otel_context.create_key("dotflow-run")


def with_run(run: Run, context: Context) -> Context:
    """A context to start a run's span in: processors find the run in it, steps never see it."""
    return otel_context.set_value(_RUN, run, context)


def run_in(context: Context | None) -> Run | None:
    """The run that a span is started for; None for a span of anybody else."""
    if context is None:
        return None
    run = otel_context.get_value(_RUN, context)
    return run if isinstance(run, Run) else None


class Run(ABC):
    """A workflow or a task that is under way.

    Attributes:
        exporter: What reports it to dotflow-api; None where ServerOtel has none.
        span: Its span.
        started_by: The exporter that has reported its start and not yet its end.
        headers: What its reports carry, so that dotflow-api can join the trace.
        context: The context that it runs in, with its span once that has begun.
    """

    context: Context

    def __init__(self, exporter: DotflowSpanExporter | None) -> None:
        self.exporter = exporter
        self.span: Span = INVALID_SPAN
        self.started_by: DotflowSpanExporter | None = None
        self.headers = ""

    @abstractmethod
    def start_messages(self, span_context: SpanContext) -> list[Message]:
        """What to report at the start of the span."""

    @abstractmethod
    def update_message(self) -> Message:
        """What to report between start and end."""

    @abstractmethod
    def end_message(self) -> Message:
        """What to report at the end of the span."""


class WorkflowRun(Run):
    """One run of a workflow.

    Args:
        workflow: The id of the workflow.
        description: What else is known of it.
        context: The context that it runs in.
        exporter: As in Run.
        known: Whether dotflow-api has a record of the workflow.
        again: Whether it may have records of the tasks too, of an earlier run.

    Attributes:
        tasks: The tasks that are under way, by their numbers.
        ended: The numbers of those that have ended.
        first_failed: The first task that failed.
        error: What ended the run where it was no task.
        part: The part of the run that its next task belongs to.
        has_children: Whether tasks of it ran in other processes.
    """

    part: Part

    def __init__(
        self,
        workflow: str,
        description: WorkflowDescription,
        context: Context,
        exporter: DotflowSpanExporter | None,
        *,
        known: bool,
        again: bool,
    ) -> None:
        super().__init__(exporter)
        self.workflow = workflow
        self.description = description
        self.context = context
        self.known = known
        self.again = again
        self.tasks: dict[int, TaskRun] = {}
        self.ended: set[int] = set()
        self.first_failed: TaskView | None = None
        self.error: Failure | None = None
        self.has_children = False
        self.status: str = WorkflowStatus.IN_PROGRESS
        self.duration: float | None = None
        self._started = time.perf_counter()

    @property
    def name(self) -> str:
        """The name that was given, else a word that all runs without one share."""
        return clean(str(self.description.name or UNNAMED))

    def finish(self, status: str) -> None:
        """Set the outcome."""
        self.status = status
        self.duration = time.perf_counter() - self._started

    def start_messages(self, span_context: SpanContext) -> list[Message]:
        """A POST of a new workflow, a PATCH of one that dotflow-api knows."""
        # Without a span (the SDK is switched off) the id that the trace would have.
        trace_id = span_context.trace_id or trace_id_of(self.workflow)
        make = workflow_open if self.known else workflow_post
        return [
            make(
                self.workflow,
                name=self.name,
                mode=self.description.mode,
                status=self.status,
                trace_id=format_trace_id(trace_id),
                tasks=plan(self.description.tasks),
            )
        ]

    def update_message(self) -> Message:
        """A PATCH of the status."""
        return workflow_patch(self.workflow, status=self.status)

    def end_message(self) -> Message:
        """A PATCH of the status and the duration, to be sent after the tasks'."""
        return workflow_patch(self.workflow, status=self.status, duration=self.duration)


class TaskRun(Run):
    """One run of a task.

    Args:
        task: The task.
        workflow: The run that it is part of.

    Attributes:
        attempt: The span of the try that is under way, where tries have spans.
        attempt_number: Which try that is.
        part: The part of the run that the task is in.
        context: The context that the step runs in.
    """

    def __init__(self, task: TaskView, workflow: WorkflowRun) -> None:
        super().__init__(workflow.exporter)
        self.task = task
        self.workflow = workflow
        self.attempt: Span | None = None
        self.attempt_number = 0
        self.part = workflow.part
        self.context = workflow.part.context

    def start_messages(self, _span_context: SpanContext) -> list[Message]:
        """A POST; also a PATCH where a record of an earlier run may be there to be moved."""
        post = task_post(self.workflow.workflow, self.task)
        return [post, self.update_message()] if self.workflow.again else [post]

    def update_message(self) -> Message:
        """A PATCH of the task as it is."""
        return task_patch(self.workflow.workflow, self.task)

    def end_message(self) -> Message:
        """A PATCH of the task as it ended."""
        return self.update_message()
