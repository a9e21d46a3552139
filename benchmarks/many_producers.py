"""Measures what many processes on one state folder cost each other, for docs/guides/scale.md.

.venv/bin/python -m benchmarks.many_producers                     1, 10 and 50 processes
.venv/bin/python -m benchmarks.many_producers --counts 200 --print

Each is forked from one process, as in a container with a worker pool. It has run some workflows,
and waits for the next one. Their dotflow-api and OTLP endpoint are away, so that all of it waits.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

DOCS = Path(__file__).resolve().parents[1] / "docs" / "guides" / "scale.md"
BEGIN, END = "<!-- many producers -->\n", "<!-- end of many producers -->"
AWAY = "http://127.0.0.1:9"
PERIOD = 12.0
"""Seconds: each look that a process takes comes at least once in so long."""

COLUMNS = (
    "processes",
    "each, idle: CPU, files opened",
    "one dies: CPU of the one that takes over, files that each other one opens for it",
    "another starts: CPU of its first run, of its second",
    "`dotflow outbox status`: CPU",
)
HEAD = f"| {' | '.join(COLUMNS)} |\n|{' ---: |' * len(COLUMNS)}\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.many_producers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--counts", default="1,10,50", help="how many processes, by comma")
    parser.add_argument("--runs", type=int, default=2, help="how many runs of each wait")
    parser.add_argument("--period", type=float, default=PERIOD, help=f"seconds ({PERIOD:g})")
    parser.add_argument("--print", action="store_true", help="write no page")
    parser.add_argument("--part", help=argparse.SUPPRESS)  # a process of the benchmark itself
    arguments = parser.parse_args()
    if arguments.part:
        parts: dict[str, Callable[[], Any]] = {
            "start": start,
            "status": status,
            "pool": lambda: pool(int(arguments.counts), arguments.runs, arguments.period),
        }
        print(json.dumps(parts[arguments.part]()))
        return
    numbers = arguments.runs, arguments.period
    rows = [row(int(count), *numbers) for count in arguments.counts.split(",")]
    said = (
        f"{time.strftime('%Y-%m-%d')}: {os.cpu_count()} processors, Python "
        f"{platform.python_version()}; of each process {arguments.runs} runs of two tasks wait."
    )
    text = f"{said}\n\n{HEAD}{''.join(rows)}"
    print(text)
    if not arguments.print:
        before, _, rest = DOCS.read_text("utf-8").partition(BEGIN)
        DOCS.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}", "utf-8")


def row(count: int, runs: int, period: float) -> str:
    """A line of the table."""
    with tempfile.TemporaryDirectory() as folder:
        numbers = ("--counts", count, "--runs", runs, "--period", period)
        found = part("pool", folder, *map(str, numbers))
    return (
        f"| {count} | {found['idle_cpu'] * 1e3:.1f} ms/s, {found['idle_opened']:.0f}/s "
        f"| {found['taker'] * 1e3:.0f} ms, {found['others']:.0f} "
        f"| {found['first'] * 1e3:.0f} ms, {found['second'] * 1e3:.0f} ms "
        f"| {found['status'] * 1e3:.0f} ms |\n"
    )


def part(name: str, folder: str, *more: str) -> Any:
    """What a process of the benchmark has found out."""
    variables = {
        "DOTFLOW_STATE_DIR": folder, "DOTFLOW_SERVER_URL": AWAY, "DOTFLOW_USER_TOKEN": "none",
        "OTEL_EXPORTER_OTLP_ENDPOINT": AWAY, "DOTFLOW_FLUSH_TIMEOUT": "0",
    }  # fmt: skip
    hidden = ("OTEL_", "DOTFLOW_", "SERVER_", "TRACEPARENT")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.many_producers", "--part", name, *more],
        env=kept | variables, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)


# The processes of a pool.


class Worker:
    """One process of the pool, which says what it has used so far when it is asked."""

    def __init__(self, runs: int) -> None:
        mine, its = os.pipe(), os.pipe()
        self.pid = os.fork()
        if not self.pid:
            with contextlib.suppress(BaseException):
                live(runs, its[0], mine[1])
            os._exit(0)
        os.close(its[0])
        os.close(mine[1])
        self._said = os.fdopen(mine[0])
        self._ask = its[1]
        self._said.readline()

    def used(self) -> list[float]:
        """Seconds of processor, and files opened, since it began."""
        os.write(self._ask, b"?")
        found: list[float] = json.loads(self._said.readline())
        return found

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def live(runs: int, asked: int, says: int) -> None:
    """Run some workflows, and answer until the parent has gone."""
    run = runner()
    for _ in range(runs):
        run()
    while True:
        os.write(says, f"[{time.process_time()}, {opened[0]}]\n".encode())
        if not os.read(asked, 1):
            return


opened = [0]
"""How many files this process has opened."""


def note(event: str, _: object) -> None:
    opened[0] += event == "open"


def runner() -> Callable[[], None]:
    """What runs a workflow of two tasks."""
    from dotflow import Config, DotFlow, action
    from dotflow.otel import ServerOtel
    from dotflow.providers import LogDefault

    config = Config(server=ServerOtel(), log=LogDefault(level="CRITICAL"))

    @action
    def step() -> int:
        return 1

    def run() -> None:
        workflow = DotFlow(config=config, name="a run")
        workflow.task.add(step=[step, step])
        workflow.start()

    return run


def pool(count: int, runs: int, period: float) -> dict[str, float]:
    """Start a pool of so many processes and one more, which dies; say what all that costs."""
    import dotflow.otel  # noqa: F401 - loaded once, for all

    sys.addaudithook(note)
    workers = [Worker(runs) for _ in range(count + 1)]
    time.sleep(period / 2)
    idle = during(period, workers)
    doomed = workers.pop()
    doomed.kill()
    after = during(period, workers)
    spent, files = ([one[index] for one in after] for index in (0, 1))
    folder = os.environ["DOTFLOW_STATE_DIR"]
    found = {
        "idle_cpu": statistics.mean(cpu for cpu, _ in idle) / period,
        "idle_opened": statistics.mean(number for _, number in idle) / period,
        "taker": max(spent) - min(spent),
        "others": max(0.0, statistics.median(files) - statistics.median(one[1] for one in idle)),
        **part("start", folder),
        **part("status", folder),
    }
    for worker in workers:
        worker.kill()
    return found


def during(period: float, workers: list[Worker]) -> list[list[float]]:
    """What each uses in a period: seconds of processor, files opened."""
    before = [one.used() for one in workers]
    time.sleep(period)
    after = [one.used() for one in workers]
    return [
        [late - early for early, late in zip(*both, strict=True)]
        for both in zip(before, after, strict=True)
    ]


# Beside a pool.


def start() -> dict[str, float]:
    """What the first runs of another process cost, with what follows them in its threads."""
    run = runner()
    found = {}
    for name in ("first", "second"):
        began = time.process_time()
        run()
        time.sleep(1)
        found[name] = time.process_time() - began
    return found


def status() -> dict[str, float]:
    """What it costs to count what waits, once all that is needed for it is loaded."""
    from dotflow.cli.waiting import entries

    spent = []
    for _ in range(5):
        began = time.process_time()
        entries()
        spent.append(time.process_time() - began)
    return {"status": min(spent)}


if __name__ == "__main__":
    main()
