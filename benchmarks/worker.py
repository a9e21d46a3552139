"""Runs one case in this process: python worker.py VARIANT TASKS RUNS MODE END BUSY; prints JSON.

It runs with upstream's dotflow too, so it uses only what both have. Variants: "calls" (the bare
function calls), "sdk" (a span of OpenTelemetry's SDK around each), "plain" (the engine), "nolog"
(without its log lines), "otlp", "api" and "both" (the engine with ServerOtel; the environment says
where to), and "import NAME".
"""

from __future__ import annotations

import gc
import os
import resource
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

IMPORTS = {
    "dotflow": "import dotflow",
    "otel": "from dotflow.otel import ServerOtel",
    "sdk": "from opentelemetry.sdk.trace import TracerProvider\n"
    "from opentelemetry.sdk.trace.export import BatchSpanProcessor\n"
    "from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter",
}
FLUSH = 600.0  # seconds
WARM = 0.5
"""Growth counts from this part of the runs on: by then all is loaded and every cache is full."""

Work = tuple[Callable[[int], Any], Callable[[], Any]]
"""What runs so many tasks once, and what waits until all is delivered."""


def main() -> None:
    variant, tasks, runs, mode, end, busy = sys.argv[1:]
    if variant.startswith("import "):
        found = measure_import(variant.split()[1])
    else:
        found = measure(variant, int(tasks), int(runs), mode, end, busy == "busy")
    import json  # here: what is imported is what is measured

    print(json.dumps(found), flush=True)


def measure_import(name: str) -> dict[str, float]:
    """How long an import takes in a new process."""
    begin = time.perf_counter()
    exec(IMPORTS[name], {})
    return {"run": time.perf_counter() - begin}


def measure(
    variant: str, tasks: int, runs: int, mode: str, end: str, is_busy: bool
) -> dict[str, float]:
    """Run a variant; seconds of all runs and of the flush, CPU, memory in MB."""
    setup = {"calls": function_calls, "sdk": bare_sdk}.get(variant, engine)
    run, flush = setup(variant, mode)
    if end != "default":  # such a program is measured as a user's is, with all that it says
        run(1)
    if is_busy:
        threading.Thread(target=spin, daemon=True).start()
    gc.collect()
    found = {"base_mb": memory(), "warm_mb": 0.0}
    begin, cpu_before = time.perf_counter(), cpu()
    for number in range(1, runs + 1):
        run(tasks)
        if number == int(runs * WARM):
            if end == "flush":  # as at the end: what delivers is then as warm as what reports
                flush()
            found["warm_mb"] = memory()
    ran = time.perf_counter()
    found["ran_mb"] = memory()
    if end == "flush":
        flush()
    return {
        **found,
        "run": ran - begin,
        "flush": time.perf_counter() - ran,
        "cpu": cpu() - cpu_before,
        "end_mb": memory(),
    }


def spin() -> None:
    """Keep the interpreter busy, as a thread of the user's does that computes."""
    number = 0
    while True:
        number = (number + 1) % 1000


def no_op() -> dict[str, bool]:
    return {"ok": True}


def function_calls(_variant: str, _mode: str) -> Work:
    """The work without an engine."""

    def run(tasks: int) -> None:
        for _ in range(tasks):
            no_op()

    return run, lambda: None


def bare_sdk(_variant: str, _mode: str) -> Work:
    """The work in a span each, with as many attributes as ours have, as a user would write it."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    tracer = provider.get_tracer("benchmarks")

    def attributes(number: int) -> dict[str, Any]:
        return {
            "workflow.id": "6e7c9f4a-0d0b-4a53-8a1c-2f5d7f2f9b11", "workflow.mode": "sequential",
            "task.id": number, "task.name": "no_op", "task.group": "default",
            "task.index": number, "task.status": "Completed", "task.attempts": 1,
            "task.retries": 0, "task.seconds": 0.0001, "code.function.name": "no_op",
            "task.is_restored": False,
        }  # fmt: skip

    def run(tasks: int) -> None:
        with tracer.start_as_current_span("workflow"):
            for number in range(tasks):
                with tracer.start_as_current_span("task", attributes=attributes(number)):
                    no_op()

    return run, provider.force_flush


def engine(variant: str, mode: str) -> Work:
    """The work as steps of a workflow."""
    from dotflow import Config, DotFlow, action

    step = action(no_op)
    slots: dict[str, Any] = {}
    if variant == "nolog":
        from dotflow.providers import LogDefault

        slots["log"] = LogDefault(level="ERROR")
    elif variant != "plain":
        from dotflow.otel import ServerOtel

        slots["server"] = ServerOtel()
    config = Config(**slots)

    def run(tasks: int) -> None:
        workflow = DotFlow(config=config)
        for _ in range(tasks):
            workflow.task.add(step=step)
        workflow.start(mode=mode)
        done = workflow.result_task()
        assert all(task.status == "Completed" for task in done)

    return run, lambda: _flush(config.server)


def _flush(server: Any) -> None:
    if hasattr(server, "flush"):
        assert server.flush(FLUSH).complete, "not all was delivered"


def memory() -> float:
    """The resident memory of this process in MB; its peak where the system says no more."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def cpu() -> float:
    """The seconds of processor that this process and its children took."""
    used = [resource.getrusage(one) for one in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


if __name__ == "__main__":
    main()
