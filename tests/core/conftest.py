"""What the tests of the engine share: providers that write down each call."""

from __future__ import annotations

import pytest
from core_doubles import Recorder, recording_config

from dotflow import Config, DotFlow
from dotflow.providers import LogDefault


@pytest.fixture
def record(tmp_path):
    """What was called, in order, in this process and its children."""
    return Recorder(tmp_path / "calls.txt")


@pytest.fixture
def recorded(record):
    """A Config whose every provider writes to `record`."""
    return recording_config(record)


@pytest.fixture
def quiet():
    """A Config that writes no log lines."""
    return Config(log=LogDefault(level="ERROR", output="file", path="errors.log"))


@pytest.fixture
def flow(quiet):
    return DotFlow(config=quiet)
