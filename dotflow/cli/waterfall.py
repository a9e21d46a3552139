"""The demo's page: the trace as a waterfall, the records, and where to look next."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from opentelemetry.trace import StatusCode
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from dotflow.cli.columns import LONGEST_NAME, cell, fit
from dotflow.cli.live import COLOURS
from dotflow.core.types import WorkflowStatus
from dotflow.otel import attributes as names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.trace import ReadableSpan
    from rich.console import Console

    from dotflow.cli.commands.demo import Demo

BAR, SHORTEST_BAR = 32, 10
"""Columns of the time axis: as many as there is room for."""

BESIDE_BAR = 70
"""Columns that the rest of the waterfall takes."""

LONGEST_STATUS, BESIDE_STATUS = 24, 17
"""Columns that a status has at the most, and that times, tries and gaps take."""

SHORTEST_NAME, BESIDE_NAME = 9, 71
"""Columns that a record's name has at the least, and that the rest of a record takes."""

LONGEST_GROUP, LONGEST_ERRORS, LONGEST_RESULT, GAP = 10, 20, 40, 2  # columns

WIDE = 120
"""Columns from which on there is room for what is nice to know."""


def show(demo: Demo, console: Console) -> None:
    """Print what a demo has to show."""
    console.print(f"Trace {demo.trace_id}", style="italic")
    console.print(_waterfall(demo, console.width))
    console.print()
    console.print(_where(demo), style="italic", soft_wrap=True)
    if demo.record is None or demo.tasks is None:
        console.print(f"They cannot be read back: {demo.problem}.", soft_wrap=True)
    else:
        console.print(_records(demo.tasks, console.width))
        console.print(_workflow_line(demo.record))
    console.print()
    for line in _next_steps(demo):
        console.print(line, soft_wrap=True)


def _where(demo: Demo) -> str:
    """Where the records are now: a server that was there for the demo alone is gone."""
    number = demo.workflow.workflow_id
    if demo.database is not None:
        return f"Records of workflow {number}, in {demo.database}"
    return f"Records at {demo.api_url}/workflows/{number}"


def _waterfall(demo: Demo, width: int) -> Table:
    columns = max(SHORTEST_BAR, min(BAR, width - BESIDE_BAR))
    room = max(SHORTEST_NAME, width - columns - LONGEST_STATUS - BESIDE_STATUS)
    table = Table(box=None, padding=(0, 1, 0, 0))
    table.add_column("span", no_wrap=True)
    table.add_column("", width=columns, no_wrap=True)
    table.add_column("ms", justify="right", no_wrap=True)
    table.add_column("status", no_wrap=True)
    table.add_column("tries", justify="right", no_wrap=True)
    if not demo.spans:
        return table
    begin = min(span.start_time or 0 for span in demo.spans)
    end = max(span.end_time or 0 for span in demo.spans)
    for depth, span in _tree(demo.spans):
        is_error = span.status.status_code is StatusCode.ERROR
        table.add_row(
            cell(_label(span), room, indent=2 * depth),
            Text(_bar(span, begin, end, columns), style="red" if is_error else "cyan"),
            f"{_milliseconds(span):.1f}",
            _status(fit(_outcome(span, is_error), LONGEST_STATUS)),
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
    number = found.get(names.ATTEMPT_NUMBER)
    group = found.get(names.TASK_GROUP)
    if number is not None:
        return f"{span.name} {number}"
    return f"{span.name} ({group})" if group not in (None, "default") else span.name


def _bar(span: ReadableSpan, begin: int, end: int, columns: int) -> str:
    scale = columns / max(1, end - begin)
    left = min(columns - 1, int(((span.start_time or begin) - begin) * scale))
    width = max(1, round(((span.end_time or end) - (span.start_time or begin)) * scale))
    return " " * left + "━" * min(width, columns - left)


def _outcome(span: ReadableSpan, is_error: bool) -> str:
    found = span.attributes or {}
    status = found.get(names.TASK_STATUS) or found.get(names.WORKFLOW_STATUS)
    if isinstance(status, str):
        return status
    # The class is enough here; the span has its whole name.
    return str(found.get(names.ERROR_TYPE, "error")).rpartition(".")[2] if is_error else "ok"


def _attempts(span: ReadableSpan) -> str:
    retries = (span.attributes or {}).get(names.TASK_RETRY_COUNT)
    return str(retries + 1) if isinstance(retries, int) else ""


def _records(tasks: list[dict[str, Any]], width: int) -> Table:
    is_wide = width >= WIDE
    room = width - BESIDE_NAME - (LONGEST_RESULT + GAP if is_wide else 0)
    table = Table(box=None, padding=(0, 2, 0, 0))
    columns = ["id", "name", "group", "status", "retries", "seconds", "errors"]
    for name in [*columns, "result"] if is_wide else columns:
        table.add_column(name, no_wrap=True, overflow="ellipsis")
    for task in tasks:
        row = (
            str(task["task_id"]),
            cell(task["name"], max(SHORTEST_NAME, room)),
            cell(task.get("group_name", ""), LONGEST_GROUP),
            _status(task["status"]),
            str(task["retry_count"]),
            "" if task["duration"] is None else f"{task['duration']:.3f}",
            cell(", ".join(one["exception"] for one in task.get("errors") or []), LONGEST_ERRORS),
            cell(_text_of(task.get("current_context")), LONGEST_RESULT),
        )
        table.add_row(*row[: len(table.columns)])
    return table


def _workflow_line(record: dict[str, Any]) -> str:
    duration = record.get("duration")
    seconds = "" if duration is None else f" in {duration:.3f} s"
    name = fit(record.get("name"), LONGEST_NAME)
    return f"workflow {name}: {record['status']}{seconds}"


def _next_steps(demo: Demo) -> Iterator[str]:
    delivery = demo.delivery
    yield (
        f"{delivery.delivered} messages delivered, {delivery.pending} pending, "
        f"{delivery.dead} refused; {demo.spans_exported} spans exported over OTLP."
    )
    for what in _missing(demo):
        yield f"[bold red]{what}[/]"
    command = sys.argv[0] if sys.argv[0].endswith("/dotflow") else "dotflow"
    if demo.database is not None:
        yield f"Browse the records:   {command} api --database sqlite:///{demo.database}"
        yield "                      which says at which address it answers"
    if not demo.spans_exported:
        variable = "OTEL_EXPORTER_OTLP_ENDPOINT=http://HOST:4318"
        yield f"See it in your tools: {variable} {command} demo"
    else:
        place = escape(demo.trace_url or f"look for trace {demo.trace_id}")
        yield f"See it in your tools: {place}"


def _missing(demo: Demo) -> Iterator[str]:
    """What did not go well, one line each."""
    delivery = demo.delivery
    if demo.status != WorkflowStatus.COMPLETED:
        yield "The run failed."
    if delivery.pending or delivery.dead:
        yield f"Not all reports reached dotflow-api at {demo.api_url}."
    elif not delivery.complete:
        yield "Not all spans reached the OTLP endpoint."


def _status(status: str) -> Text:
    return Text(status, style=COLOURS.get(status, "red" if status != "ok" else "green"))


def _text_of(value: Any) -> str:
    return "" if value is None else str(value)


def _milliseconds(span: ReadableSpan) -> float:
    return ((span.end_time or 0) - (span.start_time or 0)) / 1e6


def _id(span: ReadableSpan) -> int:
    context = span.get_span_context()
    return 0 if context is None else context.span_id
