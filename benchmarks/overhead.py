"""What reporting costs: microseconds a no-op task, over the same run that reports nowhere.

    .venv/bin/python benchmarks/overhead.py [--tasks 1000] [--repetitions 7]
    .venv/bin/python benchmarks/overhead.py --cases plain,api,slow,hangs,away

Every case runs in a process of its own, all cases once a repetition, each time in another order;
the figures are medians: "run" the time of `start()`, "with flush" the time until all was delivered.
The receivers (an OTLP endpoint and a dotflow-api that answer at once) are a process of their own.
Cases: "otlp" and "api" report with ServerOtel to the one or the other, "both" to both, "default"
with ServerDefault, "memory" as "api" with the outbox in memory; "slow", "hangs", "away" as "api"
to a server that takes 50 ms, that never answers, and that is not there: they are not waited for.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CASES = ("plain", "otlp", "api", "both", "default", "memory")
OUTAGES = ("slow", "hangs", "away")
API = {"api": "", "both": "", "default": "", "memory": "", "slow": "/slow", "hangs": "/hangs"}
"""Where each case finds its dotflow-api, below the receiver's address."""

AWAY = "http://127.0.0.1:9"
SLOW = 0.05  # seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--mode", default="sequential")
    parser.add_argument("--cases", default=",".join(CASES), help="which (%(default)s)")
    parser.add_argument("--case", choices=CASES + OUTAGES, help=argparse.SUPPRESS)
    parser.add_argument("--receive", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.receive:
        receive()
    elif arguments.case:
        print(json.dumps(measure(arguments.case, arguments.tasks, arguments.mode)))
    else:
        cases = arguments.cases.split(",")
        compare(cases, arguments.tasks, arguments.repetitions, arguments.mode)


def compare(cases: list[str], tasks: int, repetitions: int, mode: str) -> None:
    """Run all cases, interleaved, and print the medians."""
    found: dict[str, list[dict[str, float]]] = {case: [] for case in cases}
    with subprocess.Popen(
        [sys.executable, __file__, "--receive"], stdout=subprocess.PIPE, text=True
    ) as receiver:
        assert receiver.stdout is not None
        url = receiver.stdout.readline().strip()
        for _ in range(repetitions):
            for case in random.sample(cases, len(cases)):
                found[case].append(run(case, tasks, mode, url))
        receiver.terminate()
    first = cases[0]
    print(f"{tasks} no-op tasks, {mode}, median of {repetitions}, µs a task (over {first})")
    for case in cases:
        line = [f"{case:7}"]
        for what in ("run", "with flush"):
            own = statistics.median(one[what] for one in found[case])
            over = statistics.median(
                one[what] - base["run"] for one, base in zip(found[case], found[first], strict=True)
            )
            line.append(f"{what} {own:7.1f} (+{over:.1f})")
        print("  ".join(line))


def run(case: str, tasks: int, mode: str, url: str) -> dict[str, float]:
    """Measure one case in a process of its own."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OTEL_", "DOTFLOW_", "SERVER_"))
    }
    if case in ("otlp", "both"):
        environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = url
    if case in API or case == "away":
        api = AWAY if case == "away" else url + API[case]
        environment |= {"DOTFLOW_SERVER_URL": api, "DOTFLOW_USER_TOKEN": "t"}
    if case == "memory":
        environment["DOTFLOW_OUTBOX"] = "memory"
    with tempfile.TemporaryDirectory() as state:
        done = subprocess.run(
            [sys.executable, __file__, "--case", case, "--tasks", str(tasks), "--mode", mode],
            env={**environment, "DOTFLOW_STATE_DIR": state, "DOTFLOW_FLUSH_TIMEOUT": "0"},
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True,
        )  # fmt: skip
    found: dict[str, float] = json.loads(done.stdout)
    return found


def measure(case: str, tasks: int, mode: str) -> dict[str, float]:
    """Run one workflow of no-op tasks; microseconds a task."""
    from dotflow import Config, DotFlow, action

    @action
    def step() -> dict[str, bool]:
        return {"ok": True}

    waits = 0.1 if case in OUTAGES else 120.0
    config = Config()
    if case not in ("plain", "default"):
        from dotflow.otel import ServerOtel

        config = Config(server=ServerOtel())
    warm_up = DotFlow(config=config)
    warm_up.task.add(step)
    warm_up.start()
    config.server.flush(waits)
    workflow = DotFlow(config=config)
    workflow.task.add([step] * tasks)
    begin = time.perf_counter()
    manager = workflow.start(mode=mode)
    if mode == "background":
        manager.thread.join()
    ran = time.perf_counter() - begin
    complete = config.server.flush(waits).complete
    total = time.perf_counter() - begin
    assert complete or case in OUTAGES
    return {"run": ran / tasks * 1e6, "with flush": total / tasks * 1e6}


def receive() -> None:
    """Answer every POST and PATCH at once."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            if self.path.startswith("/hangs"):
                time.sleep(3600)
            if self.path.startswith("/slow"):
                time.sleep(SLOW)
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_PATCH = do_POST  # noqa: N815 - http.server's

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # who reports may end in the middle of a request
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
