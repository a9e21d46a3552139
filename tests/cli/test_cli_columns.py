"""Names in columns, however long, wide or odd they are."""

from __future__ import annotations

import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from dotflow import DotFlow, action
from dotflow.cli import demo_page
from dotflow.cli.columns import cell, fit
from dotflow.cli.live import LiveView, Progress
from dotflow.cli.running import failure
from dotflow.cli.streams import PLAIN
from dotflow.cli.waterfall import waterfall
from dotflow.waterfall.bars import Bar
from dotflow.waterfall.colours import LOOKS, SPAN

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
    lines = printed(demo_page._records(tasks, width), width)
    assert len(lines) == 1 + len(NAMES)
    assert all(" Completed " in line and " 1.500 " in line for line in lines[1:])
    assert all(cell_len(line) <= width for line in lines)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_waterfall_keeps_its_columns(width):
    """Each bar and each group is one line, with its bar, its time and its status whole."""
    bars = [Bar(NAMES[0], "workflow", 0, 10**18, 10**18 + 10**10, "Completed")]
    for number, name in enumerate(NAMES):
        begin = 10**18 + number * 10**9
        bars.append(Bar(name, "task", 1, begin, begin + 10**9, "Completed", name, "3 attempts"))
    lines = printed(waterfall(bars, width), width)
    groups = len([name for name in NAMES if name])
    assert len(lines) == len(bars) + groups
    assert sum("━" in line and ".00 s" in line for line in lines) == len(bars)
    assert sum(line.endswith("✓ Completed, 3 attempts") for line in lines) == len(NAMES)
    assert all(cell_len(line) <= width for line in lines)


def test_the_waterfall_shows_what_goes_on_and_what_failed():
    """What goes on ends now, what was not started has no bar, a failure has its error."""
    begin = 10**18
    bars = [
        Bar("a", "task", 0, begin, begin + 10**9, "Failed", note="ValueError"),
        Bar("b", "task", 0, begin + 10**9, None, "In progress"),
        Bar("c", "task", 0, 0, None, "Not started"),
    ]
    first, second, third = printed(waterfall(bars, 80, now=begin + 2 * 10**9), 80)
    assert first.count("━") == second.count("╍") >= 10
    assert first.endswith("1.00 s ✗ ValueError")
    assert second.endswith("▸ In progress")
    assert third.split() == ["c", "○", "Not", "started"]


def test_every_mark_has_a_plain_one_that_is_as_wide():
    """A terminal that does not know a mark gets one letter for it, and the columns stay."""
    marks = {look.mark for look in (*LOOKS.values(), SPAN)} | {"━", "╍", "µ"}
    assert marks <= set(PLAIN)
    assert all(one.isascii() and len(one) == 1 for one in PLAIN.values())


def test_the_last_line_cuts_a_name():
    """The line of a run that failed has the beginning of a long name."""
    flow = flow_of(["n" * 5000])
    (task,) = flow.task.queue
    task.errors = ValueError("no luck")
    task._status = "Failed"
    assert failure([task]) == f"failed: task 1 ({'n' * 59}…): ValueError: no luck"
