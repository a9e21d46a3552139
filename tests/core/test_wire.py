"""Whose word the parent of child processes takes."""

from __future__ import annotations

import pickle

import pytest
from core_doubles import echo, recording_config

from dotflow.abc.facts import AttemptEnded
from dotflow.core.children.lane import ProcessLane
from dotflow.core.children.wire import Outcome, Ready, Said
from dotflow.core.context import Context
from dotflow.core.task import Task


@pytest.fixture
def lane(recorded):
    """A lane whose child is there and has a job."""
    made = ProcessLane([Task(1, echo, config=recorded)], "w", ignore=True)
    assert made.advance()
    assert made.connection.poll(20)
    assert made.handle()
    yield made
    made.abort(KeyboardInterrupt())


def hear(lane, said):
    """Have the lane hear something, as if its child had said it."""
    return lane._is_own(pickle.loads(pickle.dumps(said)))


@pytest.mark.parametrize("what", [Outcome(Context("x"), None, 1), AttemptEnded(0, 1, 1, 1, None)])
def test_the_word_of_another_is_thrown_away(lane, what):
    """Only the lane's process is heard, and only of the job that it has."""
    process = lane._process.pid
    assert hear(lane, Said(process, 0, what))
    assert not hear(lane, Said(process + 1, 0, what))
    assert not hear(lane, Said(process, 1, what))
    assert not hear(lane, Said(process, None, what))
    assert hear(lane, Said(process, None, Ready()))


def test_facts_get_their_number_from_the_parent(record):
    """The facts of a child are told with numbers of the parent's, in the order they happened."""
    told = []

    class Server(type(recording_config(record).server)):
        def happened(self, fact, subject):
            told.append(fact)

    from dotflow import DotFlow, action

    @action(retry=2, retry_delay=0)
    def fails():
        raise ValueError("x")

    flow = DotFlow(config=recording_config(record, server=Server(record)))
    flow.task.add(fails)
    flow.start(mode="parallel")
    kinds = [type(fact).__name__ for fact in told]
    assert kinds == [
        "WorkflowCreated", "TaskAdded", "RunBegan", "TaskBegan", "AttemptBegan", "AttemptEnded",
        "Retried", "AttemptBegan", "AttemptEnded", "TaskEnded", "RunEnded",
    ]  # fmt: skip
    numbers = [fact.n for fact in told]
    assert numbers == sorted(set(numbers))
    assert numbers[0] > 0
    times = [fact.at_ns for fact in told if hasattr(fact, "at_ns")]
    assert times == sorted(times)
