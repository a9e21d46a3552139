"""A cluster for the tests of a module."""

from __future__ import annotations

from pathlib import Path

import pytest
from distributed import Client
from support.dask_cluster import DaskCluster


@pytest.fixture(scope="module")
def steps():
    """The variables of a worker that finds the steps of the tests."""
    return {"PYTHONPATH": str(Path(__file__).parent)}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory, steps):
    """Two workers."""
    with DaskCluster(tmp_path_factory.mktemp("cluster"), env=steps) as made:
        yield made


@pytest.fixture(scope="module")
def client(cluster):
    with Client(cluster.address) as client:
        client.wait_for_workers(2, timeout=60)
        yield client


@pytest.fixture
def truth(tmp_path):
    return str(tmp_path / "truth")
