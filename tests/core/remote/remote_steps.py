"""Steps that executors of other processes run: a worker imports this module."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from dotflow import DotFlow, action

LONG = 60  # seconds


class Odd(Exception):
    """One that holds something."""

    def __init__(self, what):
        super().__init__(f"odd: {what}")
        self.what = what


class Thing:
    """A value that JSON cannot say."""

    def __init__(self, value):
        self.value = value

    def __repr__(self):
        return f"Thing({self.value!r})"


@action
def give(initial_context):
    return Thing(initial_context.storage)


@action
def take(previous_context):
    return previous_context.storage.value, {"seen": type(previous_context.storage).__name__}


@action
async def wait_for(initial_context):
    return [initial_context.storage]


@action
def next_time(initial_context):
    path = Path(initial_context.storage)
    if not path.exists():
        path.touch()
        raise Odd(1)
    return "at last"


@action(retry=3, retry_delay=0.01)
def second_time(initial_context):
    return next_time(initial_context)


@action(retry=2, retry_delay=0.01)
def never():
    raise Odd(2)


@action(timeout=0.1)
def too_long():
    time.sleep(2)


@action
def leaves():
    sys.exit(3)


@action
class Several:
    """A class step."""

    @action
    def first(self):
        return 1

    @action
    def second(self, previous_context):
        return previous_context.storage + 1


@action
def copies_itself():
    """Forks, and does not end the copy."""
    if os.fork() == 0:
        sys.exit(0)
    return os.getpid()


@action
def dies(initial_context):
    """Is killed, once there is a file, if one is named."""
    end = time.monotonic() + LONG
    while initial_context.storage and not Path(initial_context.storage).exists():
        assert time.monotonic() < end
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)


def note(task):
    """A callback that leaves a note beside its task's."""
    path = task.initial_context.storage
    if isinstance(path, str) and path.startswith("/"):
        Path(f"{path}.called").write_text(task.status)


def raises(task):
    """A callback that raises."""
    raise Odd(task.task_id)


@action
def runs_another():
    """Runs a workflow of its own."""
    inner = DotFlow()
    inner.task.add(nine)
    manager = inner.start()
    return [manager.status, inner.result_storage()[0]]


@action
def nine():
    return 9


@action
def waits_for_file(initial_context):
    """Ends when there is a file."""
    end = time.monotonic() + LONG
    while not Path(initial_context.storage).exists():
        assert time.monotonic() < end
        time.sleep(0.01)
    return os.getpid()


@action
def says_and_waits(initial_context):
    """Says that it runs, in a file of its own, and goes on until a file is there."""
    folder, number = initial_context.storage
    with Path(folder, f"ran.{number}").open("a", encoding="utf-8") as file:
        file.write(f"{os.getpid()}\n")
    end = time.monotonic() + LONG
    while not Path(folder, "go").exists() and time.monotonic() < end:
        time.sleep(0.01)
    return number


@action(retry=5, retry_delay=0)
def says_and_fails(initial_context):
    """Says that it runs, goes on until a file is there, and fails."""
    says_and_waits(initial_context)
    raise Odd(5)
