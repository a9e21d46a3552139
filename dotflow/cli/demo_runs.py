"""What the demo ran, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dotflow.core.types import WorkflowStatus
from dotflow.utils.trace_link import trace_link

if TYPE_CHECKING:
    from pathlib import Path

    from opentelemetry.sdk.trace import ReadableSpan

    from dotflow.abc.server import FlushResult
    from dotflow.core.dotflow import DotFlow


@dataclass(frozen=True)
class Failing:
    """A run that fails on purpose.

    Attributes:
        workflow: The workflow that ran.
        status: What the run came to.
        error: What failed it, in a line.
        spans: Its spans.
    """

    workflow: DotFlow
    status: str
    error: str
    spans: list[ReadableSpan]


@dataclass(frozen=True)
class Demo:
    """What a demo has to show.

    Attributes:
        workflow: The workflow that ran.
        status: What the run came to: "Completed" or "Failed".
        spans: Its spans, in the order in which they ended.
        spans_exported: How many of them left through OTLP.
        delivery: What became of the reports.
        api_url: The dotflow-api that has the records.
        record: The workflow, as dotflow-api has it; None where it does not say.
        tasks: The tasks, as dotflow-api has them; None where it does not say.
        problem: Why dotflow-api does not say.
        database: The file of the reference API that was started for the demo, or None.
        failing: The run that fails on purpose; None where there was none.
        is_served: Whether that API goes on.
    """

    workflow: DotFlow
    status: str
    spans: list[ReadableSpan]
    spans_exported: int
    delivery: FlushResult
    api_url: str
    record: dict[str, Any] | None
    tasks: list[dict[str, Any]] | None
    problem: str
    database: Path | None
    failing: Failing | None = None
    is_served: bool = False

    @property
    def trace_id(self) -> str:
        """The id of the trace, 32 hex digits."""
        roots = [span for span in self.spans if span.name == self.workflow.name]
        return format(roots[0].get_span_context().trace_id, "032x") if roots else ""  # type: ignore[union-attr]

    @property
    def trace_url(self) -> str | None:
        """Where the trace can be seen; None where it is not, or nobody says where."""
        return trace_link(self.trace_id) if self.spans_exported else None

    @property
    def is_well(self) -> bool:
        """Whether the run completed and all of it was delivered."""
        return (
            self.status == WorkflowStatus.COMPLETED
            and self.delivery.complete
            and not self.delivery.dead
            and (self.failing is None or self.failing.status == WorkflowStatus.FAILED)
        )

    def task_records(self) -> list[dict[str, Any]]:
        """One object a task: from dotflow-api, or from the run where dotflow-api does not say."""
        from dotflow.otel.attributes import TASK_ID

        spans = {
            (span.attributes or {}).get(TASK_ID): span.get_span_context() for span in self.spans
        }
        tasks = self.tasks
        if tasks is None:
            tasks = [
                {"task_id": task.task_id, "name": task.step.name, "status": task.status,
                 "retry_count": task.retry_count, "duration": task.duration}
                for task in self.workflow.result_task()
            ]  # fmt: skip
        return [
            {
                "id": task["task_id"],
                "name": task["name"],
                "status": task["status"],
                "retry_count": task["retry_count"],
                "duration": task["duration"],
                "span_id": format(spans[task["task_id"]].span_id, "016x")  # type: ignore[union-attr]
                if spans.get(task["task_id"])
                else None,
            }
            for task in tasks
        ]

    def as_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return {
            "workflow_id": str(self.workflow.workflow_id),
            "trace_id": self.trace_id,
            "trace_url": self.trace_url,
            "status": self.record["status"] if self.record else self.status,
            "tasks": self.task_records(),
            "spans_exported": self.spans_exported,
            "messages_delivered": self.delivery.delivered,
            "messages_pending": self.delivery.pending,
            "api_url": self.api_url,
        }
