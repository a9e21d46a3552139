"""The table that the suite writes: docs/understand/conformance.md.

Written by a run of the whole suite with DOTFLOW_TEST_WRITE_CONFORMANCE=1, from what passed.
"""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path

from conformance_cells import CELLS, NOT_YET, OUTCOMES, ROWS

PAGE = Path(__file__).parents[2] / "docs" / "understand" / "conformance.md"

PASSES, NONE = "✓", "-"

ABOVE = """\
# Conformance

This page tells you for which ways to run a step, and for which ends, the trace is known to be
whole. The rows say what runs the step, the columns what becomes of the step.

Each cell is a real process that runs a real workflow, with a real OTLP receiver, a real
dotflow-api, and the instrumentation packages of requests, urllib3, sqlite3 and logging. Each cell
checks that

- there is one trace with one root and no orphan;
- every span that the step ended is there, once, below the span of its task or attempt;
- the task's span has the true outcome and times;
- dotflow-api says the same of the run and its task;
- baggage came along;
- delivery made no span.

If a signal or `os._exit` ends a step in the program's own process, the program is gone. The trace
is whole after `dotflow outbox flush`, or the next run, has sent what is missing. In the other
rows, the signal ends the child or the executor's worker, and the run goes on. In the last column,
the process that reports is killed while a worker runs the step.

`tests/conformance` writes this page, no cell by hand.
"""


def expected():
    """The cells as the suite's parameters have them."""
    return {
        (row.name, outcome.name): NOT_YET.get((row.name, outcome.name), PASSES)
        for row, outcome in CELLS
    }


def table(cells):
    """The lines of the table: its head and one line a row."""
    head = ["step in", *(outcome.name for outcome in OUTCOMES)]
    lines = [head, ["---", *([":-:"] * len(OUTCOMES))]]
    numbers = {reason: str(place) for place, reason in enumerate(reasons(cells), 1)}
    for row in ROWS:
        found = [cells.get((row.name, outcome.name), NONE) for outcome in OUTCOMES]
        lines.append([row.name, *(numbers.get(cell, cell) for cell in found)])
    return ["| " + " | ".join(line) + " |" for line in lines]


def reasons(cells):
    """Why cells do not pass yet, in order of appearance."""
    return list(dict.fromkeys(cell for cell in cells.values() if cell != PASSES))


def below(cells):
    """What the marks and the rows mean."""
    marks = f"{PASSES} passes, {NONE} there is no such case" + "".join(
        f", {place} not yet: {reason}" for place, reason in enumerate(reasons(cells), 1)
    )
    rows = [f"- **{row.name}**: {row.says} ({row.protocol})" for row in ROWS]
    return [f"{marks}.", "", *rows]


def write(results):
    """Write the page from the results of a run; a run that is not whole, or failed, writes none.

    Args:
        results: Whether each cell passed.
    """
    cells = {cell: PASSES if passed else NOT_YET.get(cell, "") for cell, passed in results.items()}
    if cells != expected():
        print(f"\n{PAGE.name} is not written: not all cells ran, or some failed.")  # noqa: T201
        return
    versions = (
        f"Last written with Python {platform.python_version()} and OpenTelemetry "
        f"{version('opentelemetry-sdk')} on {platform.system()}."
    )
    lines = [ABOVE, *table(cells), "", *below(cells), "", versions]
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")
