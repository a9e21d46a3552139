"""The servers that the tests of the stack run against."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from stack_jaeger import Records
from stack_servers import Api, Collector, Jaeger, Prometheus, VictoriaLogs

VARIABLE = "DOTFLOW_TEST_STACK"


@pytest.fixture(scope="session")
def binaries():
    """The folder of the servers that `.ci/stack` builds."""
    folder = os.environ.get(VARIABLE)
    if not folder:
        pytest.skip(f"a real Collector and stores: .ci/stack builds them and sets {VARIABLE}")
    return Path(folder)


@pytest.fixture(scope="session")
def jaeger(binaries, tmp_path_factory):
    with Jaeger(binaries, tmp_path_factory.mktemp("jaeger")) as server:
        yield server


@pytest.fixture(scope="session")
def prometheus(binaries, tmp_path_factory):
    with Prometheus(binaries, tmp_path_factory.mktemp("prometheus")) as server:
        yield server


@pytest.fixture(scope="session")
def victorialogs(binaries, tmp_path_factory):
    with VictoriaLogs(binaries, tmp_path_factory.mktemp("victorialogs")) as server:
        yield server


@pytest.fixture(scope="session")
def collector(binaries, jaeger, prometheus, victorialogs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("collector")
    stores = {"metrics": prometheus.otlp, "logs": victorialogs.otlp}
    with Collector(binaries, folder, jaeger.otlp, **stores) as server:
        yield server


@pytest.fixture(scope="session")
def api(tmp_path_factory):
    with Api(tmp_path_factory.mktemp("api")) as server:
        yield server


@pytest.fixture(scope="session")
def records(api):
    return Records(api)
