"""Steps that executors of other processes run: a worker imports this module."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from dotflow import action


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


@action(retry=3, retry_delay=0.01)
def second_time(initial_context):
    path = Path(initial_context.storage)
    if not path.exists():
        path.touch()
        raise Odd(1)
    return "at last"


@action(retry=2, retry_delay=0.01)
def never():
    raise Odd(2)


@action(timeout=0.1)
def too_long():
    time.sleep(0.3)


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
def dies():
    os.kill(os.getpid(), signal.SIGKILL)


def note(task):
    """A callback that leaves a note beside its task's."""
    path = task.initial_context.storage
    if isinstance(path, str) and path.startswith("/"):
        Path(f"{path}.called").write_text(task.status)


def raises(task):
    """A callback that raises."""
    raise Odd(task.task_id)
