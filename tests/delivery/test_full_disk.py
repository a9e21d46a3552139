"""A full disk costs the reports nothing while the process lives, and the run nothing at all."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support import full_disk
from support.fault_server import status
from support.outbox_contract import drain, task_post
from support.processes import dies
from support.truth import check_what_came

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
    assert check_what_came(api) > 40


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


def test_what_was_on_disk_stays_whole():
    """Of a process that is killed with its disk full the next one delivers what was on it."""
    before, after = task_post(1), task_post(2)

    def work(say):
        outbox = Outbox(NAME)
        outbox.put(before)
        full_disk.fill_disk()
        say(outbox.put(after))
        say([one.body for one in outbox.claim(9)])

    is_taken, claimed = dies(work)
    assert is_taken
    assert claimed == [before.body, after.body]
    adopter = Outbox(NAME)
    adopter.care()
    assert drain(adopter) == [before]
    adopter.close()


@pytest.mark.parametrize("has_room", [False, True])
def test_room_that_is_made_is_used(has_room):
    """What could not be forgotten on a full disk is forgotten at the end, for good."""

    def work(say):
        outbox = Outbox(NAME)
        outbox.put(task_post(1))
        outbox.put(task_post(2))
        full_disk.fill_disk()
        say(len(drain(outbox)))
        if has_room:
            full_disk.make_room()
            say(outbox.close())

    assert dies(work) == ([2, 0] if has_room else [2])
    assert left_to_the_next() == ([] if has_room else [1, 2])


def test_what_is_in_memory_only_is_said_to_be_lost():
    """What the disk did not take, and nobody the network, is counted as lost."""

    def work(say):
        outbox = Outbox(NAME)
        outbox.put(task_post(1))
        full_disk.fill_disk()
        outbox.put(task_post(2))
        say(outbox.close())

    assert dies(work) == [1]
    assert left_to_the_next() == [1]


def left_to_the_next():
    """The tasks whose messages the next process finds."""
    adopter = Outbox(NAME)
    adopter.care()
    tasks = [one.task for one in drain(adopter)]
    adopter.close()
    return tasks
