"""Runs as a Server writes them into a run log, one fact at a time."""

from __future__ import annotations

import json
import time

from dotflow.abc import facts
from dotflow.delivery.message import Delivered
from dotflow.runlog import files
from dotflow.runlog.lines import CLOCK, RunLines
from dotflow.runlog.writer import run_log

NAME = "a destination"


class WrittenRun:
    """Writes the facts of one workflow; each method says one, and returns the object.

    Args:
        workflow: The workflow's id.
        policy: Which calls are wanted: "default", "managed" or "otel".
        log: The log.
        name: The destination's name.
    """

    def __init__(self, workflow="w", policy="default", log=run_log, name=NAME):
        self.workflow = workflow
        self.policy = policy
        self.run = 0
        self._log = log
        self._to = {files.reader_key(name): policy}

    def created(self, managed=False):
        return self._say("workflow_created", facts.WorkflowCreated(_n(), "name", managed))

    def added(self, *tasks, initial=None):
        for task in tasks:
            fact = facts.TaskAdded(_n(), task)
            self._say("task_added", fact, "step", "default", json.dumps(initial))
        return self

    def began(self, *plan, managed=False, again=False):
        tasks = tuple(facts.PlannedTask(one, "step", "default") for one in plan)
        self.run = _n()
        fact = facts.RunBegan(
            self.run, time.time_ns(), "name", managed, "sequential", again, tasks, None
        )
        extra = f',"up":{time.clock_gettime_ns(CLOCK)}'
        if self.policy == "otel":
            extra += f',"again":{json.dumps(again)},"known":{json.dumps(again)},"title":"name"'
        return self._say("run_began", fact, extra)

    def task_began(self, *tasks):
        for task in tasks:
            fact = facts.TaskBegan(_n(), task, time.time_ns())
            self._say("task_began", fact, "step", "default", '{"a":1}', "[2]")
        return self

    def retried(self, task, error="no"):
        fact = facts.Retried(_n(), task, time.time_ns(), 1, None)
        said = {"attempt": 1, "exception": "OSError", "message": error, "traceback": ""}
        return self._say("retried", fact, json.dumps(said))

    def task_ended(self, *tasks, status="Completed", current="null"):
        for task in tasks:
            fact = facts.TaskEnded(_n(), task, time.time_ns(), 0.1, status, 0, None)
            self._say("task_ended", fact, current)
        return self

    def ended(self, status="Completed"):
        return self._say("run_ended", facts.RunEnded(_n(), self.run, time.time_ns(), 1.0, status))

    def _say(self, what, *args):
        lines = RunLines(self.workflow, self.run, self._to)
        self._log.append(getattr(lines, what)(*args))
        return self


def _n():
    return facts.next_number()


def drain(outbox, limit=1):
    """Deliver all that can be, and return it in its order."""
    delivered = []
    while True:
        outbox.read()
        flights = outbox.claim(limit)
        if not flights:
            return delivered
        for flight in flights:
            given = None if flight.key is None else f"srv-{flight.key}"
            outbox.settle([flight], [Delivered(given)])
            delivered.append(flight.message)


def said(messages):
    """The last word of each record: (workflow, task) -> status."""
    return {(one.workflow, one.task): json.loads(one.body).get("status") for one in messages}
