"""Counts what a run does on the workflow's own thread: python steady_program.py CASE SHORT LONG.

Runs one workflow to warm up, one of SHORT and one of LONG no-op tasks. For the latter two it prints
how often each Python function, and each C function that writes, was called between `start()` and
its end. A profile function sees one thread only: what relays and exporters do does not count.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from collections import Counter
from pathlib import Path

from dotflow import Config, DotFlow, action
from dotflow.runlog import segment

WRITERS = {
    "os": ("write", "writev", "pwrite", "pwritev", "fsync", "sendfile"),
    "sqlite3": ("execute", "executemany", "executescript"),
    "_io": ("write", "writelines"),
    "socket": ("send", "sendall", "sendto", "sendmsg"),
}
MODULES = {"posix": "os", "nt": "os", "_sqlite3": "sqlite3", "_socket": "socket"}


class Counts:
    """How often each function was called and each write was made, while it is profiling."""

    def __init__(self):
        self.calls = Counter()
        self.writes = Counter()

    def __enter__(self):
        gc.collect()
        gc.disable()  # a collection would call the finalizers of others
        sys.setprofile(self._count)
        return self

    def __exit__(self, *_):
        sys.setprofile(None)
        gc.enable()
        self.calls.pop(type(self).__exit__.__code__, None)

    def _count(self, frame, event, what):
        if event == "call":
            self.calls[frame.f_code] += 1
            if frame.f_code.co_name == "write" and frame.f_code.co_filename == segment.__file__:
                self.writes["os.write"] += 1  # a profile sees no call into a library of C
        elif event == "c_call" and (name := writer(what)):
            self.writes[name] += 1

    def as_json(self):
        calls = Counter()
        for code, count in self.calls.items():
            calls[name_of(code)] += count
        return {"calls": calls, "writes": self.writes}


def writer(function):
    """The name of a C function that writes; "stream.write" if it writes to a standard stream."""
    owner = getattr(function, "__self__", None)
    module = getattr(owner, "__name__", None) or type(owner).__module__
    module = MODULES.get(module, module)
    if function.__name__ not in WRITERS.get(module, ()):
        return None
    is_stream = owner in (sys.stderr, sys.stdout) if module == "_io" else False
    return f"{'stream' if is_stream else module}.{function.__name__}"


def name_of(code):
    """A function's file, without the folder that it is installed in, and its name."""
    folders = sorted((one for one in sys.path if one), key=len, reverse=True)
    file = code.co_filename
    for folder in folders:
        if file.startswith(folder + os.sep):
            file = Path(file).relative_to(folder).as_posix()
            break
    return f"{file}:{getattr(code, 'co_qualname', code.co_name)}"


@action
def step():
    return {"ok": True}


def config_of(case):
    if case == "nolog":
        from dotflow.providers import LogDefault

        return Config(log=LogDefault(level="ERROR"))
    if case == "plain":
        return Config()
    from dotflow.otel import ServerOtel

    return Config(server=ServerOtel())


def run(config, tasks):
    workflow = DotFlow(config=config)
    workflow.task.add([step] * tasks)
    counts = Counts()
    with counts:
        workflow.start()
    assert len(workflow.result_task()) == tasks
    return counts.as_json()


def main():
    case, *counts = sys.argv[1:]
    config = config_of(case)
    run(config, 10)
    found = [run(config, int(tasks)) for tasks in counts]
    complete = config.server.flush(60).complete
    said = {"short": found[0], "long": found[1], "complete": complete}
    print(json.dumps(said))  # noqa: T201 - to the one who measures


if __name__ == "__main__":
    main()
