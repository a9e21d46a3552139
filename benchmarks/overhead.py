"""What reporting costs: microseconds a no-op task, over the same run that reports nowhere.

    .venv/bin/python benchmarks/overhead.py [--tasks 1000] [--repetitions 7]

Every case runs in a process of its own, all cases once a repetition, each time in another order;
the figures are medians: "run" the time of `start()`, "with flush" the time until all was delivered.
The receivers (an OTLP endpoint and a dotflow-api that answer at once) are a process of their own.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CASES = ("plain", "otlp", "api", "both")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--mode", default="sequential")
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    parser.add_argument("--receive", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.receive:
        receive()
    elif arguments.case:
        print(json.dumps(measure(arguments.case, arguments.tasks, arguments.mode)))
    else:
        compare(arguments.tasks, arguments.repetitions, arguments.mode)


def compare(tasks: int, repetitions: int, mode: str) -> None:
    """Run all cases, interleaved, and print the medians."""
    found: dict[str, list[dict[str, float]]] = {case: [] for case in CASES}
    with subprocess.Popen(
        [sys.executable, __file__, "--receive"], stdout=subprocess.PIPE, text=True
    ) as receiver:
        assert receiver.stdout is not None
        url = receiver.stdout.readline().strip()
        for _ in range(repetitions):
            for case in random.sample(CASES, len(CASES)):
                found[case].append(run(case, tasks, mode, url))
        receiver.terminate()
    print(f"{tasks} no-op tasks, {mode}, median of {repetitions}, µs a task (over plain)")
    for case in CASES:
        line = [f"{case:6}"]
        for what in ("run", "with flush"):
            own = statistics.median(one[what] for one in found[case])
            over = statistics.median(
                one[what] - plain["run"]
                for one, plain in zip(found[case], found["plain"], strict=True)
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
    if case in ("api", "both"):
        environment |= {"DOTFLOW_SERVER_URL": url, "DOTFLOW_USER_TOKEN": "t"}
    done = subprocess.run(
        [sys.executable, __file__, "--case", case, "--tasks", str(tasks), "--mode", mode],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True,
    )  # fmt: skip
    found: dict[str, float] = json.loads(done.stdout)
    return found


def measure(case: str, tasks: int, mode: str) -> dict[str, float]:
    """Run one workflow of no-op tasks; microseconds a task."""
    from dotflow import Config, DotFlow, action

    @action
    def step() -> dict[str, bool]:
        return {"ok": True}

    config = Config()
    if case != "plain":
        from dotflow.otel import ServerOtel

        config = Config(server=ServerOtel())
        warm_up = DotFlow(config=config)
        warm_up.task.add(step)
        warm_up.start()
        config.server.flush(60)
    workflow = DotFlow(config=config)
    workflow.task.add([step] * tasks)
    begin = time.perf_counter()
    manager = workflow.start(mode=mode)
    if mode == "background":
        manager.thread.join()
    ran = time.perf_counter() - begin
    complete = config.server.flush(120).complete
    total = time.perf_counter() - begin
    assert complete
    return {"run": ran / tasks * 1e6, "with flush": total / tasks * 1e6}


def receive() -> None:
    """Answer every POST and PATCH at once."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_PATCH = do_POST  # noqa: N815 - http.server's

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
