"""What the tests have a worker of an executor do; another process imports it."""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path

from opentelemetry import baggage, metrics, trace

from dotflow.otel import ServerOtel

LATE = threading.Event()


class Far:
    """A worker on what is another machine, as far as it can see.

    Args:
        folder: Its state folder; it has no variable of ours.
    """

    def __init__(self, folder):
        ours = ("OTEL_", "DOTFLOW_", "SERVER_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
        self._process = subprocess.Popen(
            [sys.executable, "-c", "import workers_steps; workers_steps.serve()"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env={**kept, "DOTFLOW_STATE_DIR": str(folder), "PYTHONPATH": path},
        )  # fmt: skip

    def run(self, *job):
        pickle.dump(job, self._process.stdin)
        self._process.stdin.flush()
        return pickle.load(self._process.stdout)

    def close(self):
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()


def serve():
    with contextlib.suppress(EOFError):
        while True:
            answer = run(*pickle.load(sys.stdin.buffer))
            pickle.dump(answer, sys.stdout.buffer)
            sys.stdout.buffer.flush()


def ids():
    found = trace.get_current_span().get_span_context()
    return format(found.trace_id, "032x"), format(found.span_id, "016x")


def run(carriers, limit, body, *arguments):
    """What the core does with a task: all of it within the first carrier, each try in its own."""
    found = []
    with ServerOtel.attach(carriers[0]):
        for carrier in carriers[1:] or carriers:
            with ServerOtel.attach(carrier):
                found.append(body(*arguments))
        return ServerOtel.gather(limit), found


def look():
    with trace.get_tracer("user").start_as_current_span("outer") as outer:
        outer.set_attribute("api_key", "of the user")
        logging.getLogger("shop").warning("said with password=hunter2")
        with trace.get_tracer("user").start_as_current_span("inner"):
            pass
    return ids(), baggage.get_baggage("tenant"), os.getpid()


def raises():
    with trace.get_tracer("user").start_as_current_span("raises"):
        raise ValueError("the token=hunter2 is wrong")


def suppressed():
    with contextlib.suppress(ValueError):
        raises()


def sell():
    metrics.get_meter("shop").create_counter("sold").add(3)


def many(count, length):
    """One span about all others, which ends last."""
    tracer = trace.get_tracer("user")
    with tracer.start_as_current_span("about all"):
        for number in range(count):
            with tracer.start_as_current_span("one of many") as one:
                one.set_attribute("text", os.urandom(length // 2).hex())
                one.set_attribute("number", number)


def begin_what_goes_on():
    span = trace.get_tracer("user").start_span("late")

    def end():
        LATE.wait(60)
        span.end()

    threading.Thread(target=end, name="goes on").start()


def end_what_goes_on():
    LATE.set()
    for thread in threading.enumerate():
        if thread.name == "goes on":
            thread.join(60)
