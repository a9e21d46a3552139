"""A program that forks again and again, while its exporter, gRPC and relay threads are busy.

Run as `conformance_forks.py COUNT`; prints how many runs there were, and what became of the tasks.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections import Counter

from opentelemetry import trace

from dotflow import Config, DotFlow, action
from dotflow.otel import ServerOtel
from dotflow.providers import LogDefault

AT_A_TIME = 50
PAUSE = 0.005  # seconds between two runs of a busy thread

logging.basicConfig()
logging.getLogger("dotflow").setLevel(logging.DEBUG)  # for one who reads what went wrong

tracer = trace.get_tracer("the user's")


@action
def step():
    with tracer.start_as_current_span("inner"):
        pass


def run(mode, count):
    flow = DotFlow(config=config, name=mode)
    flow.task.add([step] * count)
    flow.start(mode=mode, keep_going=True)
    with lock:
        runs[mode] += 1
        statuses.update(task.status for task in flow.task.queue)
    for error in (error for task in flow.task.queue for error in task.errors):
        sys.stderr.write(f"{error.exception}: {error.message}\n{error.traceback}\n")


def keep_busy():
    """Have spans and reports under way all the time."""
    while not over.wait(PAUSE):
        run("sequential", 1)


if __name__ == "__main__":
    config = Config(server=ServerOtel(), log=LogDefault(level="CRITICAL"))
    runs, statuses, lock = Counter(), Counter(), threading.Lock()
    over = threading.Event()
    busy = [threading.Thread(target=keep_busy) for _ in range(2)]
    run("sequential", 1)  # now every thread is there
    for thread in busy:
        thread.start()
    left = int(sys.argv[1])
    while left:
        run("parallel", min(left, AT_A_TIME))
        left -= min(left, AT_A_TIME)
    over.set()
    for thread in busy:
        thread.join()
    sys.stdout.write(json.dumps([runs, statuses]))
