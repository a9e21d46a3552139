"""The demo's page: the trace as a waterfall, the records, and where to look next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.trace import StatusCode
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.trace import ReadableSpan
    from rich.console import Console

    from dotflow.cli.commands.demo import Demo

BAR = 32
"""Columns of the time axis."""

COLOURS = {"Completed": "green", "Failed": "red", "Retry": "yellow", "In progress": "blue"}


def show(demo: Demo, console: Console) -> None:
    """Print what a demo has to show."""
    console.print(_waterfall(demo))
    console.print()
    console.print(_records(demo))
    console.print()
    for line in _next_steps(demo):
        console.print(line, soft_wrap=True)


def _waterfall(demo: Demo) -> Table:
    table = Table(
        title=f"Trace {demo.trace_id}", title_justify="left", box=None, padding=(0, 1, 0, 0)
    )
    table.add_column("span", no_wrap=True)
    table.add_column("", width=BAR, no_wrap=True)
    table.add_column("ms", justify="right", no_wrap=True)
    table.add_column("status", no_wrap=True)
    table.add_column("attempts", justify="right", no_wrap=True)
    if not demo.spans:
        return table
    begin = min(span.start_time or 0 for span in demo.spans)
    end = max(span.end_time or 0 for span in demo.spans)
    for depth, span in _tree(demo.spans):
        is_error = span.status.status_code is StatusCode.ERROR
        table.add_row(
            f"{'  ' * depth}{_label(span)}",
            Text(_bar(span, begin, end), style="red" if is_error else "cyan"),
            f"{_milliseconds(span):.1f}",
            _status(_outcome(span, is_error)),
            _attempts(span),
        )
    return table


def _tree(spans: list[ReadableSpan]) -> Iterator[tuple[int, ReadableSpan]]:
    """The spans, each after its parent, with how deep it lies."""
    ids = {_id(span) for span in spans}
    children: dict[int | None, list[ReadableSpan]] = {}
    for span in sorted(spans, key=lambda one: one.start_time or 0):
        parent = span.parent.span_id if span.parent and span.parent.span_id in ids else None
        children.setdefault(parent, []).append(span)

    def walk(parent: int | None, depth: int) -> Iterator[tuple[int, ReadableSpan]]:
        for span in children.get(parent, []):
            yield depth, span
            yield from walk(_id(span), depth + 1)

    return walk(None, 0)


def _label(span: ReadableSpan) -> str:
    found = span.attributes or {}
    number = found.get("dotflow.attempt.number")
    group = found.get("dotflow.task.group")
    if number is not None:
        return f"{span.name} {number}"
    return f"{span.name} ({group})" if group not in (None, "default") else span.name


def _bar(span: ReadableSpan, begin: int, end: int) -> str:
    scale = BAR / max(1, end - begin)
    left = min(BAR - 1, int(((span.start_time or begin) - begin) * scale))
    width = max(1, round(((span.end_time or end) - (span.start_time or begin)) * scale))
    return " " * left + "━" * min(width, BAR - left)


def _outcome(span: ReadableSpan, is_error: bool) -> str:
    found = span.attributes or {}
    status = found.get("dotflow.task.status") or found.get("dotflow.workflow.status")
    if isinstance(status, str):
        return status
    return str(found.get("error.type", "error")) if is_error else "ok"


def _attempts(span: ReadableSpan) -> str:
    retries = (span.attributes or {}).get("dotflow.task.retry_count")
    return str(retries + 1) if isinstance(retries, int) else ""


def _records(demo: Demo) -> Table:
    where = f"{demo.api_url}/workflows/{demo.workflow.workflow_id}"
    table = Table(title=f"Records at {where}", title_justify="left", box=None, padding=(0, 2, 0, 0))
    for name in ("id", "name", "group", "status", "retries", "seconds", "errors", "result"):
        table.add_column(name, no_wrap=True, overflow="ellipsis")
    if demo.tasks is None:
        table.caption = "This dotflow-api does not answer GET, so its records cannot be shown."
        return table
    for task in demo.tasks:
        table.add_row(
            str(task["task_id"]),
            task["name"],
            str(task.get("group_name", "")),
            _status(task["status"]),
            str(task["retry_count"]),
            "" if task["duration"] is None else f"{task['duration']:.3f}",
            ", ".join(error["exception"] for error in task.get("errors") or []),
            _short(task.get("current_context")),
        )
    if demo.record is not None:
        duration = demo.record.get("duration")
        seconds = "" if duration is None else f" in {duration:.3f} s"
        table.caption = f"workflow {demo.record.get('name')}: {demo.record['status']}{seconds}"
    return table


def _next_steps(demo: Demo) -> Iterator[str]:
    delivery = demo.delivery
    yield (
        f"{delivery.delivered} messages delivered, {delivery.pending} pending, "
        f"{delivery.dead} refused; {demo.spans_exported} spans exported over OTLP."
    )
    if not demo.is_well:
        yield "[bold red]Not everything went well: the run failed, or a report is missing.[/]"
    if demo.database is not None:
        yield f"Browse the records:   dotflow api --database sqlite:///{demo.database}"
        yield "                      then open http://127.0.0.1:8000/docs"
    if not demo.spans_exported:
        yield "See it in your tools: OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318 dotflow demo"
    else:
        yield f"See it in your tools: look for trace {demo.trace_id}"


def _status(status: str) -> Text:
    return Text(status, style=COLOURS.get(status, "red" if status != "ok" else "green"))


def _short(value: Any, limit: int = 40) -> str:
    text = "" if value is None else " ".join(str(value).split())
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _milliseconds(span: ReadableSpan) -> float:
    return ((span.end_time or 0) - (span.start_time or 0)) / 1e6


def _id(span: ReadableSpan) -> int:
    context = span.get_span_context()
    return 0 if context is None else context.span_id
