"""Whatever an OTLP endpoint, or a proxy, does: an export costs bounded time and memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

TESTS = Path(__file__).parent.parent
PROGRAM = Path(__file__).parent / "hostile_program.py"
MEMORY = 20 * 2**20  # bytes that one of them may cost; a flood of a second is some gigabytes
SECONDS = 10.0  # for each, of which its timeout is half a second: the machine may be busy


@pytest.fixture(scope="module")
def costs(tmp_path_factory):
    """What each attack cost, in a process of its own."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run(
        [sys.executable, PROGRAM], capture_output=True, text=True, timeout=600, check=True,
        env={**env, "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)])},
        cwd=tmp_path_factory.mktemp("hostile"),
    )  # fmt: skip
    return {name: rest for name, *rest in map(json.loads, done.stdout.splitlines())}


def test_an_endpoint_that_is_well_takes_all(costs):
    """What the others are compared with: over HTTP and gRPC, with TLS and without."""
    found = [why for name, (_, _, why) in costs.items() if name.startswith("well")]
    assert found == [""] * 4


def test_the_time_of_an_export_is_bounded(costs):
    """Each ends soon after its timeout, if not before."""
    assert {name: took for name, (took, _, _) in costs.items() if took > SECONDS} == {}


def test_the_memory_of_an_export_is_bounded(costs):
    """Whatever is sent, only so much of it is kept, or unpacked."""
    assert {name: grown for name, (_, grown, _) in costs.items() if grown > MEMORY} == {}


def test_none_of_it_is_a_success(costs):
    """But what is said after an answer that is whole, which counts as it stands."""
    taken = {name for name, (_, _, why) in costs.items() if not why}
    after = {f"garbage after the answer, {way}" for way in ("HTTP", "HTTPS", "proxy")}
    assert {name for name in taken if not name.startswith("well")} == after


def test_each_way_was_tried(costs):
    """Nobody was left out."""
    assert len(costs) > 100
