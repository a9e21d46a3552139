"""Lines of the run log as a Server writes them, so that a test can report step by step."""

from __future__ import annotations

import json
import time

from dotflow.abc.facts import (
    PlannedTask,
    RunBegan,
    RunEnded,
    TaskAdded,
    TaskBegan,
    TaskEnded,
    WorkflowCreated,
    next_number,
)
from dotflow.runlog.lines import RunLines
from dotflow.runlog.writer import run_log


class Reports:
    """Reports one run of a workflow to a relay or a channel.

    Args:
        relay: The relay, which reads a log of its own (see the fixture `relays`), or the channel.
        workflow: The workflow's id.
        policy: Which calls are wanted: "default", "managed" or "otel".
    """

    def __init__(self, relay, workflow="w", policy=None):
        self.relay = relay
        self.workflow = workflow
        self._log = getattr(relay, "log", run_log)
        policy = policy or getattr(relay, "policy", None) or relay.destination.dialect.value
        self._to = {relay.key: policy}
        self._run = 0

    def created(self):
        self._say(self._lines().workflow_created(WorkflowCreated(next_number(), "name", False)))
        return self

    def added(self, *tasks, initial=None):
        for task in tasks:
            fact = TaskAdded(next_number(), task)
            self._say(self._lines().task_added(fact, "step", "default", json.dumps(initial)))
        return self

    def began(self, tasks=0, extra=""):
        self._run = next_number()
        plan = tuple(PlannedTask(task, "step", "default") for task in range(1, tasks + 1))
        fact = RunBegan(
            self._run, time.time_ns(), "name", False, "sequential", False, plan, None
        )  # fmt: skip
        self._say(self._lines().run_began(fact, extra))
        return self

    def task_began(self, task):
        fact = TaskBegan(next_number(), task, time.time_ns())
        self._say(self._lines().task_began(fact, "step", "default", "null", "null"))
        return self

    def task_ended(self, task, current=None):
        fact = TaskEnded(next_number(), task, time.time_ns(), 0.1, "Completed", 0, None)
        self._say(self._lines().task_ended(fact, json.dumps(current)))
        return self

    def ended(self):
        fact = RunEnded(next_number(), self._run, time.time_ns(), 1.0, "Completed")
        self._say(self._lines().run_ended(fact))
        return self

    def _lines(self):
        return RunLines(self.workflow, self._run, self._to)

    def _say(self, line):
        self._log.append(line)
        self.relay.poke()


def put_run(relay, workflow="w", tasks=3):
    """Report a whole run, with its tasks added before it begins."""
    reports = Reports(relay, workflow).created().added(*range(1, tasks + 1)).began(tasks)
    for task in range(1, tasks + 1):
        reports.task_began(task).task_ended(task)
    return reports.ended()


def put_workflow(relay, workflow="w"):
    """Report a workflow that was only made: one POST."""
    return Reports(relay, workflow).created()
