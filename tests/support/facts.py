"""Lines of a run log as a Server writes them, and the unit that they are folded into."""

from __future__ import annotations

import json
from collections import Counter
from types import SimpleNamespace

from dotflow.abc import facts
from dotflow.core.task import TaskError
from dotflow.delivery.fold.bodies import Source
from dotflow.delivery.order.unit import Unit
from dotflow.runlog.lines import RunLines
from dotflow.runlog.reader import parse
from dotflow.runlog.texts import Texts

KEY = "reader"
TEXTS = Texts()


class Story:
    """Says what happens in one run, and folds it, as an outbox would.

    Args:
        policy: Which calls its Server wants.
        workflow: The workflow's id.
        run: The run's number; 0 for what is before the first.
    """

    def __init__(self, policy="otel", workflow="w", run=1):
        self.lines = RunLines(workflow, run, {KEY: policy})
        self.source = Source("log", run, workflow, policy)
        self.unit = Unit(self.source, Counter())
        self.told = []
        self._n = 0

    def n(self):
        self._n += 1
        return self._n

    def tell(self, line):
        fact = parse(line)
        assert fact is not None, line
        self.told.append(fact)
        self.unit.take(fact, 1)
        return fact

    def created(self, name=None, managed=False):
        return self.tell(
            self.lines.workflow_created(facts.WorkflowCreated(self.n(), name, managed))
        )

    def added(self, task=7, initial=None):
        fact = facts.TaskAdded(self.n(), task)
        return self.tell(self.lines.task_added(fact, "extract", "g", TEXTS.of("initial", initial)))

    def began(self, name=None, managed=False, plan=(), resumed=False, **extra):
        fact = facts.RunBegan(
            self.n(), 1_000_000_000, name, managed, "sequential", resumed, tuple(plan), None
        )
        extra = {"title": name, **extra}
        return self.tell(self.lines.run_began(fact, f",{json.dumps(extra)[1:-1]}"))

    def task_began(self, task=7, initial=None, previous=None, at_ns=2_000_000_000):
        fact = facts.TaskBegan(self.n(), task, at_ns)
        return self.tell(
            self.lines.task_began(
                fact, "extract", "g", TEXTS.of("initial", initial), TEXTS.of("previous", previous)
            )
        )

    def retried(self, task=7, count=1, error=None):
        error = TaskError(error or OSError("no answer"), count)
        fact = facts.Retried(self.n(), task, 2_500_000_000, count, error)
        return self.tell(self.lines.retried(fact, TEXTS.of_error(error)))

    def task_ended(self, task=7, status="Completed", current=None, error=None, retries=0):
        found = None if error is None else TaskError(error)
        fact = facts.TaskEnded(self.n(), task, 3_000_000_000, 1.0, status, retries, found)
        return self.tell(
            self.lines.task_ended(fact, TEXTS.of("current", current), TEXTS.of_error(found))
        )

    def ended(self, status="Completed"):
        fact = facts.RunEnded(self.n(), 1, 4_000_000_000, 3.0, status)
        return self.tell(self.lines.run_ended(fact))

    def all_messages(self):
        """What a bulk would say of all this."""
        return [message for _, message in self.unit.in_bulk(10_000)]

    def last(self):
        """The last of these messages, and its body."""
        message = self.all_messages()[-1]
        return SimpleNamespace(message=message, body=json.loads(message.body))
