"""Measures what reporting costs, prints the table, and writes it into docs/performance.md.

.venv/bin/python -m benchmarks --peers                    everything, as the page shows it
.venv/bin/python -m benchmarks --rows otlp,api --print    some rows, and nothing is written
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path

from benchmarks.figures import Found, measure
from benchmarks.page import refreshed, table
from benchmarks.plot import draw
from benchmarks.rows import Row, Sizes, rows_of
from benchmarks.running import Receivers, python_of_upstream, run_case

DOCS = Path(__file__).resolve().parents[1] / "docs"


def main() -> None:
    arguments = read_arguments()
    pythons = {"ours": Path(sys.executable)}
    if arguments.peers:
        pythons["upstream"] = python_of_upstream()
    wanted = set(arguments.rows.split(",")) if arguments.rows else None
    rows = rows_of(Sizes(arguments.tasks), arguments.peers)
    unknown = (wanted or set()) - {row.key for row in rows}
    if unknown:
        sys.exit(f"There is no row {', '.join(sorted(unknown))}.")
    rows = [row for row in rows if wanted is None or row.key in wanted]
    with Receivers() as receivers:
        run = partial(run_case, receivers=receivers, pythons=pythons)
        found = measure(rows, arguments.repetitions, run, not arguments.quiet)
    text = table(rows, found)
    print(f"{conditions(arguments.tasks, arguments.repetitions)}\n\n{text}")
    if arguments.json:
        keep(found, arguments.json)
    if not arguments.print:
        write(rows, found, arguments, text)


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--tasks", type=int, default=1000, help="of a run; the others follow")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--rows", help="only these, by comma: engine, sdk, otlp, api, both, ...")
    parser.add_argument("--peers", action="store_true", help="with upstream's, of its own venv")
    parser.add_argument("--quiet", action="store_true", help="not with a busy thread as well")
    parser.add_argument("--print", action="store_true", help="write no page")
    parser.add_argument("--json", type=Path, help="where to keep every result")
    parser.add_argument("--docs", type=Path, default=DOCS, help="the folder of the page")
    return parser.parse_args()


def conditions(tasks: int, repetitions: int) -> str:
    """What the figures were measured with."""
    return (
        f"{time.strftime('%Y-%m-%d')}: {os.cpu_count()} processors, {platform.system()}, "
        f"Python {platform.python_version()}, opentelemetry-sdk {version('opentelemetry-sdk')}; "
        f"{tasks:,} tasks a run where nothing else is said, medians of {repetitions} "
        f"(long programs: of at most 3), in one interleaved run."
    )


def keep(found: Found, path: Path) -> None:
    """Write every result of every repetition to a file."""
    said = [
        {"repetition": number, **asdict(case), **asdict(result)}
        for number, results in enumerate(found)
        for case, result in results.items()
    ]
    path.write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")


def write(rows: list[Row], found: Found, arguments: argparse.Namespace, text: str) -> None:
    """Write the table and the picture."""
    page = arguments.docs / "performance.md"
    said = conditions(arguments.tasks, arguments.repetitions)
    page.write_text(refreshed(page.read_text("utf-8"), said, text), encoding="utf-8")
    (arguments.docs / "performance.svg").write_text(draw(rows, found), encoding="utf-8")


if __name__ == "__main__":
    main()
