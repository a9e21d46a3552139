"""What the adapter of Dask does, on a cluster within this process; tests/cluster has a real one."""

from __future__ import annotations

import threading
import time

import pytest
from distributed import Client, LocalCluster

from dotflow import DotFlow, action
from dotflow.executors.dask import ClusterUnfit, DaskExecutor, SchedulerLost

goes_on = threading.Event()


@pytest.fixture(scope="module")
def cluster():
    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0"
    ) as made:
        yield made


@pytest.fixture(scope="module")
def client(cluster):
    with Client(cluster) as made:
        made.submit(int).result(60)  # starts the threads that go on until the cluster ends
        yield made


@action
def double(initial_context):
    return 2 * initial_context.storage


def wait_until(is_so):
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_equal_steps_run_each(client):
    """Dask takes them for one, and keeps what it made, to make it anew where a worker dies."""
    flow = DotFlow()
    flow.task.add([double, double], initial_context=4)
    manager = flow.start(mode="parallel", executor=client.get_executor(retries=1))
    assert flow.result_storage() == [8, 8]
    assert all(task.created_ns <= task.started_ns for task in manager.tasks)
    wait_until(lambda: not client.futures)


def waits(job):
    goes_on.wait(60)
    return job


def test_what_has_not_begun_is_taken_back(client):
    """And never begins; what runs is waited for."""
    goes_on.clear()
    executor, began = DaskExecutor(client), []
    first = executor.submit(waits, b"first", "a step", began.append)
    wait_until(lambda: began)
    second = executor.submit(waits, b"second", "a step", began.append)
    assert (executor.cancel(second), executor.cancel(first)) == (True, False)
    goes_on.set()
    assert first.result(60) == b"first"
    assert second.cancelled()
    assert len(began) == 1
    assert not executor.cancel(first)


def test_a_cluster_is_no_client(cluster):
    """What to give is said."""
    with pytest.raises(ClusterUnfit, match=r"LocalCluster.*give a distributed\.Client"):
        DaskExecutor(cluster)


def test_a_client_that_is_closed(cluster):
    """It is refused; and what was under way has an end."""
    goes_on.clear()
    began = []
    with Client(cluster) as client:
        executor = DaskExecutor(client)
        future = executor.submit(waits, b"", "a step", began.append)
        wait_until(lambda: began)
    assert isinstance(future.exception(60), SchedulerLost)
    assert executor.is_worker_lost(future.exception())
    with pytest.raises(SchedulerLost):
        executor.submit(waits, b"", "a step", began.append)
    with pytest.raises(SchedulerLost):
        DaskExecutor(client)
    goes_on.set()
