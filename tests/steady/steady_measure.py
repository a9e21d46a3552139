"""Measures what one task costs on the workflow's thread, in calls and writes; writes limits.json.

    .venv/bin/python tests/steady/steady_measure.py           print today's figures beside the table
    .venv/bin/python tests/steady/steady_measure.py --write   write them down as the new table

The figure for one task is the difference between a run of 60 tasks and a run of 10, by 50.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
if str(TESTS) not in sys.path:  # pytest has put it there
    sys.path.insert(0, str(TESTS))

from steady_table import Cost, read_table, write_table  # noqa: E402
from support.fault_server import TOKEN, FaultServer  # noqa: E402
from support.otlp import OtlpReceiver  # noqa: E402

CASES = ("plain", "nolog", "otlp", "api", "both")
PROGRAM = Path(__file__).with_name("steady_program.py")
WARM_UP, SHORT, LONG = 10, 10, 60
TIMES = 3
"""How often a case runs for the table. The median of each function's calls is taken."""
RARE = 0.1
"""What is called less often than this a task is chance: a relay that was woken once more."""
OURS = ("DOTFLOW_", "SERVER_", "WORKFLOW_ID", "OTEL_", "TRACEPARENT", "TRACESTATE", "BAGGAGE",
        "PYTHON", "COVERAGE_", "COV_")  # fmt: skip


def measure(case, times=TIMES, program=PROGRAM):
    """The cost of one task: the median of several processes' counts."""
    found = [_once(case, program) for _ in range(times)]
    return Cost(_median([one.calls for one in found]), _median([one.writes for one in found]))


def _median(counts):
    names = sorted({name for one in counts for name in one})
    medians = {name: statistics.median(one.get(name, 0) for one in counts) for name in names}
    return {name: count for name, count in medians.items() if count >= RARE}


def _once(case, program):
    with _receivers(case) as (environment, arrived):
        done = subprocess.run(
            [sys.executable, program, case, str(SHORT), str(LONG)],
            env=environment, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
        found = json.loads(done.stdout)
        assert found["complete"], f"{case}: not all was delivered\n{done.stderr[-2000:]}"
        _check_arrived(case, *arrived())
    short, long = found["short"], found["long"]
    return Cost(_marginal(short, long, "calls"), _marginal(short, long, "writes"))


def _marginal(short, long, what):
    names = set(short[what]) | set(long[what])
    per_task = {
        name: round((long[what].get(name, 0) - short[what].get(name, 0)) / (LONG - SHORT), 2)
        for name in names
    }
    return {name: count for name, count in per_task.items() if count}


@contextmanager
def _receivers(case):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    api = FaultServer()
    try:
        with OtlpReceiver() as otlp, tempfile.TemporaryDirectory() as folder:
            environment = {**kept, "DOTFLOW_STATE_DIR": folder, "PYTHONHASHSEED": "0"}
            if case in ("otlp", "both"):
                environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = otlp.http_url
            if case in ("api", "both"):
                environment |= {"DOTFLOW_SERVER_URL": api.url, "DOTFLOW_USER_TOKEN": TOKEN}
            yield environment, lambda: (len(otlp.spans), len(api.tasks))
    finally:
        api.close()


def _check_arrived(case, spans, tasks):
    """A case that reports nothing would look cheap."""
    expected = WARM_UP + SHORT + LONG
    assert spans == (expected + 3 if case in ("otlp", "both") else 0), f"{case}: {spans} spans"
    assert tasks == (expected if case in ("api", "both") else 0), f"{case}: {tasks} tasks"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write the table anew")
    parser.add_argument("--cases", default=",".join(CASES), help="which (%(default)s)")
    arguments = parser.parse_args()
    found = {case: measure(case) for case in arguments.cases.split(",")}
    before = read_table()
    for case, cost in found.items():
        old = before.cases.get(case)
        recorded = f"(table: {old.cost.line})" if old else "(not in the table)"
        print(f"{case:6}", cost.line, recorded)  # noqa: T201 - what the command is for
    if arguments.write:
        write_table(found)


if __name__ == "__main__":
    main()
