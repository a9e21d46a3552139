"""Whole programs whose steps close, fork, remove and move what the log stands on."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support import run_log_cases
from support.fault_server import FaultServer
from support.run_logs import on_disk

NOBODY = "http://127.0.0.1:9"
ABOUT = re.compile("keeps reports|kept on disk|cannot be written|(?<!connection )refused").search


@pytest.fixture
def api():
    server = FaultServer()
    yield server
    server.close()


def run(case, url, **more):
    """Run a program; what it says of itself, and its log lines."""
    environment = {**os.environ, "PYTHONPATH": str(Path(run_log_cases.__file__).parent.parent)}
    environment |= {name: value for name, value in more.items() if value is not None}
    for name in [name for name, value in more.items() if value is None]:
        environment.pop(name, None)
    command = [sys.executable, run_log_cases.__file__, case, url, "sequential"]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr[-3000:]
    # A child that leaves by `sys.exit` within a step does not print.
    [said] = [json.loads(one) for one in done.stdout.splitlines() if one.startswith("{")]
    return said, [one for one in done.stderr.splitlines() if "WARNING" in one and ABOUT(one)]


def check(api, said):
    """All was delivered, once, and each record is at its end."""
    count = len(said["statuses"])
    assert said["statuses"] == ["Completed"] * count
    assert said["complete"]
    assert {wid: one["status"] for wid, one in api.workflows.items()} == {said["id"]: "Completed"}
    assert sorted(one["status"] for one in api.tasks.values()) == ["Completed"] * count
    keys = [one.key for one in api.seen]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("case", ["closes all", "opens high"])
def test_a_step_that_closes_everything(case):
    """Nothing of ours is in its files, and all that was reported is in ours; there is one line."""
    said, warnings = run(case, NOBODY, DOTFLOW_FLUSH_TIMEOUT="0")
    assert said["statuses"] == ["Completed"] * 3
    assert len(warnings) == 1
    facts, damaged = on_disk()
    assert damaged == 0
    ends = [fact["f"] for fact in facts if fact["f"] in ("task ended", "run ended")]
    assert ends == ["task ended"] * 3 + ["run ended"]
    for path in Path.cwd().glob("mine*.txt"):
        number = path.stem.removeprefix("mine")
        assert path.read_text() == f"only my own line {number}\n" * 2
    theirs = Path("theirs.txt")
    assert not theirs.exists() or theirs.read_bytes() == b""


def test_a_step_that_removes_the_folder(api):
    """All is delivered, and there is one line."""
    said, warnings = run("removes folder", api.url)
    check(api, said)
    assert len(warnings) == 1


@pytest.mark.parametrize("case", ["forks and exits", "forks and closes"])
def test_a_step_that_forks(api, case):
    """The helper it forked reports nothing; all is delivered once."""
    said, warnings = run(case, api.url)
    check(api, said)
    assert warnings == []


def test_a_step_that_changes_the_folder(api, tmp_path):
    """A folder that was named relatively stays where it was."""
    said, warnings = run("changes folder", api.url, DOTFLOW_STATE_DIR="rel")
    check(api, said)
    assert warnings == []
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert (tmp_path / "rel").is_dir()


def test_a_state_folder_that_cannot_be(api):
    """All is delivered from memory, with one line."""
    said, warnings = run("plain", api.url, DOTFLOW_STATE_DIR="/dev/null/x")
    check(api, said)
    assert len(warnings) == 1
