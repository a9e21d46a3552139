"""Workflows in the workers of a process manager."""

from __future__ import annotations

import multiprocessing

import pytest
from billiard import process
from core_doubles import echo, process_id

from dotflow import DotFlow


def in_a_worker(mode):
    flow = DotFlow()
    flow.task.add([echo, process_id])
    flow.start(mode=mode)
    assert multiprocessing.current_process().daemon
    return [(task.status, [error.message for error in task.errors]) for task in flow.task.queue]


@pytest.mark.parametrize("mode", ["parallel", "sequential_group", "sequential"])
def test_a_worker_of_a_pool_may_run_a_workflow(mode):
    """A daemonic process, which multiprocessing refuses children, runs workflows in all modes."""
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply(in_a_worker, [mode]) == [("Completed", [])] * 2


def test_a_worker_of_celery_may_spawn(monkeypatch):
    """The key of its processes, which only its own pickle takes, keeps no child from starting."""
    key = process.AuthenticationString(b"of Celery")
    monkeypatch.setitem(multiprocessing.current_process()._config, "authkey", key)
    flow = DotFlow()
    flow.task.add(echo)
    flow.start(mode="parallel", start_method="spawn", raise_on_failure=True)
    assert multiprocessing.current_process().authkey == b"of Celery"
