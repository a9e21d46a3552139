"""A run on an executor is the run that it is in child processes."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest
from remote_steps import (
    Odd,
    Several,
    copies_itself,
    give,
    leaves,
    never,
    next_time,
    note,
    raises,
    runs_another,
    says_and_waits,
    second_time,
    take,
    too_long,
    wait_for,
    waits_for_file,
)

from dotflow import Config, DotFlow, action
from dotflow.abc.facts import TaskBegan
from dotflow.abc.server import Server
from dotflow.executors import StandardExecutor
from dotflow.providers import StorageFile
from dotflow.testing import rehearsal

BOTH = pytest.mark.parametrize("pool", ["threads", "processes"], indirect=True)


def started(executor, folder, mode):
    """What came of a run of steps of every kind, and the facts that were told."""
    flow = DotFlow(config=Config(executor=executor))
    add = flow.task.add
    add(give, initial_context=7, group_name="a")
    if mode == "sequential_group":
        add(take, group_name="a")
    add(wait_for, initial_context=str(folder / "path"), callback=note, group_name="b")
    add(second_time, initial_context=str(folder / "second"), group_name="b")
    add(never, group_name="c", callback=raises)
    add(too_long, group_name="c")
    add(leaves, group_name="c")
    add(Several, group_name="c")
    with rehearsal() as seen:
        manager = flow.start(mode=mode, keep_going=True)
    return manager, seen.facts, flow.config.guard.failures


def told(facts):
    """The kinds of facts by their tasks, in order."""
    by_task = {}
    for fact in facts:
        if hasattr(fact, "task_id"):
            by_task.setdefault(fact.task_id, []).append(type(fact).__name__)
    return by_task


@pytest.mark.parametrize("mode", ["parallel", "sequential_group"])
def test_runs_are_equal(threads, processes, tmp_path, mode):
    """Results, errors, tries, callbacks and facts are those of a run in child processes."""
    outcomes = []
    for number, executor in enumerate((None, threads, processes)):
        folder = tmp_path / str(number)
        folder.mkdir()
        manager, facts, failures = started(executor, folder, mode)
        ours = (str(folder), ""), (str(manager.workflow_id), "")
        tasks = []
        for task in manager.tasks:
            assert task.created_ns <= task.started_ns <= task.finished_ns
            result = repr(task.current_context.storage)
            for text, other in ours:
                result = result.replace(text, other)
            errors = [(e.attempt, e.error_type, e.message, e.traceback) for e in task.errors]
            tasks.append((task.status, task.retry_count, result, errors))
        called = (folder / "path.called").read_text()
        outcomes.append((manager.status, tasks, told(facts), dict(failures), called))
        assert isinstance(manager.failed_tasks[0].errors[-1].cause, Odd)
    assert outcomes[1] == outcomes[0]
    assert outcomes[2] == outcomes[0]


def test_threads_pass_the_very_values(threads):
    """Nothing is pickled: a lock is a result, and the next step gets that one."""
    lock = threading.Lock()

    @action
    def gives():
        return lock

    @action
    def gets(previous_context):
        return previous_context.storage

    flow = DotFlow()
    flow.task.add([gives, gets])
    flow.start(mode="sequential_group", executor=threads)
    assert [value is lock for value in flow.result_storage()] == [True, True]


class Touching(Server):
    """Makes a file once it is told that a task began."""

    def __init__(self, path):
        self.path = Path(path)

    def happened(self, fact, subject):
        if isinstance(fact, TaskBegan):
            assert subject.place.process
            self.path.touch()

    def create_workflow(self, workflow): ...
    def update_workflow(self, workflow, status=""): ...
    def create_task(self, task): ...
    def update_task(self, task): ...


@BOTH
def test_a_beginning_is_told_while_the_step_runs(pool, tmp_path):
    """The step ends only when it is told that it began, and where."""
    flow = DotFlow(config=Config(server=Touching(tmp_path / "began"), executor=pool))
    flow.task.add(waits_for_file, initial_context=str(tmp_path / "began"))
    manager = flow.start(mode="parallel")
    assert manager.ok, manager.error
    (task,) = manager.tasks
    assert task.place.submitted_ns <= task.started_ns
    assert task.place.process == task.current_context.storage


@BOTH
def test_a_step_may_fork_and_may_run_a_workflow(pool):
    """A copy of the worker goes no further; a workflow within a step is a run of its own."""
    flow = DotFlow(config=Config(executor=pool))
    flow.task.add([copies_itself, runs_another, runs_another])
    manager = flow.start(mode="parallel", keep_going=True)
    assert manager.ok, manager.error
    pid, inner, _ = flow.result_storage()
    assert inner == ["Completed", 9]
    assert (pid == os.getpid()) == (pool.__class__.__name__ == "ThreadPoolExecutor")


def test_a_resumed_run_restores_what_a_worker_has_made(processes, tmp_path):
    """Checkpoints are kept by the process that reports."""
    config = Config(storage=StorageFile(path=tmp_path / "kept"), executor=processes)
    for resume in (False, True):
        flow = DotFlow(config=config, workflow_id="resumed")
        flow.task.add([give, take], initial_context=7)
        flow.task.add(next_time, initial_context=str(tmp_path / "second"))
        manager = flow.start(mode="sequential_group", resume=resume)
        assert manager.ok is resume
    assert [task.restored for task in manager.tasks] == [True, True, False]
    assert flow.result_storage()[1:] == [(7, {"seen": "Thing"}), "at last"]


class Full(StandardExecutor):
    """Takes more steps than it has threads, and makes a file when two are taken back.

    Args:
        pool: Has two threads.
        folder: Where the file is made, once both threads have a step that waits for it.
    """

    def __init__(self, pool, folder):
        super().__init__(pool, most_in_flight=9)
        self.folder = folder
        self.taken_back = 0

    def cancel(self, future):
        end = time.monotonic() + 60
        while len(list(self.folder.glob("ran.*"))) < 2 and time.monotonic() < end:
            time.sleep(0.01)
        is_taken_back = super().cancel(future)
        self.taken_back += is_taken_back
        if self.taken_back == 2:  # not before: a thread would be free for the next one
            (self.folder / "go").touch()
        return is_taken_back


def test_nothing_begins_after_a_failure(threads, tmp_path):
    """Without keep_going what has not begun is taken back; what runs is waited for."""
    flow = DotFlow(config=Config(executor=Full(threads, tmp_path)))
    flow.task.add(says_and_waits, initial_context=(str(tmp_path), 1))
    flow.task.add([never, says_and_waits, give, give], initial_context=(str(tmp_path), 2))
    with rehearsal() as seen:
        manager = flow.start(mode="parallel")
    statuses = [task.status for task in manager.tasks]
    assert statuses == ["Completed", "Failed", "Completed", "Not started", "Not started"]
    assert sorted(told(seen.facts)) == [1, 2, 3]
