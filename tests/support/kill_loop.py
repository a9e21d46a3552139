"""Processes that run workflows until they are killed, and the truth that they wrote down.

Run as a script it forks, from one process that has imported everything, as many children as it is
told, and kills each at a moment of its own.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from dotflow import Config, DotFlow, action
from dotflow.otel import ServerOtel
from dotflow.providers import ServerAPI, ServerDefault

TOKEN = "s3cr3t-t0ken"
MOST_LINES = 24  # of the journal, when the end comes
KINDS = ("default", "managed", "otel", "otel managed")
REPORTS = ("create_workflow", "update_workflow", "create_task", "update_task")

_random = random.Random()


def rest():
    """Take as long as a step may, which is often no time at all."""
    time.sleep(max(0.0, _random.uniform(-0.01, 0.01)))


@action
def extract():
    rest()
    return {"rows": list(range(_random.randint(1, 50)))}


@action(retry=3, retry_delay=0)
def flaky(previous_context):
    rest()
    if _random.random() < 0.4:
        raise OSError("no answer")
    return len(previous_context.storage["rows"])


@action
def load(previous_context):
    rest()
    if _random.random() < 0.2:
        raise ValueError("no room")
    return {"loaded": previous_context.storage, "by": os.getpid()}


def server_of(kind, url):
    match kind:
        case "default":
            return ServerDefault(url, TOKEN)
        case "managed":
            return ServerAPI(url, TOKEN)
        case "otel":
            return ServerOtel(url, TOKEN, dialect="default")
    return ServerOtel(url, TOKEN, dialect="managed")


def journaled(server, file, signs):
    """Have every report be written down before it is made, and when it is; each line is a sign."""

    def wrap(report, method):
        def wrapped(*args, **kwargs):
            of, *status = (*args, *kwargs.values())
            said = {"report": report, "workflow": str(of), "status": status[0] if status else None}
            if report.endswith("task"):
                said = {
                    "report": report, "workflow": str(of.workflow_id), "task": of.task_id,
                    "status": str(of.status), "result": of.current_context.storage,
                }  # fmt: skip
            os.write(file, json.dumps({"is_made": False, **said}).encode() + b"\n")
            method(*args, **kwargs)
            os.write(file, json.dumps({"is_made": True, **said}).encode() + b"\n")
            os.write(signs, b"..")

        return wrapped

    for report in REPORTS:
        setattr(server, report, wrap(report, getattr(server, report)))
    return server


def live(url, folder, index, kinds, signs):
    """Run workflow after workflow, until somebody puts an end to it."""
    _random.seed()
    kind = kinds[index % len(kinds)]
    file = os.open(f"{folder}/{index:05d} {kind}", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    server = journaled(server_of(kind, url), file, signs)
    for number in itertools.count():
        managed = f"managed-{index}-{number}" if "managed" in kind else None
        workflow = DotFlow(config=Config(server=server), workflow_id=managed)
        for step in (extract, flaky, load):
            workflow.task.add(step)
        workflow.start()


def kill_many(url, folder, first, count, kinds):
    """Fork children, and kill each after as much work as chance wants, two at a time."""
    alive = []
    for index in range(first, first + count):
        signs, write_end = os.pipe()
        pid = os.fork()
        if not pid:
            try:
                live(url, folder, index, kinds, write_end)
            finally:
                os._exit(1)
        os.close(write_end)
        alive.append((pid, signs))
        if len(alive) > 1:
            kill(*alive.pop(0))
    for one in alive:
        kill(*one)


def kill(pid, signs):
    """Wait for some signs of work, and a little for a moment between two."""
    for _ in range(random.randint(0, MOST_LINES)):
        assert os.read(signs, 1), "a child ended by itself"
    time.sleep(random.uniform(0, 0.004))
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    os.close(signs)
    assert os.WIFSIGNALED(status), f"a child ended by itself: {status}"


def journals(folder):
    """What each child has written down: the kind of its server, and its lines."""
    for path in sorted(Path(folder).iterdir()):
        lines = path.read_bytes().split(b"\n")[:-1]  # the last one may be cut
        yield path.name.split(" ", 1)[1], [json.loads(line) for line in lines]


if __name__ == "__main__":
    kill_many(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5:])
