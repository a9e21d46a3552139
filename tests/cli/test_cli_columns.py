"""Names in columns, however long, wide or odd they are."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest
from rich.cells import cell_len
from rich.console import Console

from dotflow import DotFlow, action
from dotflow.cli import waterfall
from dotflow.cli.columns import cell, fit
from dotflow.cli.live import LiveView, Progress
from dotflow.cli.running import failure

NAMES = [
    "n" * 300,
    "名前" * 80,
    "é\u0301" * 100,
    "two\nlines\x1b[31m[red]",
    "[bold]x[/]",
    "🙂" * 50,
    "",
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("columns", [1, 2, 9, 60])
def test_a_name_fits(name, columns):
    """It takes no more columns than it has, in one line, with no control characters."""
    found = fit(name, columns)
    assert cell_len(found) <= columns
    assert found == "" or found.isprintable()
    assert found.endswith("…") is (cell_len(" ".join(name.split())) > columns)
    assert cell(name, columns + 2, indent=2).plain == f"  {found}"


@pytest.mark.parametrize(("name", "found"), [("abc", "abc"), ("abcd", "ab…"), ("名前", "名…")])
def test_what_is_cut(name, found):
    """What does not fit ends with a mark; a wide character is not halved."""
    assert fit(name, 3) == found


@action
def step():
    raise ValueError("no luck")


def flow_of(names):
    flow = DotFlow()
    for name in names:
        one = action(lambda: None)
        one.__dict__["name"] = name
        flow.task.add(one, group_name=name)
    for task in flow.task.queue:
        task._status, task.duration, task.retry_count = "In progress", 12.3, 7
    return flow


def printed(table, width):
    console = Console(file=io.StringIO(), width=width)
    console.print(table)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_live_view_keeps_its_columns(width):
    """Status, seconds and retries stand where they stand, and are whole."""
    flow = flow_of(NAMES)
    view = LiveView(Progress(flow.config.notify, flow.config.guard, flow.task.queue))
    view._room, view._console = 100, Console(file=io.StringIO(), width=width)
    lines = printed(view._table(), width)
    assert len(lines) == 1 + len(NAMES)
    assert all(cell_len(line) <= width for line in lines)
    assert all(line.endswith("7") and " In progress " in line and " 12.3 " in line
               for line in lines[1:])  # fmt: skip
    assert len({cell_len(line) for line in lines[1:]}) == 1


@pytest.mark.parametrize("width", [80, 120, 200])
def test_the_records_keep_their_columns(width):
    """Each record is one line, with its status and its seconds whole."""
    tasks = [
        {"task_id": 1, "name": name, "group_name": name, "status": "Completed", "retry_count": 3,
         "duration": 1.5, "errors": [{"exception": "E" * 80}], "current_context": {"a": "名" * 99}}
        for name in NAMES
    ]  # fmt: skip
    lines = printed(waterfall._records(tasks, width), width)
    assert len(lines) == 1 + len(NAMES)
    assert all(" Completed " in line and " 1.500 " in line for line in lines[1:])
    assert all(cell_len(line) <= width for line in lines)


def span(name, number, parent=None, **attributes):
    context = SimpleNamespace(span_id=number)
    return SimpleNamespace(
        name=name, parent=parent and SimpleNamespace(span_id=parent), start_time=10**9 * number,
        end_time=10**10, attributes={f"dotflow.task.{key}": value for key, value in
                                     attributes.items()},
        status=SimpleNamespace(status_code=None), get_span_context=lambda: context,
    )  # fmt: skip


@pytest.mark.parametrize("width", [80, 120])
def test_the_waterfall_keeps_its_columns(width):
    """Each span is one line, with its bar, its time and its status whole."""
    spans = [span(NAMES[0], 1)]
    for number, name in enumerate(NAMES, 2):
        spans.append(span(name, number, 1, group=name, status="Completed", retry_count=2))
    lines = printed(waterfall._waterfall(SimpleNamespace(spans=spans), width), width)
    assert len(lines) == 1 + len(spans)
    assert all("━" in line and ".0 " in line for line in lines[1:])
    assert all(" Completed " in line and line.endswith("3") for line in lines[2:])
    assert all(cell_len(line) <= width for line in lines)


def test_the_last_line_cuts_a_name():
    """The line of a run that failed has the beginning of a long name."""
    flow = flow_of(["n" * 5000])
    (task,) = flow.task.queue
    task.errors = ValueError("no luck")
    task._status = "Failed"
    assert failure([task]) == f"failed: task 1 ({'n' * 59}…): ValueError: no luck"
