"""Manager and its modes: order, groups, callbacks, what a failure stops."""

from __future__ import annotations

import os
import threading
from datetime import datetime
from pathlib import Path
from uuid import UUID

import pytest
from core_doubles import RecordingServer, echo, fail, increment, note_pid, process_id

from dotflow import Config, Context, DotFlow, Task, action
from dotflow.core.exception import ExecutionModeNotExist, InvalidOnInputChange
from dotflow.core.workflow import (
    Background,
    Manager,
    Parallel,
    Sequential,
    SequentialGroup,
    grouper,
)
from dotflow.providers.server_none import ServerNone
from dotflow.utils import basic_callback

MODES = ["sequential", "sequential_group", "background", "parallel"]
IN_CHILDREN = ["sequential_group", "parallel"]


def run(flow, mode="sequential", **kwargs):
    manager = flow.start(mode=mode, **kwargs)
    if mode == "background":
        manager.thread.join()
    return manager


def statuses(flow):
    return [task.status for task in flow.task.queue]


@action
def describe(previous_context):
    """The type and value of the previous context, and the workflow it is said to belong to."""
    kind = type(previous_context).__name__
    return (kind, previous_context.storage, str(previous_context.workflow_id))


@pytest.mark.parametrize("mode", ["", "Sequential", "threads", None, [], 5])
def test_an_unknown_mode_is_refused_before_anything(record, recorded, mode):
    """The mode is checked first: nobody is told of a run that does not begin."""
    flow = DotFlow(config=recorded)
    flow.task.add(echo)
    record.clear()
    with pytest.raises(ExecutionModeNotExist, match="sequential_group"):
        flow.start(mode=mode, on_input_change="bogus")
    assert record.calls == []
    assert statuses(flow) == ["Not started"]


@pytest.mark.parametrize("policy", ["", "REUSE", None, []])
def test_an_unknown_policy_is_refused_without_resume_too(record, recorded, policy):
    """on_input_change is checked before anybody is told of the run."""
    flow = DotFlow(config=recorded)
    record.clear()
    with pytest.raises(InvalidOnInputChange):
        flow.start(on_input_change=policy)
    assert record.calls == []


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_runs_every_task(flow, mode):
    """In every mode the tasks run and their results, dates and durations come back."""
    flow.task.add([echo, echo], initial_context={"a": [1]})
    manager = run(flow, mode)
    assert flow.result_storage() == [{"a": [1]}] * 2
    assert manager.tasks == flow.task.queue
    for task in flow.task.queue:
        assert (task.status, task.errors) == ("Completed", [])
        assert task.created_at <= task.started_at <= task.finished_at
        assert task.duration == pytest.approx(
            (task.finished_at - task.started_at).total_seconds(), abs=1e-4
        )
        assert (task.current_context.task_id, task.current_context.workflow_id) == (
            task.task_id,
            flow.workflow_id,
        )


@pytest.mark.parametrize("mode", ["sequential", "sequential_group", "background"])
def test_previous_context_is_the_result_before(flow, mode):
    """The first task's previous_context is empty with the workflow's id, then the result before."""
    flow.task.add([describe, increment])
    flow.task.queue[1].step = describe
    run(flow, mode)
    wid = str(flow.workflow_id)
    first = ("Context", None, wid)
    assert flow.result_storage() == [first, ("Context", first, wid)]
    assert flow.task.queue[1].previous_context.storage == first
    assert flow.task.queue[0].previous_context.workflow_id == flow.workflow_id


def test_previous_context_in_parallel_is_empty(flow):
    """In parallel every previous_context is empty."""
    flow.task.add([echo, describe, describe], initial_context="v")
    run(flow, "parallel")
    empty = ("Context", None, str(flow.workflow_id))
    assert flow.result_storage() == ["v", empty, empty]


@pytest.mark.parametrize("mode", ["sequential", "sequential_group", "background"])
def test_previous_context_after_a_failure_is_empty(flow, mode):
    """Under keep_going the task after a failed one gets an empty previous_context."""
    flow.task.add([echo, fail, describe], initial_context="v")
    run(flow, mode, keep_going=True)
    assert flow.result_storage()[2][:2] == ("Context", None)
    assert statuses(flow) == ["Completed", "Failed", "Completed"]


@pytest.mark.parametrize("mode", ["sequential", "sequential_group", "background"])
def test_a_failure_stops_the_sequence(flow, mode):
    """Without keep_going a failure leaves the rest "Not started", without errors or dates."""
    flow.task.add([echo, fail, echo])
    manager = run(flow, mode)
    assert statuses(flow) == ["Completed", "Failed", "Not started"]
    last = flow.task.queue[2]
    assert (last.errors, last.started_at, last.duration) == ([], None, None)
    # In sequential mode the tasks of the outcome are those that ran.
    assert len(manager.tasks) == (2 if mode == "sequential" else 3)


