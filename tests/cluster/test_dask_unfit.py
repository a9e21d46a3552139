"""Dask clusters on which steps cannot run, or no longer, and what is said of them."""

from __future__ import annotations

import asyncio
import logging
import site
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from cluster_steps import read, waits
from distributed import Client
from support.dask_cluster import DaskCluster

from dotflow import Config, DotFlow
from dotflow.executors.dask import ClusterUnfit, DaskExecutor, SchedulerLost
from dotflow.version import __version__

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory):
    """A Python that has all that this one has, but dotflow."""
    folder = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    [packages] = folder.glob("lib/python*/site-packages")
    for entry in Path(site.getsitepackages()[0]).iterdir():
        if "dotflow" not in entry.name:
            (packages / entry.name).symlink_to(entry)
    return str(folder / "bin" / "python")


def test_a_worker_has_no_dotflow(bare_python, tmp_path):
    """It would die of the first step, and the next one too: nothing is sent there."""
    with (
        DaskCluster(tmp_path, workers=1, python=bare_python, nanny=False) as cluster,
        Client(cluster.address) as client,
    ):
        client.wait_for_workers(1, timeout=60)
        with pytest.raises(ClusterUnfit, match=r"worker tcp://.* has no dotflow") as refusal:
            Config(executor=client)
        assert f"install dotflow[dask]=={__version__}" in str(refusal.value)
        asyncio.run(refused_as_asynchronous(cluster.address))


async def refused_as_asynchronous(address):
    async with Client(address, asynchronous=True) as client:
        with pytest.raises(ClusterUnfit, match="without asynchronous=True"):
            DaskExecutor(client)


def test_the_scheduler_is_lost(tmp_path, steps, caplog):
    """Each step that was there is Failed, and says why; the run ends, and the next is refused."""
    truth = str(tmp_path / "truth")
    with (
        DaskCluster(tmp_path, workers=1, threads=2, env=steps, nanny=False) as cluster,
        Client(cluster.address) as client,
    ):
        client.wait_for_workers(1, timeout=60)
        with caplog.at_level(logging.WARNING, "dotflow"):
            flow = DotFlow(config=Config(executor=client))
        assert caplog.text.count("--nthreads 1") == 1
        flow.task.add([waits] * 4, initial_context=(truth, str(tmp_path / "until")))

        def kill():
            deadline = time.monotonic() + 60
            while len(read(truth)) < 2 and time.monotonic() < deadline:
                time.sleep(0.02)
            cluster.scheduler.kill()

        killer = threading.Thread(target=kill)
        killer.start()
        manager = flow.start(mode="parallel", keep_going=True)
        killer.join()
        assert [task.status for task in manager.tasks] == 4 * ["Failed"]
        for task in manager.tasks:
            assert "the connection to Dask's scheduler is lost" in task.errors[-1].message
        with pytest.raises(SchedulerLost, match="with a new Client"):
            flow.start(mode="parallel")
