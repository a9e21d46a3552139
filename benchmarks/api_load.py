"""Measures how many reports a dotflow-api takes while people look at it.

.venv/bin/python -m benchmarks.api_load                              SQLite, in a folder of its own
.ci/postgres .venv/bin/python -m benchmarks.api_load --postgres      the same on PostgreSQL

Clients are processes that report runs of a hundred tasks as fast as the server takes them: first
in bulk, then one by one. Meanwhile readers load the list and a run every second, and a listener
hears of changes. A report is one call: it says that a run or a task began, or that it ended.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit
from uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TASKS = 100
AIMS = {"bulk": 1000, "single": 500}  # reports a second
BULK = 100
CONTEXT = {"order": 4711, "customer": "somebody", "lines": [{"sku": "A-1", "count": 2}] * 3}
JSON = {"Content-Type": "application/json"}

Report = tuple[str, str, Any]


@dataclass
class Outcome:
    """What came of one way to report."""

    way: str
    reports: int
    seconds: float
    processor: float
    calls: list[float]
    pages: list[float] = field(default_factory=list)
    events: int = 0

    def line(self) -> str:
        rate = self.reports / self.seconds
        return (
            f"| {self.way} | {rate:,.0f} | {AIMS[self.way]:,} "
            f"| {1e6 * self.processor / self.reports:,.0f} | {spread(self.calls)} "
            f"| {spread(self.pages)} | {self.events:,} |"
        )


HEAD = (
    "| reports | a second | aim | µs of the server's processor each "
    "| ms a call: median, 99 % | ms a page: median, 99 % | events heard |\n"
    "| --- | --: | --: | --: | --: | --: | --: |"
)


def main() -> None:
    arguments = read_arguments()
    with tempfile.TemporaryDirectory() as folder:
        database = os.environ["DOTFLOW_TEST_POSTGRES"] if arguments.postgres else ""
        url = database or f"sqlite:///{folder}/records.db"
        with serving(url, arguments.workers) as server:
            name = "PostgreSQL" if database else "SQLite"
            print(f"{name}, {arguments.clients} clients:\n\n{HEAD}")
            for way in arguments.ways.split(","):
                print(measure(server, way, arguments.seconds, arguments.clients).line(), flush=True)


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.api_load",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=float, default=20, help="of each way (20)")
    parser.add_argument("--clients", type=int, default=4, help="processes that report (4)")
    parser.add_argument("--workers", type=int, default=1, help="processes that serve (1)")
    parser.add_argument("--ways", default="bulk,single", help="bulk, single, or both by comma")
    parser.add_argument(
        "--postgres", action="store_true", help="on the database that DOTFLOW_TEST_POSTGRES names"
    )
    return parser.parse_args()


@dataclass(frozen=True)
class Server:
    """A dotflow-api in a process of its own, and its workers'."""

    host: str
    port: int
    process: int

    def processor(self) -> float:
        """User and system time so far, in seconds."""
        return sum(processor_of(one) for one in self.processes())

    def processes(self) -> list[int]:
        children = Path(f"/proc/{self.process}/task/{self.process}/children").read_text("ascii")
        return [self.process, *map(int, children.split())]

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.host, self.port, timeout=60)


