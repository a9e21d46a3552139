"""Finds how many reports a dotflow-api takes of a thousand runs at once, and what gives way first.

.ci/postgres .venv/bin/python -m benchmarks.api_runs            prints a table
.ci/postgres .venv/bin/python -m benchmarks.api_runs --write    writes it into docs/guides/scale.md

Each run has a connection of its own and reports tasks, one after another, in even steps; each step
says that a task ended and the next one began. From level to level the runs become faster, until
one call in a hundred is answered more than a second after it was due, or fewer are answered than
were due. The last level before that is the limit. In the end each record is compared with what the
runs have said.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import platform
import sys
import tempfile
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from benchmarks.api_clients import TASKS, Sample, serve
from benchmarks.api_load import Server, serving, spread
from benchmarks.api_usage import Usage, Watch, size_of

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).resolve().parents[1] / "docs" / "guides" / "scale.md"
BEGIN = "<!-- Figures: from here on written by `python -m benchmarks.api_runs --write`. -->"
END = "<!-- End of the figures. -->"
FIRST, STEP = 200, 1.4
LATE = 1.0
ENOUGH = 0.9
REPORTS = 2  # of most steps: a task ended, another one began


@dataclass(frozen=True)
class Setting:
    """What is measured: "sqlite" or "postgresql", how many workers, "bulk" or "single"."""

    database: str
    workers: int
    way: str


SETTINGS = [
    Setting("sqlite", 1, "bulk"),
    Setting("sqlite", 1, "single"),
    Setting("postgresql", 1, "bulk"),
    Setting("postgresql", 1, "single"),
    Setting("postgresql", 2, "bulk"),
    Setting("postgresql", 2, "single"),
    Setting("postgresql", 4, "single"),
]

HEAD = (
    "| database | workers | reports | a second, at most | ms after a call was due: median, 99 % "
    "| µs of processor a report: server, database | MB of the server | KB a task on disk "
    "| what gives way first | lost |\n"
    "| --- | --: | --- | --: | --: | --: | --: | --: | --- | --: |"
)


@dataclass(frozen=True)
class Level:
    """What came of one pace."""

    offered: float
    sample: Sample
    usage: Usage

    @property
    def taken(self) -> float:
        return self.sample.reports / self.sample.seconds

    @property
    def is_borne(self) -> bool:
        late = sorted(self.sample.late)
        return (
            self.taken >= ENOUGH * self.offered
            and not self.sample.refused
            and bool(late)
            and late[int(0.99 * (len(late) - 1))] <= LATE
        )

    def line(self) -> str:
        sample = self.sample
        return (
            f"  {self.offered:,.0f} offered, {self.taken:,.0f} taken, ms {spread(sample.late)}, "
            f"{sample.refused} refused; {self.usage.line()}"
        )


def main() -> None:
    arguments = read_arguments()
    lines = [HEAD]
    with tempfile.TemporaryDirectory() as folder:
        for number, setting in enumerate(arguments.settings):
            file = Path(folder, f"{number}.db")
            lines.append(measure(setting, file, arguments))
    conditions = (
        f"{datetime.now(timezone.utc):%Y-%m-%d}: {os.cpu_count()} processors for the server, the "
        f"database and the clients together, {platform.system()}, Python "
        f"{platform.python_version()}; {arguments.runs:,} runs of {TASKS} tasks at once, "
        f"{arguments.seconds:g} seconds a level, each level {STEP:g} times the one before."
    )
    table = f"{conditions}\n\n" + "\n".join(lines)
    print(f"\n{table}")
    if arguments.write:
        PAGE.write_text(refreshed(PAGE.read_text("utf-8"), table), "utf-8")


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.api_runs",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--runs", type=int, default=1000, help="runs at once (1000)")
    parser.add_argument("--seconds", type=float, default=15, help="of each level (15)")
    parser.add_argument("--clients", type=int, default=2, help="processes of clients (2)")
    parser.add_argument("--first", type=float, default=FIRST, help=f"reports a second ({FIRST})")
    parser.add_argument("--levels", type=int, default=20, help="at most (20)")
    parser.add_argument("--only", default="", help="as sqlite, single, or sqlite,single")
    parser.add_argument("--write", action="store_true", help="the table into docs/guides/scale.md")
    arguments = parser.parse_args()
    only = {one for one in arguments.only.split(",") if one}
    arguments.settings = [one for one in SETTINGS if only <= {one.database, one.way}]
    databases = {one.database for one in arguments.settings}
    if "postgresql" in databases and not os.environ.get("DOTFLOW_TEST_POSTGRES"):
        parser.error("DOTFLOW_TEST_POSTGRES names no database: run it by .ci/postgres")
    return arguments


def measure(setting: Setting, file: Path, arguments: argparse.Namespace) -> str:
    """Measures one setting, and gives its line of the table."""
    name = "PostgreSQL" if setting.database == "postgresql" else "SQLite"
    print(f"{name}, {setting.workers} workers, {setting.way}:", flush=True)
    url = os.environ["DOTFLOW_TEST_POSTGRES"] if name == "PostgreSQL" else f"sqlite:///{file}"
    since = datetime.now(timezone.utc)
    before = size_of(url)
    with serving(url, setting.workers) as server, running(server, setting, arguments) as clients:
        levels = []
        for level in climb(server, url, clients, arguments):
            print(level.line(), flush=True)
            levels.append(level)
        memory = Usage.memory(server.processes())
        over = clients.end()
        lost = over - recorded(server, since)
    size = (size_of(url) - before) / max(1, over * TASKS) / 1000
    first = "not found" if levels[-1].is_borne else levels[-1].usage.what_gives_way()
    cells = [name, setting.workers, setting.way, *figures_of(levels), f"{memory:,.0f}"]
    return f"| {' | '.join(map(str, [*cells, f'{size:,.1f}', first, lost]))} |"


def figures_of(levels: list[Level]) -> list[str]:
    """What the last level was that the server bore."""
    borne = [one for one in levels if one.is_borne]
    if not borne:
        return [f"under {levels[0].offered:,.0f}", "", ""]
    best = max(borne, key=lambda one: one.taken)
    each = (1e6 * used / best.taken for used in (best.usage.server, best.usage.database))
    return [
        f"{best.taken:,.0f}",
        spread(best.sample.late),
        ", ".join(f"{one:,.0f}" for one in each),
    ]


def climb(
    server: Server, url: str, clients: Clients, arguments: argparse.Namespace
) -> Iterator[Level]:
    """Goes from level to level, until one is not borne."""
    offered = arguments.first
    for _ in range(arguments.levels):
        with Watch(server.processes(), url, arguments.seconds) as watch:
            sample = clients.level(REPORTS * arguments.runs / offered, arguments.seconds)
        level = Level(offered, sample, watch.usage(sample.processor / sample.seconds))
        yield level
        if not level.is_borne:
            return
        offered *= STEP


class Clients:
    """The processes that have the runs.

    Args:
        server: Whom they report to.
        way: "bulk" or "single".
        counts: How many runs each has.
    """

    def __init__(self, server: Server, way: str, counts: list[int]) -> None:
        context = multiprocessing.get_context("spawn")
        address = (server.host, server.port)
        self._pipes = []
        self._processes = []
        for count in counts:
            ours, its = context.Pipe()
            process = context.Process(target=serve, args=(address, way, count, its), daemon=True)
            process.start()
            its.close()
            self._pipes.append(ours)
            self._processes.append(process)

    def level(self, pause: float, seconds: float) -> Sample:
        """Has each run pause so long between steps, and gives what they saw in some seconds."""
        for pipe in self._pipes:
            pipe.send((pause, seconds))
        whole = Sample()
        for pipe in self._pipes:
            sample = pipe.recv()
            whole.reports += sample.reports
            whole.late += sample.late
            whole.refused += sample.refused
            whole.processor += sample.processor
            whole.seconds = max(whole.seconds, sample.seconds)
        return whole

    def end(self) -> int:
        """Has the runs go to their ends, and says how many there were in all."""
        for pipe in self._pipes:
            pipe.send(None)
        return sum(pipe.recv() for pipe in self._pipes)

    def kill(self) -> None:
        for process in self._processes:
            process.kill()
            process.join()


@contextlib.contextmanager
def running(server: Server, setting: Setting, arguments: argparse.Namespace) -> Iterator[Clients]:
    share, more = divmod(arguments.runs, arguments.clients)
    counts = [share + (number < more) for number in range(arguments.clients)]
    clients = Clients(server, setting.way, counts)
    try:
        yield clients
    finally:
        clients.kill()


def recorded(server: Server, since: datetime) -> int:
    """How many runs have a record that says all that was said."""
    connection = server.connect()
    after, found = {}, 0
    while after is not None:
        asked = urlencode({"limit": 500, "since": since.isoformat(), **after})
        connection.request("GET", f"/workflows?{asked}")
        page: Any = json.loads(connection.getresponse().read())
        for run in page["workflows"]:
            found += run["status"] == "Completed" and run["counts"] == {"Completed": TASKS}
        after = {"after": page["next"]} if page["next"] else None
    connection.close()
    return found


def refreshed(page: str, figures: str) -> str:
    """The page with these figures instead of those that it has."""
    above, begin, rest = page.partition(BEGIN)
    _, end, below = rest.partition(END)
    if not begin or not end:
        sys.exit(f"{PAGE} has no lines {BEGIN!r} and {END!r}")
    return f"{above}{BEGIN}\n\n{figures}\n\n{END}{below}"


if __name__ == "__main__":
    main()
