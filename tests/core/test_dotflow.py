"""DotFlow: ids, names, numbering, results, schedule."""

from __future__ import annotations

import socket
from uuid import UUID

import pytest
from core_doubles import (
    RecordingScheduler,
    RecordingServer,
    echo,
    fail,
    increment,
    recording_config,
)

from dotflow import Config, Context, DotFlow
from dotflow.abc.server import Server
from dotflow.core.task import TaskBuilder
from dotflow.core.workflow import Manager

ID = UUID("2d0ad52f-68ba-4c4e-ab07-c7068ca21314")


def test_without_an_id(record, recorded):
    """A workflow without an id gets a fresh UUID4, is created, and its tasks begin with 1."""
    flow = DotFlow(config=recorded)
    flow.task.add(echo)
    assert isinstance(flow.workflow_id, UUID)
    assert flow.workflow_id.version == 4
    assert isinstance(flow.task, TaskBuilder)
    assert record.starting("server") == [
        f"server.create_workflow {flow.workflow_id}",
        "server.create_task 1 Not started",
    ]


@pytest.mark.parametrize("given", [ID, str(ID), "orders-2026-11"])
def test_an_external_id(record, given):
    """An id from outside stays as given, is not created, and the server gives the number."""
    config = recording_config(record, server=RecordingServer(record, next_task_id=5))
    flow = DotFlow(config=config, workflow_id=given)
    flow.task.add([echo, echo])
    assert flow.workflow_id is given
    assert [task.task_id for task in flow.task.queue] == [5, 6]
    assert record.starting("server") == [
        f"server.get_next_task_id {given}",
        "server.create_task 5 Not started",
        "server.create_task 6 Not started",
    ]
    assert config.server.descriptions[0][1].managed


def test_the_environments_id(record, recorded, monkeypatch):
    """WORKFLOW_ID is an external id; an argument wins over it."""
    monkeypatch.setenv("WORKFLOW_ID", "from-env")
    assert DotFlow(config=recorded).workflow_id == "from-env"
    assert DotFlow(config=recorded, workflow_id="given").workflow_id == "given"
    assert record.starting("server") == [
        "server.get_next_task_id from-env",
        "server.get_next_task_id given",
    ]


@pytest.mark.parametrize("where", ["argument", "environment"])
def test_an_empty_id_means_absent(record, recorded, monkeypatch, where):
    """An empty id is none: the workflow is minted and created."""
    monkeypatch.setenv("WORKFLOW_ID", "")
    flow = DotFlow(config=recorded, workflow_id="" if where == "argument" else None)
    assert isinstance(flow.workflow_id, UUID)
    assert record.starting("server") == [f"server.create_workflow {flow.workflow_id}"]


@pytest.mark.parametrize("given", [" ", "\t\n", "x" * 256])
@pytest.mark.parametrize("where", ["argument", "environment"])
def test_ids_that_are_refused(record, recorded, monkeypatch, given, where):
    """A blank id, and one over 255 characters, is a ValueError before anybody is told."""
    if where == "environment":
        monkeypatch.setenv("WORKFLOW_ID", given)
    with pytest.raises(ValueError, match="1 to 255"):
        DotFlow(config=recorded, workflow_id=given if where == "argument" else None)
    assert record.calls == []


@pytest.mark.parametrize("answer", [None, "7", -1, RuntimeError("down")])
def test_a_server_that_does_not_know_the_number(record, caplog, answer):
    """Without an answer the tasks are numbered where no earlier task can be, with a warning."""

    class Server(RecordingServer):
        def get_next_task_id(self, workflow):
            if isinstance(answer, Exception):
                raise answer
            return answer

    config = recording_config(record, server=Server(record))
    numbers = []
    for _ in range(2):
        flow = DotFlow(config=config, workflow_id="w")
        flow.task.add([echo, echo])
        numbers += [task.task_id for task in flow.task.queue]
    assert numbers[0] > 10**15
    assert numbers[1] == numbers[0] + 1
    assert numbers[2] > numbers[1]
    assert max(numbers) < 2**53
    assert "tasks are numbered from" in caplog.text


def test_a_server_as_upstream_wrote_it(record):
    """A Server with the four abstract methods only begins a managed run with 1."""

    class Old(Server):
        def create_workflow(self, workflow):
            raise AssertionError("not for an external id")

        def update_workflow(self, workflow, status=""):
            record("update_workflow", status)

        def create_task(self, task):
            record("create_task", task.task_id)

        def update_task(self, task):
            record("update_task", task.status)

    flow = DotFlow(config=Config(server=Old()), workflow_id="w")
    flow.task.add(echo, initial_context=1)
    flow.start()
    assert record.calls == [
        "create_task 1", "update_workflow In progress", "update_task In progress",
        "update_task Completed", "update_workflow Completed",
    ]  # fmt: skip
    assert flow.config.guard.failures == {}


@pytest.mark.parametrize("gethostname", [lambda: "myhost", lambda: "", None])
def test_the_name(quiet, monkeypatch, gethostname):
    """The name is what was given, else the host's, else "local"; result() shows it."""

    def refuse():
        raise OSError

    monkeypatch.setattr(socket, "gethostname", gethostname or refuse)
    expected = "local" if gethostname is None else gethostname() or "local"
    flow = DotFlow(config=quiet)
    assert flow.name == flow.result()["name"] == expected
    assert DotFlow(config=quiet, name="etl").result()["workflow_name"] == "etl"


def test_the_host_name_is_not_told_as_a_name(recorded):
    """Where no name was given the server is told none."""
    DotFlow(config=recorded)
    assert recorded.server.descriptions[0][1].name is None


def test_results(flow):
    """Results of tasks: the queue, contexts and values; empty where a task has not run."""
    flow.task.add([echo, fail, increment], initial_context=1)
    assert flow.result_task() is flow.task.queue
    assert flow.result_storage() == [None] * 3
    flow.start()
    assert flow.result_storage() == [1, None, None]
    contexts = flow.result_context()
    assert all(isinstance(context, Context) for context in contexts)
    assert contexts[0].task_id == 1
    assert [task["status"] for task in flow.result()["tasks"]] == [
        "Completed", "Failed", "Not started",
    ]  # fmt: skip


def test_start_takes_keywords_only(flow):
    """start() returns its Manager and takes keyword arguments only."""
    manager = flow.start()
    assert isinstance(manager, Manager)
    assert (manager.workflow_id, manager.config) == (flow.workflow_id, flow.config)
    with pytest.raises(TypeError):
        flow.start("sequential")


def test_schedule_runs_again_and_again(record):
    """schedule() hands start() to the scheduler; its arguments reach every run."""
    scheduler = RecordingScheduler()
    flow = DotFlow(config=recording_config(record, scheduler=scheduler))
    flow.task.add([fail, echo], initial_context=1)
    outcomes = []

    def note(tasks):
        outcomes.append(tasks)

    flow.schedule(keep_going=True, on_failure=note)
    assert len(scheduler.runs) == 2
    assert scheduler.runs[0] is not scheduler.runs[1]
    assert len(outcomes) == 2
    assert len(flow.task.queue[0].errors) == 1
    assert flow.result_storage() == [None, 1]


def test_the_default_scheduler_runs_nothing(flow):
    """Without a scheduler schedule() does nothing."""
    flow.task.add(echo, initial_context=1)
    assert flow.schedule(mode="sequential") is None
    assert flow.result_storage() == [None]


def test_default_config():
    """A workflow without a Config makes one."""
    assert isinstance(DotFlow().config, Config)
