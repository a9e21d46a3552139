"""Processes that run workflows until they are killed, and the truth that they wrote down.

The truth is the program's own: what it has seen happen, in its steps, its callbacks and its Notify.
It knows nothing of how the reports are made, or of what they are written in.

Run as a script it forks, from one process that has imported everything, as many children as it is
told, and kills each at a moment of its own. It says how many lines it saw each of them write.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import sys
import time
from functools import partial
from pathlib import Path

from dotflow import Config, DotFlow, action
from dotflow.abc.notify import Notify
from dotflow.providers import ServerAPI, ServerDefault
from support import mutants
from support.processes import Doomed

TOKEN = "s3cr3t-t0ken"
MOST_LINES = 32  # of the diary, when the end comes
KINDS = ("default", "managed", "otel", "otel managed")

_random = random.Random()


class Diary(Notify):
    """Writes down what this program is about to do, and what it has done.

    A line that is not `is_done` stands before what it tells of, and one that is stands behind it:
    by then it was reported, for dotflow promises that before it goes on.

    Args:
        path: The file.
        say: Called for each line that is written.
    """

    def __init__(self, path, say):
        self._file = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
        self._say = say
        self.task = self.workflow = None

    def write(self, is_done, status, workflow, task=None, result=None):
        line = {"is_done": is_done, "workflow": str(workflow), "task": task, "status": str(status)}
        os.write(self._file, json.dumps({**line, "result": result}).encode() + b"\n")
        self._say()

    def hook_status_task(self, task):
        """A task is about to have another status; the first one of a run shows that it began."""
        if task.status == "Not started":  # told of as it is constructed, which is no news
            return
        if self.workflow != task.workflow_id:
            self.workflow = task.workflow_id
            self.write(True, "In progress", task.workflow_id)
        self.task = task
        self._of_task(False, task)

    def is_in_step(self):
        """The step runs: that it would was reported before."""
        self._of_task(True, self.task)

    def task_is_over(self, task, is_last):
        """The callback of a task runs: its end was reported before; the run's may come next."""
        self._of_task(True, task)
        if is_last or task.status == "Failed":
            self.write(False, task.status, task.workflow_id)

    def run_is_over(self, tasks):
        """The callback of the workflow runs: its end was reported before."""
        is_failed = any(task.status == "Failed" for task in tasks)
        self.write(True, "Failed" if is_failed else "Completed", tasks[0].workflow_id)

    def _of_task(self, is_done, task):
        self.write(
            is_done, task.status, task.workflow_id, task.task_id, task.current_context.storage
        )


diary: Diary


def rest():
    """Take as long as a step may, which is often no time at all."""
    diary.is_in_step()
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


STEPS = (extract, flaky, load)


def server_of(kind, url):
    match kind:
        case "default":
            return ServerDefault(url, TOKEN)
        case "managed":
            return ServerAPI(url, TOKEN)
        case "otel":
            from dotflow.otel import ServerOtel

            return ServerOtel(url, TOKEN, dialect="default")
    from dotflow.otel import ServerOtel

    return ServerOtel(url, TOKEN, dialect="managed")


def live(url, folder, index, kind, say):
    """Run workflow after workflow, until somebody puts an end to it."""
    global diary  # noqa: PLW0603 - the steps of a program know where they are
    _random.seed()
    diary = Diary(f"{folder}/{index:05d} {kind}", say)
    config = Config(server=server_of(kind, url), notify=diary)
    for number in itertools.count():
        run(config, f"managed-{index}-{number}" if "managed" in kind else None)


def run(config, managed):
    """Run one workflow."""
    workflow = DotFlow(config=config, workflow_id=managed)
    wid = workflow.workflow_id
    if managed is None:
        diary.write(True, "New", wid)
    for step in STEPS:
        workflow.task.add(step, callback=partial(diary.task_is_over, is_last=step is load))
        diary.write(True, "Not started", wid, workflow.task.queue[-1].task_id)
    diary.write(False, "In progress", wid)
    workflow.start(on_success=diary.run_is_over, on_failure=diary.run_is_over)


def kill_many(url, folder, first, count, kinds):
    """Fork children, and kill each after as much work as chance wants, two at a time.

    Returns:
        How many lines each was seen to write, by its number.
    """
    alive, seen = [], {}

    def end_one():
        index, child = alive.pop(0)
        lines = random.randint(0, MOST_LINES)
        seen[index] = len(child.dies(lines, random.uniform(0, 0.004)))

    for index in range(first, first + count):
        kind = kinds[index % len(kinds)]
        alive.append((index, Doomed(lambda say, i=index, k=kind: live(url, folder, i, k, say))))
        if len(alive) > 1:
            end_one()
    while alive:
        end_one()
    return seen


def diaries(folder):
    """What each child has written down: its number, the kind of its server, and its lines."""
    for path in sorted(Path(folder).iterdir()):
        lines = path.read_bytes().split(b"\n")[:-1]  # the last one may be cut
        index, kind = path.name.split(" ", 1)
        yield int(index), kind, [json.loads(line) for line in lines]


if __name__ == "__main__":
    mutants.switch_on()
    found = kill_many(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5:])
    sys.stdout.write(json.dumps(found))
