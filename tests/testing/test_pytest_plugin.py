"""The plugin for pytest: a fixture that is there by itself, and costs nothing until it is used."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import entry_points

import pytest

pytestmark = pytest.mark.slow  # each starts programs

TEST = """
import os
from dotflow import DotFlow, action

@action(retry=2, retry_delay=3600)
def flaky():
    raise ValueError("no")

def run():
    flow = DotFlow()
    flow.task.add(flaky)
    flow.start(mode="{mode}")

def test_one(dotflow_rehearsal):
    run()
    assert dotflow_rehearsal.attempts("flaky") == 2
    assert os.environ["DOTFLOW_SERVER"] == "none"

def test_two(dotflow_rehearsal):
    assert dotflow_rehearsal.facts == []
    run()
    assert dotflow_rehearsal.status == "Failed"

def test_without():
    assert "DOTFLOW_SERVER" not in os.environ
"""

LIGHT = """
import sys

def test_nothing_is_loaded():
    assert [name for name in sys.modules if name.partition(".")[0] == "dotflow"] == []
    assert "pytest_dotflow" in sys.modules
"""


AS_IT_IS = """
def test_loaders():
    import dotflow.core.engine
    import dotflow.testing.storage_contract as contract

    assert type(dotflow.__loader__).__name__ == "SourceFileLoader"
    assert type(dotflow.core.engine.__loader__).__name__ == "SourceFileLoader"
    assert type(contract.__loader__).__name__ == "AssertionRewritingHook"
"""


def run_pytest(folder, text, *words, **more):
    (folder / "test_users.py").write_text(text)
    (folder / "pytest.ini").write_text("[pytest]\n")
    environment = {
        name: value for name, value in os.environ.items()
        if not name.startswith(("PYTEST_", "COV_", "COVERAGE_"))
    }  # fmt: skip
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-W", "error", *words],
        cwd=folder, env={**environment, **more},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "project"
    made.mkdir()
    return made


def test_pytest_finds_it_by_itself():
    """The entry point is there, and names a module outside of the package."""
    [found] = [one for one in entry_points(group="pytest11") if one.value == "pytest_dotflow"]
    assert found.name == "dotflow"


@pytest.mark.parametrize("mode", ["sequential", "parallel"])
def test_the_fixture_in_a_users_project(folder, mode):
    """Tests that ask for it see their own runs alone; others are as they were."""
    done = run_pytest(folder, TEST.replace("{mode}", mode))
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout


def test_it_is_safe_with_xdist(folder):
    """Each worker rehearses for itself."""
    done = run_pytest(folder, TEST.replace("{mode}", "parallel"), "-n", "2")
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout


def test_a_session_that_does_not_use_it_loads_nothing(folder):
    """No module of dotflow is imported before a test asks for the fixture."""
    done = run_pytest(folder, LIGHT)
    assert done.returncode == 0, done.stdout


def test_it_can_be_switched_off(folder):
    """`-p no:dotflow` leaves a session without it."""
    done = run_pytest(folder, "def test_one(dotflow_rehearsal): pass\n", "-p", "no:dotflow")
    assert "fixture 'dotflow_rehearsal' not found" in done.stdout


def test_dotflow_is_loaded_as_it_is(folder):
    """Pytest rewrites the asserts of a distribution that has a plugin: not those of the engine."""
    # As an installed wheel says it, which lists its modules.
    dist = folder / "dotflow_users-1.dist-info"
    dist.mkdir()
    (dist / "METADATA").write_text("Metadata-Version: 2.1\nName: dotflow-users\nVersion: 1\n")
    (dist / "entry_points.txt").write_text("[pytest11]\ndotflow = pytest_dotflow\n")
    (dist / "RECORD").write_text("dotflow/__init__.py,,\npytest_dotflow.py,,\n")
    done = run_pytest(folder, AS_IT_IS, PYTHONPATH=str(folder))
    assert done.returncode == 0, done.stdout
