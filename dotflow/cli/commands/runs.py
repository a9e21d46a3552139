"""List the runs of this machine, without any server."""

from __future__ import annotations

import json
import sys
from collections import Counter
from datetime import datetime, timezone
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from dotflow.cli.columns import cell
from dotflow.core.types import TypeStatus, WorkflowStatus
from dotflow.history.runs import LocalRuns
from dotflow.utils.trace_link import trace_link
from dotflow.waterfall.colours import look_of
from dotflow.waterfall.texts import lasting

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from dotflow.history.runs import LocalRun

MANY = 20
"""Runs that are shown unless more are asked for."""

SHORTEST_ID = 12
"""Characters that a shown id has at the least."""

SHORTEST_NAME, GAP = 8, 2
"""Columns that a name has at the least, and that are between two columns."""

LONGEST_ID = 36

HEADS = ("began", "run", "workflow", "status", "took", "tasks")

STATUSES = {
    "completed": WorkflowStatus.COMPLETED, "failed": WorkflowStatus.FAILED,
    "running": WorkflowStatus.IN_PROGRESS, "new": WorkflowStatus.NEW,
}  # fmt: skip

EPILOG = """\
The list has the runs that go on, and those whose reports are not all delivered yet. A program with
DOTFLOW_HISTORY=64MB keeps its runs after that, up to 64 MB; the oldest go first. `dotflow start`
keeps 16 MB. `dotflow trace ID` shows one run, `dotflow trace last` the newest."""

NONE_YET = """\
This machine keeps no runs. Set DOTFLOW_HISTORY=64MB for a program, or run its workflow with
`dotflow start`: its runs are kept then. Runs that go on are listed in any case."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument(
        "--status",
        action="append",
        choices=list(STATUSES),
        help="only runs with this status (may be repeated)",
    )
    parser.add_argument("--name", metavar="NAME", help="only runs of the workflow with this name")
    parser.add_argument(
        "--limit",
        type=int,
        default=MANY,
        metavar="N",
        help=f"how many of the newest runs ({MANY}); 0: all",
    )
    parser.add_argument("--json", action="store_true", help="print a JSON list instead")


def run(arguments: argparse.Namespace) -> int:
    """Print the list."""
    everything = LocalRuns().read()
    wanted = [STATUSES[one] for one in arguments.status or ()]
    found = [
        one
        for one in everything
        if (not wanted or one.status in wanted) and arguments.name in (None, one.name)
    ]
    shown = found[: arguments.limit] if arguments.limit > 0 else found
    if arguments.json:
        sys.stdout.write(json.dumps([described(one) for one in shown], indent=2) + "\n")
        return 0
    console = Console(highlight=False)
    if not shown:
        console.print(NONE_YET if not everything else "No run matches.", soft_wrap=True)
        return 0
    console.print(_table(shown, everything, console.width))
    if len(shown) < len(found):
        console.print(f"and {len(found) - len(shown)} older ones: --limit 0 shows all", style="dim")
    return 0


def _table(shown: Sequence[LocalRun], everything: Sequence[LocalRun], width: int) -> Table:
    ids = {one.workflow for one in everything}
    digits = length_of_ids(ids)
    table = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False)
    for name in HEADS:
        table.add_column(name, justify="right" if name == "took" else "left", no_wrap=True)
    beside = [
        (Text(local_time(one.began_at)), _status(one), Text(_took(one)), _tasks(one))
        for one in shown
    ]
    # Ids and names give way: who reads the list looks for the other columns.
    heads = [Text(name) for name in HEADS if name not in ("run", "workflow")]
    columns = zip(heads, *beside, strict=True)
    room = width - sum(max(map(len, one)) for one in columns) - GAP * (len(HEADS) - 1)
    digits = max(SHORTEST_ID, min(digits, room - SHORTEST_NAME))
    for one, (began, *rest) in zip(shown, beside, strict=True):
        run_id = cell(one.workflow[:digits], LONGEST_ID)
        table.add_row(began, run_id, cell(one.name or "", max(SHORTEST_NAME, room - digits)), *rest)
    return table


def _status(run: LocalRun) -> Text:
    look = look_of(run.status)
    words = "Running" if run.status == WorkflowStatus.IN_PROGRESS else run.status
    return Text(f"{look.mark} {words}", style=look.terminal)


def _took(run: LocalRun) -> str:
    return "" if run.duration is None else lasting(int(run.duration * 1e9))


def _tasks(run: LocalRun) -> Text:
    """How many tasks have come to what: "7 ✓ 1 ✗ 2 ○"."""
    counts = counts_of(run)
    found = Text()
    for status in (*_ORDER, *sorted(set(counts) - set(_ORDER))):
        if counts[status]:
            look = look_of(status)
            found.append(" " if found else "")
            found.append(f"{counts[status]} {look.mark}", style=look.terminal)
    return found


_ORDER = (TypeStatus.FAILED, TypeStatus.IN_PROGRESS, TypeStatus.RETRY, TypeStatus.COMPLETED)


def counts_of(run: LocalRun) -> Counter[str]:
    """How many tasks of a run have each status."""
    return Counter(task.status for task in run.all_tasks())


def length_of_ids(ids: set[str]) -> int:
    """How many characters of ids tell them apart."""
    digits = SHORTEST_ID
    for one, other in pairwise(sorted(ids)):
        while digits < LONGEST_ID and one[:digits] == other[:digits]:
            digits += 1
    return digits


def local_time(at: int | None) -> str:
    """A moment in the time of this place, to the second."""
    if at is None:
        return ""
    return f"{datetime.fromtimestamp(at / 1e9).astimezone():%Y-%m-%d %H:%M:%S}"


def described(run: LocalRun) -> dict[str, Any]:
    """A run as `--json` has it; times are in UTC."""
    return {
        "workflow_id": run.workflow,
        "name": run.name,
        "mode": run.mode,
        "status": run.status,
        "resumed": run.resumed,
        "process_ended": run.is_lost,
        "started_at": _utc(run.began_at),
        "finished_at": _utc(run.ended_at),
        "duration": run.duration,
        "tasks": dict(counts_of(run)),
        "trace_id": run.trace_id or None,
        "trace_url": trace_link(run.trace_id),
    }


def _utc(at: int | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at / 1e9, timezone.utc).isoformat()
