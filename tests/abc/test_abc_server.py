"""The Server contract: four abstract methods, and defaults that do nothing."""

from __future__ import annotations

import pytest

from dotflow import Config, DotFlow, Task, action
from dotflow.abc.api import Api
from dotflow.abc.facts import RunBegan, RunEnded, TaskEnded
from dotflow.abc.server import FlushResult, Server, ServerFacts, WorkflowDescription

ABSTRACT = {"create_workflow", "update_workflow", "create_task", "update_task"}


class Least(Server):
    """What upstream's contract asks for."""

    def create_workflow(self, workflow):
        pass

    def update_workflow(self, workflow, status=""):
        pass

    def create_task(self, task):
        pass

    def update_task(self, task):
        pass


@action
def step():
    return 1


def test_only_four_methods_are_abstract():
    """A provider needs the four methods that upstream has, and no more."""
    assert Server.__abstractmethods__ == ABSTRACT
    with pytest.raises(TypeError):
        Server()


def test_defaults():
    """Every other method has a default: number 1, and nothing done."""
    server, task = Least(), Task(task_id=1, step=step)
    assert server.get_next_task_id("w") == 1
    assert server.describe_workflow("w", WorkflowDescription()) is None
    assert server.start_attempt(task, 1, 0) is None
    assert server.end_attempt(task, 1, None, 0) is None
    assert server.carrier(task) == {}
    with server.activate(task), Least.attach({}):
        pass
    assert server.reserve(task, 3) == ()
    assert Least.gather(1024) == b""
    assert server.gathered(task, b"anything") is None
    assert server.flush(1.0) == server.close(1.0) == FlushResult()


def test_close_flushes():
    """Closing a server flushes it, within the same time."""

    class Flushes(Least):
        def flush(self, timeout=None):
            return FlushResult(delivered=int(timeout))

    assert Flushes().close(3.0).delivered == 3


def test_descriptions():
    """What is told of a run by default: no name, not managed, nothing planned."""
    description = WorkflowDescription()
    assert (description.name, description.managed, description.mode) == (None, False, None)
    assert tuple(description.tasks) == ()
    result = FlushResult()
    assert (result.delivered, result.pending, result.dead, result.complete) == (0, 0, 0, True)


def test_the_former_name_warns_and_works():
    """A class that derives from Api is a Server, and is pointed to the new name."""
    with pytest.warns(DeprecationWarning, match=r"Old .*dotflow\.abc\.server\.Server") as caught:

        class Old(Api):
            create_workflow = update_workflow = create_task = update_task = Least.create_task

    assert caught[0].filename == __file__
    old = Old()
    assert isinstance(old, Server)
    assert Config(server=old).server is old


class Told(ServerFacts):
    """Writes down each fact; `happened` is all it has."""

    def __init__(self):
        self.facts = []

    def happened(self, fact, subject):
        self.facts.append((type(fact), str(getattr(subject, "task_id", subject))))


def test_a_server_of_facts_needs_one_method():
    """A subclass of ServerFacts writes `happened`, and learns of runs and tasks."""
    assert ServerFacts.__abstractmethods__ == {"happened"}
    server = Told()
    workflow = DotFlow(config=Config(server=server), workflow_id="w")
    workflow.task.add(step)
    workflow.start()
    assert [one for one in server.facts if one[0] in (RunBegan, TaskEnded, RunEnded)] == [
        (RunBegan, "w"), (TaskEnded, "1"), (RunEnded, "w"),
    ]  # fmt: skip
    assert not workflow.config.guard.failures
