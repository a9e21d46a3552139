"""A program as a user writes it: steps that open spans, and one workflow for each outcome.

Run as `conformance_program.py FAMILY MODE START_METHOD EXECUTOR OUTCOME...`. What it saw, and when,
it writes to the file that NOTES names, a line of JSON each.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import sqlite3
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path

import requests
import urllib3
from opentelemetry import baggage, context, trace
from opentelemetry.instrumentation.logging import LoggingInstrumentor

from dotflow import Config, DotFlow, action
from dotflow.otel import ServerOtel
from dotflow.providers import LogDefault

INSTRUMENTORS = {
    "requests": "RequestsInstrumentor",
    "sqlite3": "SQLite3Instrumentor",
    "urllib3": "URLLib3Instrumentor",
}
for library, name in INSTRUMENTORS.items():
    with contextlib.suppress(ModuleNotFoundError):  # those that are installed
        module = import_module(f"opentelemetry.instrumentation.{library}")
        getattr(module, name)().instrument()
LoggingInstrumentor().instrument(set_logging_format=True)
logging.getLogger("dotflow").setLevel(logging.DEBUG)  # for one who reads what went wrong

LIMIT = 1.0
NOTES = Path(os.environ["NOTES"])
MARKS = NOTES.parent

tracer = trace.get_tracer("the user's")
goes_on, went_on = threading.Event(), threading.Event()


def note(**facts):
    with NOTES.open("a") as file:
        file.write(json.dumps({**facts, "at": time.time_ns()}) + "\n")


def id_of(span):
    return format(span.get_span_context().span_id, "016x")


def open_spans(outcome, **more):
    """Open and end spans as user code does, and write down which, and when."""
    current, begun = id_of(trace.get_current_span()), time.time_ns()
    with tracer.start_as_current_span("outer", attributes={"outcome": outcome}) as outer:
        with tracer.start_as_current_span("inner", attributes={"outcome": outcome}) as inner:
            pass
        if outcome == "returns":
            more = {**more, **use_instrumented_libraries()}
    note(
        outcome=outcome, current=current, begun=begun, spans=[id_of(outer), id_of(inner)],
        tenant=baggage.get_baggage("tenant"), **more,
    )  # fmt: skip


def use_instrumented_libraries():
    """What requests, urllib3, sqlite3 and logging trace by themselves."""
    requests.get(os.environ["SITE"], timeout=30).raise_for_status()
    urllib3.PoolManager().request("GET", os.environ["SITE"], timeout=30)
    connection = sqlite3.connect(":memory:")
    connection.cursor().execute("SELECT 1")
    connection.close()
    record = logging.getLogRecordFactory()("x", logging.INFO, __file__, 1, "said", (), None)
    return {"logged": getattr(record, "otelTraceID", None)}


def is_first(outcome):
    mark = MARKS / f"tried-{outcome}"
    if mark.exists():
        return False
    mark.touch()
    return True


def end(outcome):
    """End a step as its outcome says; False where it should wait for its timeout."""
    if outcome == "raises" or (outcome == "is_retried" and is_first(outcome)):
        raise ValueError("on purpose")
    if outcome == "sigterm":
        os.kill(os.getpid(), signal.SIGTERM)
    if outcome == "sigkill":
        os.kill(os.getpid(), signal.SIGKILL)
    if outcome == "os_exit":
        os._exit(3)
    if outcome == "parent_killed":
        note(worker=os.getpid())
        os.kill(int((MARKS / "parent").read_text()), signal.SIGKILL)
    return outcome != "times_out"


def plain(outcome):
    open_spans(outcome)
    if not end(outcome):
        threading.Event().wait()
    return 5


def limited(outcome):
    if outcome == "is_retried":
        return in_spite_of_a_first_attempt_that_goes_on()
    return plain(outcome)


def in_spite_of_a_first_attempt_that_goes_on():
    open_spans("is_retried")
    if is_first("is_retried"):
        goes_on.wait()
        open_spans("is_retried", late=True)
        went_on.set()
    else:
        goes_on.set()
        went_on.wait()
    return 5


async def coroutine(outcome):
    await asyncio.sleep(0)
    open_spans(outcome)
    if not end(outcome):
        await asyncio.Event().wait()
    return 5


async def gathering(outcome):
    async def one():
        await asyncio.sleep(0)
        open_spans(outcome)

    await asyncio.gather(one(), one(), asyncio.to_thread(open_spans, outcome))
    return await coroutine(outcome)


def step(family, body, outcome):
    """A step that a process which imports this program finds by its name."""
    if asyncio.iscoroutinefunction(body):

        async def run():
            return await body(outcome)
    else:

        def run():
            return body(outcome)

    run.__name__ = run.__qualname__ = outcome if family == "plain" else f"{family}_{outcome}"
    has_limit = outcome == "times_out" or (family == "limited" and outcome == "is_retried")
    long = 60 if family == "limited" else 0
    return run.__name__, action(
        retry=2 if outcome == "is_retried" else 1,
        retry_delay=0,
        timeout=LIMIT if has_limit else long,
    )(run)


OUTCOMES = ("returns", "raises", "times_out", "is_retried", "sigterm", "sigkill", "os_exit",
            "parent_killed")  # fmt: skip
STEPS = {}
for family, body in (
    ("plain", plain), ("limited", limited), ("coroutine", coroutine), ("gathering", gathering),
):  # fmt: skip
    for outcome in OUTCOMES:
        name, one = step(family, body, outcome)
        STEPS[family, outcome] = globals()[name] = one


def be_elsewhere(*variables):
    for name in [name for name in os.environ if name.startswith(variables)]:
        del os.environ[name]
    os.environ["DOTFLOW_STATE_DIR"] = str(MARKS / "elsewhere")


def executor_of(kind):
    """A new one for each outcome: some break it."""
    if kind == "threads":
        return ThreadPoolExecutor(1)
    if kind == "processes":
        return ProcessPoolExecutor(1, get_context("fork"))
    if kind == "elsewhere":
        return ProcessPoolExecutor(1, get_context("spawn"), be_elsewhere, ("OTEL_", "DOTFLOW_"))
    if kind == "sends":
        return ProcessPoolExecutor(1, get_context("spawn"), be_elsewhere, ("DOTFLOW_",))
    if kind == "dask":
        from distributed import Client

        return Client(os.environ["CLUSTER"])
    return contextlib.nullcontext()


def run(family, mode, start_method, kind, outcome, config):
    flow = DotFlow(config=config, name=outcome)
    flow.task.add(STEPS[family, outcome])
    note(run=outcome, workflow=str(flow.workflow_id))
    with executor_of(kind) as executor:
        manager = flow.start(mode=mode, start_method=start_method or None, executor=executor)
    if mode == "background":
        manager.thread.join()
    [task] = flow.task.queue
    errors = [(error.error_type, error.message) for error in task.errors]
    note(ended=outcome, status=task.status, errors=errors)


def main(family, mode, start_method, kind, *outcomes):
    (MARKS / "parent").write_text(str(os.getpid()))
    config = Config(server=ServerOtel(), log=LogDefault(level="CRITICAL"))
    context.attach(baggage.set_baggage("tenant", "acme"))
    for outcome in outcomes:
        run(family, mode, start_method, kind, outcome, config)


if __name__ == "__main__":
    main(*sys.argv[1:])
