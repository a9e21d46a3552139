"""The servers that the tests of the stack run against."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from stack_jaeger import Records
from stack_servers import Api, Collector, Jaeger

VARIABLE = "DOTFLOW_TEST_STACK"


@pytest.fixture(scope="session")
def binaries():
    """The folder of the Collector and Jaeger that `.ci/stack` builds."""
    folder = os.environ.get(VARIABLE)
    if not folder:
        pytest.skip(f"a real Collector and Jaeger: .ci/stack builds them and sets {VARIABLE}")
    return Path(folder)


@pytest.fixture(scope="session")
def jaeger(binaries, tmp_path_factory):
    with Jaeger(binaries, tmp_path_factory.mktemp("jaeger")) as server:
        yield server


@pytest.fixture(scope="session")
def collector(binaries, jaeger, tmp_path_factory):
    with Collector(binaries, tmp_path_factory.mktemp("collector"), jaeger.otlp) as server:
        yield server


@pytest.fixture(scope="session")
def api(tmp_path_factory):
    with Api(tmp_path_factory.mktemp("api")) as server:
        yield server


@pytest.fixture(scope="session")
def records(api):
    return Records(api)
