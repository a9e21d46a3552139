"""A program as a user writes it, which also writes down what it does: the truth.

Run as `stack_program.py PIPELINE`. Each line of the file that TRUTH names is an object of JSON.
At a gate it waits until the file that the gate is named by is there, in the folder GATES.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from opentelemetry import trace

from dotflow import Config, DotFlow, action
from dotflow.otel import ServerOtel
from dotflow.providers import LogDefault

TRUTH = Path(os.environ["TRUTH"])
GATES = Path(os.environ["GATES"])
NAME = os.environ.get("NAME")  # of the workflow, else that of the pipeline
PATIENCE = 300  # seconds

tracer = trace.get_tracer("shop")
log = logging.getLogger("shop")


class NoStock(Exception):
    """What a step of this program fails with."""


def tell(what, **facts):
    """One line, whole, also where several processes write."""
    line = json.dumps({"what": what, "pid": os.getpid(), **facts})
    with TRUTH.open("a") as file:
        file.write(line + "\n")


def id_of(span):
    return format(span.get_span_context().span_id, "016x")


@contextmanager
def told(step, initial):
    """Write down one try of a step: when, in which span, and what came of it."""
    begun, error = time.time(), None
    write_log("%s begins in %s", step, initial.storage)
    try:
        yield
    except Exception as raised:
        error = [type(raised).__name__, str(raised)]
        raise
    finally:
        tell(
            "try", step=step, group=initial.storage, begun=begun, ended=time.time(), error=error,
            span=id_of(trace.get_current_span()),
        )  # fmt: skip


def write_log(text, *values):
    """A log record of a step's, written down."""
    log.warning(text, *values)
    tell("log", text=text % values, span=id_of(trace.get_current_span()))


@contextmanager
def own_span(name, **attributes):
    """A span of the program's own, written down."""
    parent = id_of(trace.get_current_span())
    with tracer.start_as_current_span(name, attributes=attributes) as span:
        yield
    tell("span", name=name, id=id_of(span), parent=parent, attributes=attributes)


def is_first(step, group):
    mark = TRUTH.with_name(f"tried-{step}-{group}")
    if mark.exists():
        return False
    mark.touch()
    return True


def pass_gate(name):
    """Say that it was reached, and wait until it is opened."""
    tell("gate", name=name)
    deadline = time.monotonic() + PATIENCE
    while not (GATES / name).exists():
        if time.monotonic() > deadline:
            raise TimeoutError(name)
        time.sleep(0.02)


@action(retry=3)
def fetch(initial_context):
    """Fails once, and is saved by a retry."""
    with told("fetch", initial_context):
        if is_first("fetch", initial_context.storage):
            raise ConnectionResetError("the shelf is out of reach")
        with own_span("read shelf", shelf=initial_context.storage):
            time.sleep(0.02)
        return {"shop": initial_context.storage, "items": [1, 2, 3], "word": "Grüße, 世界 🐧"}


@action
def count(initial_context, previous_context):
    """Opens spans within spans, in the process of its group."""
    with told("count", initial_context), own_span("count items", shop=initial_context.storage):
        with own_span("add", parts=3, exact=True, weight=1.5):
            pass
        return sum(previous_context.storage["items"])


@action(retry=2)
def order(initial_context):
    """Fails at each try."""
    with told("order", initial_context):
        raise NoStock(f"nothing left in {initial_context.storage}")


@action
def report(initial_context):
    """Fails at once where it is told to, else writes a report."""
    with told("report", initial_context):
        if initial_context.storage == "south":
            raise NoStock("nothing to report")
        return f"report of {initial_context.storage}"


@action
def gated(initial_context):
    """Waits at the gate that it is named by."""
    with told("gated", initial_context), own_span("wait", gate=initial_context.storage):
        pass_gate(initial_context.storage)
        return initial_context.storage


@action
def inflate(initial_context):
    """Has a context far larger than a span carries, and spans that are large by themselves."""
    with told("inflate", initial_context):
        for number in range(400):
            with own_span("block", number=number, text="x" * 20_000):
                pass
        return "grown"


def large(workflow):
    """More than a megabyte a batch, and more than gRPC takes by default."""
    workflow.task.add(step=inflate, initial_context="big")
    return {"mode": "sequential"}


def errand(workflow):
    """In this process: a retry, and a step that fails."""
    for step in (fetch, count, report):
        workflow.task.add(step=step, initial_context="south")
    return {"mode": "sequential"}


def shop(workflow):
    """Three groups, each in a process of its own; one of them fails, twice."""
    for group in ("north", "south", "west"):
        for step in (fetch, count, order, report) if group == "south" else (fetch, count, report):
            workflow.task.add(step=step, initial_context=group, group_name=group)
    return {"mode": "sequential_group", "keep_going": True}


def gates(workflow):
    """Three tasks, one after another, each of which waits to be let on."""
    for gate in ("first", "second", "third"):
        workflow.task.add(step=gated, initial_context=gate)
    return {"mode": "sequential"}


def group_gates(workflow):
    """The same in child processes: two that run at once, after one that is done."""
    for group in ("north", "south"):
        workflow.task.add(step=fetch, initial_context=group, group_name=group)
        workflow.task.add(step=gated, initial_context=group, group_name=group)
    return {"mode": "sequential_group"}


def main(pipeline):
    server = ServerOtel()
    workflow = DotFlow(
        config=Config(server=server, log=LogDefault(level="ERROR")), name=NAME or pipeline
    )
    begun = time.time()
    tell("run", id=str(workflow.workflow_id), name=NAME or pipeline)
    options = globals()[pipeline](workflow)
    status = []
    workflow.start(
        **options,
        on_success=lambda tasks: status.append("Completed"),
        on_failure=lambda tasks: status.append("Failed"),
    )
    for task in workflow.result_task():
        tell(
            "task", id=task.task_id, name=task.step.name, group=task.group_name,
            status=task.status, duration=task.duration, retry_count=task.retry_count,
            max_attempts=max(1, task.step.retry), result=task.current_context.storage,
            initial=task.initial_context.storage, previous=task.previous_context.storage,
            errors=[[error.attempt, error.exception, error.message] for error in task.errors],
        )  # fmt: skip
    tell("end", status=status[0], mode=options["mode"], begun=begun, ended=time.time())
    if "FLUSH" in os.environ:
        result = server.flush(float(os.environ["FLUSH"]))
        tell("flushed", pending=result.pending, dead=result.dead, complete=result.complete)


if __name__ == "__main__":
    main(sys.argv[1])
