"""A full disk costs the reports nothing while the process lives, and the run nothing at all."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from support import full_disk
from support.fault_server import status
from support.outbox_contract import drain, task_post
from support.processes import kill

from dotflow.delivery import disk, state
from dotflow.delivery.outbox import Outbox

pytestmark = pytest.mark.slow

NAME = "a destination"
IN_A_NAMESPACE = 'mount -t tmpfs -o size=300k none "$DOTFLOW_STATE_DIR" && exec "$@"'


def run(api, limit=0, prefix=()):
    """Run the workflow with little room, and return what the process says of itself."""
    environment = {**os.environ, "PYTHONPATH": str(Path(full_disk.__file__).parent.parent)}
    command = [*prefix, sys.executable, full_disk.__file__, api.url, str(limit)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def check(api, said):
    assert said["statuses"] == ["Completed"] * 20
    assert said["pending"] == 0
    assert len(said["warnings"]) == 1
    assert "DOTFLOW_STATE_DIR" in said["warnings"][0]
    assert api.workflows[said["id"]]["status"] == "Completed"
    assert len(api.tasks) == 20
    assert {one["status"] for one in api.tasks.values()} == {"Completed"}
    assert {len(one["current_context"]) for one in api.tasks.values()} == {20_000}


@pytest.mark.parametrize("limit", [1, 50_000, 150_000])
def test_files_that_may_grow_no_further(api, limit):
    """There is one warning, the run goes on, and all is delivered."""
    api.latency = 0.01
    check(api, run(api, limit))


def test_a_disk_of_300_kilobytes(api, tmp_path):
    """The same with a disk that is really full."""
    place = tmp_path / "state"
    place.mkdir()
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("there is no unshare here")
    prefix = [unshare, "--mount", "--map-root-user", "sh", "-c", IN_A_NAMESPACE, "sh"]
    probe = subprocess.run([*prefix, "true"], capture_output=True, text=True, check=False)
    if probe.returncode:
        pytest.skip(f"no file system may be mounted here: {probe.stderr.strip()}")
    api.on("^(POST|PATCH)", status(503), times=3)
    api.latency = 0.02
    check(api, run(api, prefix=prefix))


@pytest.fixture
def full(monkeypatch):
    """Makes the disk full, or not."""
    is_full = []
    real = disk.DiskStore._write

    class Full:
        def __init__(self, connection):
            self.real = connection

        def execute(self, sql, *args):
            if is_full and not sql.startswith("select"):
                raise sqlite3.OperationalError("database or disk is full")
            return self.real.execute(sql, *args)

    def write(self, *args):
        connection = self._connection
        self._connection = Full(connection)
        try:
            return real(self, *args)
        finally:
            self._connection = connection

    monkeypatch.setattr(disk.DiskStore, "_write", write)

    def switch(on):
        is_full[:] = [True] * on

    return switch


def test_what_was_on_disk_stays_whole(full):
    """Of a process that is killed with its disk full the next one delivers what was on it."""
    outbox = Outbox(NAME)
    before, after = task_post(1), task_post(2)
    outbox.put(before)
    full(True)
    assert outbox.put(after)
    assert [one.body for one in outbox.claim(9)] == [before.body, after.body]
    for connection in kill(outbox):
        connection.close()
    full(False)
    adopter = Outbox(NAME)
    adopter.care()
    assert drain(adopter) == [before]
    adopter.close()


def test_room_that_is_made_is_used(full):
    """What could not be forgotten on a full disk is forgotten at the end, for good."""
    outbox = Outbox(NAME)
    outbox.put(task_post(1))
    outbox.put(task_post(2))
    full(True)
    assert len(drain(outbox)) == 2
    full(False)
    assert outbox.close() == 0
    assert state.spools() == []


def test_what_is_in_memory_only_is_said_to_be_lost(full):
    """What the disk did not take, and nobody the network, is counted as lost."""
    outbox = Outbox(NAME)
    outbox.put(task_post(1))
    full(True)
    outbox.put(task_post(2))
    assert outbox.close() == 1
    full(False)
    adopter = Outbox(NAME)
    adopter.care()
    assert [one.task for one in drain(adopter)] == [1]
    adopter.close()
