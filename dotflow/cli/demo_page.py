"""What the demo prints: the trace as a waterfall, the records, and where to look next."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from opentelemetry.trace import StatusCode
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from dotflow.cli.columns import LONGEST_NAME, cell, fit
from dotflow.cli.live import COLOURS
from dotflow.cli.waterfall import waterfall
from dotflow.core.types import WorkflowStatus
from dotflow.otel import attributes as names
from dotflow.waterfall.bars import ATTEMPT, SPAN, TASK, WORKFLOW, Bar
from dotflow.waterfall.rows import by_group

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from opentelemetry.sdk.trace import ReadableSpan
    from rich.console import Console

    from dotflow.cli.demo_runs import Demo

SHORTEST_NAME, BESIDE_NAME = 9, 71
"""Columns that a record's name has at the least, and that the rest of a record takes."""

LONGEST_GROUP, LONGEST_ERRORS, LONGEST_RESULT, GAP = 10, 20, 40, 2  # columns

WIDE = 120
"""Columns from which on there is room for what is nice to know."""


def show(demo: Demo, console: Console) -> None:
    """Print what a demo has to show."""
    console.print(f"Trace {demo.trace_id}", style="italic")
    console.print(waterfall(bars_of(demo.spans), console.width))
    console.print()
    console.print(_where(demo), style="italic", soft_wrap=True)
    if demo.record is None or demo.tasks is None:
        console.print(f"They cannot be read back: {demo.problem}.", soft_wrap=True)
    else:
        console.print(_records(demo.tasks, console.width))
        console.print(_workflow_line(demo.record))
    console.print()
    if demo.failing is not None:
        console.print("A second run, which fails on purpose:", style="italic")
        console.print(waterfall(bars_of(demo.failing.spans), console.width))
        console.print(escape(demo.failing.error), style="red", soft_wrap=True)
        console.print()
    for line in _next_steps(demo):
        console.print(line, soft_wrap=True)


def _where(demo: Demo) -> str:
    """Where the records are now: a server that was there for the demo alone is gone."""
    number = demo.workflow.workflow_id
    if demo.database is not None and not demo.is_served:
        return f"Records of workflow {number}, in {demo.database}"
    return f"Records at {demo.api_url}/workflows/{number}"


def bars_of(spans: Iterable[ReadableSpan]) -> list[Bar]:
    """The spans of a trace as bars, each group's beside each other.

    An attempt is shown where there is more than one: else it says what its task says.
    """
    bars = by_group([_bar_of(span, depth) for depth, span in _tree(list(spans))])
    kinds = ["", *(bar.kind for bar in bars), ""]
    return [
        bar for place, bar in enumerate(bars)
        if bar.kind != ATTEMPT or ATTEMPT in (kinds[place], kinds[place + 2])
    ]  # fmt: skip


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


def _bar_of(span: ReadableSpan, depth: int) -> Bar:
    found = span.attributes or {}
    number, task = found.get(names.ATTEMPT_NUMBER), found.get(names.TASK_ID)
    kind = (
        ATTEMPT if number is not None else TASK if task is not None
        else WORKFLOW if names.WORKFLOW_STATUS in found else SPAN
    )  # fmt: skip
    is_error = span.status.status_code is StatusCode.ERROR
    status = found.get(names.TASK_STATUS) or found.get(names.WORKFLOW_STATUS)
    return Bar(
        span.name if number is None else f"{span.name} {number}", kind, depth,
        span.start_time or 0, span.end_time,
        str(status or ("Failed" if is_error else "Completed" if kind == ATTEMPT else "")),
        str(found.get(names.TASK_GROUP, "")), _note(found, is_error),
        task if isinstance(task, int) else None,
    )  # fmt: skip


def _note(found: Mapping[str, Any], is_error: bool) -> str:
    """The class of the error, without its module, and how many attempts there were."""
    said = [str(found.get(names.ERROR_TYPE, "error")).rpartition(".")[2]] if is_error else []
    retries = found.get(names.TASK_RETRY_COUNT)
    if isinstance(retries, int) and retries:
        said.append(f"{retries + 1} attempts")
    return ", ".join(said)


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
    if not demo.spans_exported:
        variable = "OTEL_EXPORTER_OTLP_ENDPOINT=http://HOST:4318"
        yield f"See it in your tools: {variable} {command} demo"
    else:
        place = escape(demo.trace_url or f"look for trace {demo.trace_id}")
        yield f"See it in your tools: {place}"
    yield from _pages(demo, command)


def _pages(demo: Demo, command: str) -> Iterator[str]:
    """Where the runs are shown on a page, or what shows them."""
    page = f"/runs/{demo.workflow.workflow_id}"
    if demo.is_served or demo.database is None:
        yield f"See it on a page:     {demo.api_url}{page}"
        if demo.failing is not None:
            yield f"and what failed:      {demo.api_url}/runs/{demo.failing.workflow.workflow_id}"
        return
    yield f"See it on a page:     {command} api --database sqlite:///{demo.database}"
    yield f"                      and open http://127.0.0.1:8000{page}"
    yield f"or in one go:         {command} demo --serve"
    yield f"All runs from here:   {command} ui"


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


def _id(span: ReadableSpan) -> int:
    context = span.get_span_context()
    return 0 if context is None else context.span_id