@pytest.mark.parametrize("mode", ["sequential", "sequential_group"])
def test_groups_run_in_processes_of_their_own(flow, mode):
    """Several groups: a process a group, in order within; a failure stops its group only."""
    flow.task.add(process_id, group_name="a")
    flow.task.add([process_id, fail, process_id], group_name="b")
    flow.task.add([process_id, describe], group_name="a")
    manager = run(flow, mode)
    assert statuses(flow) == [
        "Completed", "Completed", "Failed", "Not started", "Completed", "Completed",
    ]  # fmt: skip
    first_a, first_b, _, _, second_a, last = flow.result_storage()
    assert first_a == second_a
    assert len({first_a, first_b, os.getpid()}) == 3
    assert last[1] == second_a
    assert manager.tasks == flow.task.queue
    assert manager.mode == "sequential_group"  # so it is said to each provider and destination


def test_groups_run_at_the_same_time(flow):
    """All groups are under way at once: each can wait for the other."""

    @action
    def meet(initial_context):
        mine, other = initial_context.storage
        Path(mine).touch()
        for _ in range(500):
            if Path(other).exists():
                return True
            threading.Event().wait(0.01)
        return False

    flow.task.add(meet, initial_context=("a", "b"), group_name="a")
    flow.task.add(meet, initial_context=("b", "a"), group_name="b")
    run(flow, "sequential_group")
    assert flow.result_storage() == [True, True]


def test_background_ignores_groups(flow):
    """A background run is one sequence, in this process, whatever the groups."""
    flow.task.add(process_id, group_name="a").add(increment, group_name="b")
    run(flow, "background")
    assert flow.result_storage() == [os.getpid(), os.getpid() + 1]


def test_grouper_keeps_the_order_of_appearance(flow):
    """grouper() gives the groups in order of appearance, each with its tasks in order."""
    for name in ("b", "a", "b"):
        flow.task.add(echo, group_name=name)
    one, two, three = flow.task.queue
    groups = grouper(flow.task.queue)
    assert list(groups.items()) == [("b", [one, three]), ("a", [two])]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("step", "failed"), [(echo, False), (fail, True)])
def test_exactly_one_callback_of_the_workflow(flow, mode, step, failed):
    """on_failure is called where a task failed, else on_success, with the tasks."""
    calls = []
    flow.task.add(step).add(echo)
    manager = run(
        flow,
        mode,
        on_success=lambda tasks: calls.append(("success", tasks)),
        on_failure=lambda tasks: calls.append(("failure", tasks)),
    )
    assert calls == [("failure" if failed else "success", manager.tasks)]


def test_default_callbacks_are_plain_functions(flow):
    """The callbacks are stored as given; without any they are basic_callback."""
    manager = flow.start()
    assert manager.on_success is basic_callback
    assert manager.on_failure is basic_callback
    assert basic_callback(tasks=[]) is None


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("step", [echo, fail])
def test_task_callbacks_run_where_the_task_ran(flow, mode, step):
    """A task's callback is called after its end, failed or not, in the process that ran it."""
    flow.task.add(step, callback=note_pid)
    run(flow, mode)
    pid, status = Path("callback-1").read_text().split()
    assert (int(pid) == os.getpid()) is (mode not in IN_CHILDREN)
    assert status == flow.task.queue[0].status


@pytest.mark.parametrize("mode", MODES)
def test_assertion_errors_are_failures(flow, mode):
    """A failed assert fails its task and the workflow, and does not leave start()."""

    @action
    def step():
        raise AssertionError("not so")

    outcome = []
    flow.task.add(step)
    run(flow, mode, on_failure=lambda tasks: outcome.append("failed"))
    task = flow.task.queue[0]
    assert (task.status, task.errors[0].exception, outcome) == (
        "Failed", "AssertionError", ["failed"],
    )  # fmt: skip
    assert task.duration is not None


def test_manager_on_its_own(quiet):
    """A Manager makes its own id, and knows when it started."""
    task = Task(task_id=1, step=echo, initial_context=1, config=quiet)
    manager = Manager(tasks=[task])
    assert isinstance(manager.workflow_id, UUID)
    assert isinstance(manager.started, datetime)
    assert (manager.config, manager.on_input_change, manager.fingerprint) == (None, "reuse", None)
    assert task.current_context.storage == 1
    assert task.workflow_id == manager.workflow_id


@pytest.mark.parametrize("mode", MODES)
def test_without_a_config_everything_else_is_the_same(record, recorded, mode):
    """With config=None the workflow is told to nobody; tasks and callbacks are as ever."""
    outcome = []
    tasks = [Task(1, echo, initial_context=1, config=recorded), Task(2, increment, config=recorded)]
    record.clear()
    manager = Manager(
        tasks, mode=mode, workflow_id="w", on_success=lambda tasks: outcome.append("success")
    )
    if mode == "background":
        manager.thread.join()
    assert [task.current_context.storage for task in tasks] == [1, 1 if mode == "parallel" else 2]
    assert outcome == ["success"]
    assert record.starting("tracer.start_w", "tracer.end_w", "metrics.w", "server.update_w") == []
    assert len(record.starting("notify")) == 4


