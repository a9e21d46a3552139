"""A script whose steps, callback, values and errors are its own: `__main__` is no module to import.

Its argument says what runs them; it prints what came of the run.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from dotflow import Config, DotFlow, action
from dotflow.providers import LogDefault

FACTOR = 6


class Thing:
    def __init__(self, value):
        self.value = value
        self.path = str(Path("called").absolute())  # a worker may be in another folder


class OwnError(Exception):
    pass


def helper(value):
    return FACTOR * value


@action
def make(initial_context):
    return Thing(helper(initial_context.storage.value))


@action
def read(previous_context):
    return [previous_context.storage.value, isinstance(previous_context.storage, Thing)]


@action(retry=2, retry_delay=0)
def fails():
    raise OwnError("mine")


@action
class Both:
    @action
    def one(self):
        return helper(1)


def note(task):
    thing = task.initial_context.storage
    Path(thing.path).write_text(f"{task.status} {type(thing).__name__}")


def executor_of(kind):
    if kind == "loky":
        from loky import ProcessPoolExecutor as Loky

        return Loky(2)
    if kind == "programs":
        from program_executor import ProgramExecutor

        return ProgramExecutor()
    return ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(kind))


def main():
    log = LogDefault(output="file", path="log.txt")
    with executor_of(sys.argv[1]) as pool:
        flow = DotFlow(config=Config(executor=pool, log=log))
        flow.task.add(make, initial_context=Thing(7), callback=note, group_name="a")
        flow.task.add(read, group_name="a")
        flow.task.add(fails, group_name="b")
        flow.task.add(Both, group_name="c")
        manager = flow.start(mode="sequential_group", keep_going=True)
    made, values, _, both = flow.result_storage()
    errors = [error for task in manager.tasks for error in task.errors]
    said = {
        "statuses": [task.status for task in manager.tasks],
        "made": [type(made) is Thing, made and made.value],
        "values": values,
        "both": both and both[0].storage,
        "errors": [[error.attempt, error.error_type, error.message] for error in errors],
        "causes": [type(error.cause) is OwnError for error in errors],
        "lines": ['main_program.py", line ' in error.traceback for error in errors],
        "elsewhere": all(task.place.process != os.getpid() for task in manager.tasks if task.place),
        "called": Path("called").exists() and Path("called").read_text(),
        "failures": dict(flow.config.guard.failures),
    }
    print(json.dumps(said))  # noqa: T201


if __name__ == "__main__":
    main()
