"""A run on an executor is the run that it is in child processes."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import pytest
from remote_steps import (
    Odd,
    Several,
    give,
    leaves,
    never,
    note,
    raises,
    second_time,
    take,
    too_long,
    wait_for,
)

from dotflow import Config, DotFlow
from dotflow.testing import rehearsal

FORK = multiprocessing.get_context("fork")


@pytest.fixture
def pools():
    with ThreadPoolExecutor(2) as threads, ProcessPoolExecutor(2, mp_context=FORK) as processes:
        yield {"threads": threads, "processes": processes, "ours": None}


def started(executor, tmp_path, mode):
    """What came of a run of steps of every kind, and the facts that were told."""
    flow = DotFlow(config=Config(executor=executor))
    add = flow.task.add
    add(give, initial_context=7, group_name="a")
    if mode == "sequential_group":
        add(take, group_name="a")
    add(wait_for, initial_context=str(tmp_path / "path"), callback=note, group_name="b")
    add(second_time, initial_context=str(tmp_path / "second"), group_name="b")
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
def test_runs_are_equal(pools, tmp_path, mode):
    """Results, errors, tries, callbacks and facts are those of a run in child processes."""
    outcomes = {}
    for name, executor in pools.items():
        (tmp_path / name).mkdir()
        manager, facts, failures = started(executor, tmp_path / name, mode)
        tasks = [
            (
                task.status,
                task.retry_count,
                repr(task.current_context.storage)
                .replace(name, "")
                .replace(str(manager.workflow_id), ""),
                [(one.attempt, one.error_type, one.message, one.traceback) for one in task.errors],
            )
            for task in manager.tasks
        ]
        called = (tmp_path / name / "path.called").read_text()
        outcomes[name] = manager.status, tasks, told(facts), dict(failures), called
        assert isinstance(manager.failed_tasks[0].errors[-1].cause, Odd)
        for task in manager.tasks:
            assert task.created_ns <= task.started_ns <= task.finished_ns
    assert outcomes["threads"] == outcomes["ours"]
    assert outcomes["processes"] == outcomes["ours"]