def processor_of(process: int) -> float:
    """User and system time of one process so far, in seconds."""
    stat = Path(f"/proc/{process}/stat").read_text("ascii")
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def serving(database: str, workers: int = 1) -> Iterator[Server]:
    script = "from dotflow.main import main; main()"
    command = [sys.executable, "-c", script, "api", "--port", "0", "--database", database]
    command += ["--workers", str(workers)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        words = process.stdout.readline().split()
        address = urlsplit(next((one for one in words if one.startswith("http")), ""))
        if not address.port:
            sys.exit("The server did not start: it has said why.")
        yield Server(address.hostname or "", address.port, process.pid)
    finally:
        process.terminate()
        process.wait()


def measure(server: Server, way: str, seconds: float, clients: int) -> Outcome:
    context = multiprocessing.get_context("spawn")
    answers: Any = context.Queue()
    begin = context.Barrier(clients + 1)
    processes = [
        context.Process(target=report, args=(server, way, seconds, begin, answers))
        for _ in range(clients)
    ]
    for process in processes:
        process.start()
    with (
        looking(server, "/") as pages,
        looking(server, "/runs/{run}") as others,
        listening(server) as heard,
    ):
        begin.wait()
        before, since = server.processor(), time.perf_counter()
        found = [answers.get(timeout=seconds + 120) for _ in processes]
        spent, elapsed = server.processor() - before, time.perf_counter() - since
    for process in processes:
        process.join()
    calls = [one for _, took in found for one in took]
    reports = sum(number for number, _ in found)
    return Outcome(way, reports, elapsed, spent, calls, pages + others, len(heard))


# ---- those who report ----


def report(server: Server, way: str, seconds: float, begin: Any, answers: Any) -> None:
    """Reports one run after another; a process's whole work."""
    connection = server.connect()
    calls: list[float] = []
    done = 0
    begin.wait()
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        run = uuid4().hex
        send = in_bulk if way == "bulk" else one_by_one
        for number, took in send(connection, run):
            done += number
            calls.append(took)
            if time.perf_counter() >= until:
                break
    answers.put((done, calls))
    connection.close()


def in_bulk(connection: http.client.HTTPConnection, run: str) -> Iterator[tuple[int, float]]:
    waiting: list[Any] = []
    reports = [begin_run(run)]
    for number in range(1, TASKS + 1):
        path = f"/workflows/{run}/tasks/{number}"
        reports += [begin_task(run, number), ("PATCH", path, ended())]
    reports.append(("PATCH", f"/workflows/{run}", end_of_run()))
    for method, path, (body, times) in reports:
        key = uuid4().hex
        waiting.append(
            {"method": method, "path": path, "idempotency_key": key, "times": times, "body": body}
        )
        if len(waiting) == BULK or path == reports[-1][1]:
            answer, took = call(connection, "POST", "/bulk", {"items": waiting})
            assert all(one["status"] in {200, 201} for one in answer["items"]), answer
            yield len(waiting), took
            waiting = []


def one_by_one(connection: http.client.HTTPConnection, run: str) -> Iterator[tuple[int, float]]:
    def send(method: str, path: str, said: Any) -> tuple[Any, float]:
        body, times = said
        headers = {"Idempotency-Key": uuid4().hex, "Dotflow-Times": json.dumps(times)}
        return call(connection, method, path, body, headers)

    yield 1, send(*begin_run(run))[1]
    for number in range(1, TASKS + 1):
        answer, took = send(*begin_task(run, number))
        yield 1, took
        yield 1, send("PATCH", f"/tasks/{answer['id']}", ended())[1]
    yield 1, send("PATCH", f"/workflows/{run}", end_of_run())[1]


def begin_run(run: str, tasks: int = TASKS) -> Report:
    plan = [{"id": one, "name": f"step {one}", "group_name": "g"} for one in range(1, tasks + 1)]
    body = {"id": run, "name": "load", "status": "In progress", "mode": "sequential", "tasks": plan}
    return "POST", "/workflows", (body, {"started_at": now()})


def begin_task(run: str, number: int) -> Report:
    body = {
        "id": number,
        "name": f"step {number}",
        "group_name": "g",
        "status": "In progress",
        "initial_context": CONTEXT,
    }
    return "POST", f"/workflows/{run}/tasks", (body, {"started_at": now()})


def ended() -> tuple[Any, Any]:
    moment = now()
    body = {"status": "Completed", "duration": 0.25, "current_context": CONTEXT, "errors": []}
    times = {"started_at": moment, "finished_at": moment, "attempts": [[moment, moment]]}
    return body, times


def end_of_run() -> tuple[Any, Any]:
    return {"status": "Completed", "duration": 25.0}, {"started_at": now(), "finished_at": now()}


def now() -> str:
    return datetime.now(timezone.utc).isoformat()


def call(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: Any,
    headers: dict[str, str] | None = None,
) -> tuple[Any, float]:
    content = json.dumps(body).encode()
    begin = time.perf_counter()
    connection.request(method, path, content, {**JSON, **(headers or {})})
    answer = connection.getresponse()
    said = answer.read()
    took = time.perf_counter() - begin
    assert answer.status < 300, (answer.status, said)
    return json.loads(said), took


# ---- those who look ----


@contextlib.contextmanager
def looking(server: Server, path: str) -> Iterator[list[float]]:
    """Loads a page every second; the list of times grows meanwhile."""
    found: list[float] = []

    def look(over: threading.Event) -> None:
        connection = server.connect()
        while not over.wait(1):
            connection.request("GET", "/workflows?limit=1")
            runs = json.loads(connection.getresponse().read())["workflows"]
            if not runs:
                continue
            begin = time.perf_counter()
            connection.request("GET", path.format(run=quote(runs[0]["id"], safe="")))
            answer = connection.getresponse()
            assert answer.status == 200, (answer.status, answer.read())
            answer.read()
            found.append(time.perf_counter() - begin)
        connection.close()

    with aside(look):
        yield found


@contextlib.contextmanager
def listening(server: Server) -> Iterator[list[bytes]]:
    """Hears of changes; the list of events grows meanwhile."""
    heard: list[bytes] = []
    connection = server.connect()
    connection.request("GET", "/events")
    answer = connection.getresponse()

    def listen(over: threading.Event) -> None:
        while not over.is_set():
            line = answer.readline()
            if line.startswith(b"data"):
                heard.append(line)

    with aside(listen):
        yield heard
    answer.close()
    connection.close()


@contextlib.contextmanager
def aside(work: Callable[[threading.Event], None]) -> Iterator[None]:
    over = threading.Event()
    thread = threading.Thread(target=work, args=(over,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def spread(seconds: list[float]) -> str:
    if len(seconds) < 2:
        return "-"
    last = statistics.quantiles(seconds, n=100)[98]
    return f"{1000 * statistics.median(seconds):,.1f}, {1000 * last:,.1f}"


if __name__ == "__main__":
    main()