@pytest.mark.parametrize("mode", ["sequential", "sequential_group", "background"])
def test_tasks_without_any_config_hand_on_their_results(mode):
    """Tasks with a Config of their own each (config=None) still get the result before."""
    tasks = [Task(1, echo, initial_context=1), Task(2, increment)]
    manager = Manager(tasks, mode=mode)
    if mode == "background":
        manager.thread.join()
    assert [task.current_context.storage for task in tasks] == [1, 2]


@pytest.mark.parametrize("mode", MODES)
def test_no_tasks(flow, mode):
    """An empty workflow succeeds."""
    outcome = []

    def note(tasks):
        outcome.append(tasks)

    run(flow, mode, on_success=note)
    assert outcome == [[]]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("workflow_id", ["orders-2026-11", "a/b ../c", "x" * 255, "ü" * 50, 7])
def test_ids_that_are_no_uuid_work_in_every_mode(quiet, mode, workflow_id):
    """Any id of 1 to 255 characters runs, and its contexts carry it as it was given."""
    flow = DotFlow(config=quiet, workflow_id=workflow_id)
    flow.task.add(echo, initial_context=1).add(describe)
    run(flow, mode)
    previous = None if mode == "parallel" else 1
    assert flow.result_storage() == [1, ("Context", previous, str(workflow_id))]
    assert flow.task.queue[0].current_context.workflow_id == workflow_id
    assert flow.result()["workflow_id"] == str(workflow_id)


@pytest.mark.parametrize("mode", MODES)
def test_a_second_start_runs_again(flow, mode):
    """A second start() runs all again, with the fields of the run before reset."""
    calls = Path("calls")

    @action(retry=2, retry_delay=0)
    def flaky():
        first = not calls.exists()
        with calls.open("a") as file:
            file.write("x")
        if first:
            raise ValueError("first time")
        return calls.read_text()

    flow.task.add([flaky, increment])
    flow.task.queue[1].step = fail
    run(flow, mode)
    task, failed = flow.task.queue
    assert (task.status, task.retry_count, len(task.errors)) == ("Completed", 1, 1)
    started = task.started_at
    run(flow, mode)
    assert (task.status, task.retry_count, task.errors) == ("Completed", 0, [])
    assert task.current_context.storage == "xxx"
    assert task.started_at > started
    assert len(failed.errors) == 1


class TestFlows:
    """The flow classes on their own."""

    @pytest.mark.parametrize("cls", [Sequential, SequentialGroup, Background, Parallel])
    def test_a_flow_runs_in_its_constructor(self, flow, cls):
        """A flow takes its tasks and runs them; get_tasks() returns them."""
        flow.task.add([echo, echo], initial_context=1)
        tasks = flow.task.queue
        made = cls(tasks, "w", True, grouper(tasks))
        if cls is Background:
            made.thread.join()
        assert made.get_tasks() == tasks
        assert (made.tasks, made.workflow_id, made.ignore, made.resume) == (tasks, "w", True, False)
        assert made.groups == {"default": tasks}
        assert flow.result_storage() == [1, 1]
        assert isinstance(made.get_tasks()[0].current_context, Context)


def test_a_config_that_hides_nothing():
    """The Manager's own guard counts what a provider raises, and the run goes on."""
    from dotflow.abc.notify import Notify

    class Broken(Notify):
        def hook_status_task(self, task):
            raise RuntimeError("down")

    config = Config(notify=Broken())
    flow = DotFlow(config=config)
    flow.task.add(echo, initial_context=1)
    flow.start()
    assert flow.result_storage() == [1]
    assert config.guard.failures == {"Broken.hook_status_task": 3}


def test_a_task_is_reported_to_the_server_of_its_own_config(recorded, record):
    """Whatever Server the Manager has that runs it."""
    task = Task(1, echo, initial_context=1, config=recorded)
    record.clear()
    Manager(tasks=[task], config=Config(server=RecordingServer(lambda *_: None)))
    assert record.starting("server.update_t") != []


def test_a_hook_that_is_put_on_a_silent_server_in_a_run_is_called():
    """From the next task on."""
    seen, server = [], ServerNone()

    @action
    def hooks():
        server.update_task = lambda task: seen.append(task.status)

    flow = DotFlow(config=Config(server=server))
    flow.task.add(step=hooks)
    flow.task.add(step=echo, initial_context=1)
    flow.start()
    assert seen == ["In progress", "Completed"]
