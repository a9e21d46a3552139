"""Facts: what the engine tells a Server at each moment of a run."""

from dotflow import Config, DotFlow, action
from dotflow.abc.facts import RunBegan, RunEnded, TaskAdded, TaskBegan, TaskEnded, WorkflowCreated
from dotflow.providers.server_none import ServerNone


class Listener(ServerNone):
    """Keeps every fact with its subject."""

    def __init__(self):
        self.heard = []

    def happened(self, fact, subject):
        self.heard.append((fact, subject))


@action
def echo():
    return 1


def test_a_run_is_a_sequence_of_facts():
    """A Server that overrides `happened` hears of each moment once, in order, numbered upwards."""
    server = Listener()
    flow = DotFlow(config=Config(server=server), name="nightly")
    flow.task.add(echo)
    flow.start()
    facts = [fact for fact, _ in server.heard]
    assert [type(fact) for fact in facts] == [
        WorkflowCreated, TaskAdded, RunBegan, TaskBegan, TaskEnded, RunEnded,
    ]  # fmt: skip
    numbers = [fact.n for fact in facts]
    assert len(set(numbers)) == len(numbers)
    begun, ended = facts[2], facts[-1]
    assert begun.plan[0].name == "echo"
    assert (ended.run, ended.status) == (begun.n, "Completed")
    assert facts[4].status == "Completed"


def test_the_subject_of_a_tasks_fact_is_the_task():
    """A task's fact comes with its Task, a workflow's with the workflow's id."""
    server = Listener()
    flow = DotFlow(config=Config(server=server))
    flow.task.add(echo)
    flow.start()
    [task] = flow.task.queue
    for fact, subject in server.heard:
        expected = task if hasattr(fact, "task_id") else flow.workflow_id
        assert subject is expected
    assert task.run == next(fact.n for fact, _ in server.heard if isinstance(fact, RunBegan))
