"""Steps that run on a cluster: its workers import this module."""

from __future__ import annotations

import os
import time
from pathlib import Path

from opentelemetry import trace

from dotflow import action


def write(path, *words):
    """Append a line to a file of truth, whole, whatever happens next."""
    end = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(end, (" ".join(map(str, words)) + "\n").encode())
    finally:
        os.close(end)


def read(path):
    """The lines of a file of truth, as words."""
    path = Path(path)
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


@action
def truthful(initial_context):
    truth, number = initial_context.storage
    write(truth, "began", number, os.getpid())
    with trace.get_tracer("the user's").start_as_current_span("inside"):
        time.sleep(0.05)
    write(truth, "ended", number, os.getpid())
    return number


@action
def waits(initial_context):
    """Goes on until a file is there."""
    truth, until = initial_context.storage
    write(truth, "began", os.getpid())
    deadline = time.monotonic() + 60
    while not Path(until).exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    write(truth, "ended", os.getpid())


@action(retry=3, retry_delay=0.01)
def third_time(initial_context):
    write(initial_context.storage, "tried")
    if len(read(initial_context.storage)) < 3:
        raise ValueError("not yet")
    return "at last"


@action(timeout=0.1)
def too_long():
    time.sleep(2)


@action
def large():
    """More than the scheduler hands on."""
    return b"x" * (17 * 1024 * 1024)


@action
def starts_another():
    """Starts a workflow on the cluster on which it runs."""
    from distributed import get_client

    from dotflow import DotFlow

    flow = DotFlow()
    flow.task.add(too_long)
    flow.start(mode="parallel", executor=get_client())
