"""What the version before left arrives as it was meant: its real files, in `earlier/`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from support.earlier import (
    DIES,
    RESUMES,
    SENDS,
    delivered,
    knows_the_killed_run,
    left_by_before,
    messages_in,
    nothing_is_left,
    writes,
)
from support.fault_server import TOKEN, status

from dotflow.delivery import dead_letters
from dotflow.delivery.channel import Channel
from dotflow.delivery.dead import earlier, earlier_disk
from dotflow.delivery.survey import survey


def test_two_runs_that_wait_arrive_as_they_are(api, default):
    """Each message leaves once, as it is: its body, id and headers; and in order."""
    waited = messages_in(left_by_before("away", default))
    assert len(waited) == 12
    assert delivered(default).complete
    assert {seen.key: seen.raw for seen in writes(api)} == {
        key: body for key, (_, body) in waited.items()
    }
    assert len(writes(api)) == len(waited)
    for seen in writes(api):
        assert seen.headers["traceparent"] == waited[seen.key][0]["traceparent"]
    assert len(api.history) == 2
    for workflow, history in api.history.items():
        end = api.workflows[workflow]["status"]
        assert history[0] == "POST workflow In progress"
        assert history[-1] == f"PATCH workflow {end}"
        assert history.index("POST task 2 In progress") < history.index(f"PATCH task 2 {end}")
    assert sorted(one["status"] for one in api.workflows.values()) == ["Completed", "Failed"]
    assert nothing_is_left()


def test_a_killed_run_is_ended(api, default):
    """The ends that its process owes follow what it had said, under the server's own ids."""
    left_by_before("killed", default)
    knows_the_killed_run(api)
    assert delivered(default).complete
    said = {seen.line.split("/", 1)[1]: seen.body for seen in writes(api)}
    assert [*said][-1].startswith("workflows/")
    assert said["tasks/srv-1"]["status"] == "Completed"
    killed = said["tasks/srv-3"]
    assert (killed["status"], killed["retry_count"]) == ("Failed", 1)
    assert [one["exception"] for one in killed["errors"]] == ["OSError", "ProcessEnded"]
    assert "last seen at 2023-11-14T22:13:20" in killed["errors"][-1]["message"]
    [end] = [body for path, body in said.items() if path.startswith("workflows/")]
    assert end["status"] == "Failed"
    assert len(writes(api)) == 3
    assert nothing_is_left()


def test_a_server_that_is_away_costs_nothing(api, default):
    """What could not be sent is there for the next process, ends included, under the same ids."""
    left_by_before("killed", default)
    api.on(".*", status(503))
    channel = Channel(default)
    channel.adopt()
    api.wait_for(lambda: channel.flush(0.1).pending == 3)  # once the files are read
    assert channel.close(0.1).pending == 3
    tried = {seen.key for seen in writes(api)}
    assert {one.pending for one in survey() if one.destination.endswith("(default)")} == {3}
    os.utime(earlier_disk.paths()[0])  # whoever writes a file must not seem to be its owner
    waited = messages_in(earlier_disk.paths())
    api.well()
    knows_the_killed_run(api)
    assert delivered(default).complete
    taken = {seen.key for seen in writes(api)[len(tried) :]}
    assert tried <= taken == set(waited)
    assert nothing_is_left()


def test_dead_letters_move_once(api, managed):
    """Dead letters of ended and of killed processes keep the server's words, and wait no more."""
    left_by_before("refused", managed)
    api.workflows["refused-killed"] = {"status": "In progress"}
    api.tasks["refused-killed", 3] = {"status": "In progress"}
    assert delivered(managed).complete
    letters = dead_letters.all_letters()
    assert [(one.message.workflow, one.message.task, one.status) for one in letters] == [
        ("refused", 1, 422), ("refused", 1, 422), ("refused-killed", 1, 422),
        ("refused-killed", 1, 422),
    ]  # fmt: skip
    assert letters[0].reason == '422 {"detail": "no, thank you"}'
    assert letters[1].reason.startswith("its POST was refused")
    assert api.tasks["refused-killed", 3]["status"] == "Failed"
    assert api.workflows["refused-killed"]["status"] == "Failed"
    assert nothing_is_left()
    earlier.move_dead_letters()
    assert len(dead_letters.all_letters()) == 4


def test_two_dead_runs_of_one_workflow_go_in_their_order(api, managed):
    """The older one's messages go first, as they are; each run is ended."""
    older, newer = (set(messages_in([path])) for path in left_by_before("twice", managed))
    api.workflows["twice"] = {"status": "New"}
    assert delivered(managed).complete
    keys = [seen.key for seen in writes(api)]
    assert len(keys) == len(set(keys))
    # The updates that were under way give way to the ends that are owed.
    assert older <= set(keys)
    assert max(map(keys.index, older)) < min(keys.index(key) for key in newer & set(keys))
    assert api.history["twice"][0] == "PATCH workflow In progress"
    assert api.history["twice"][-1] == "PATCH workflow Failed"
    assert api.history["twice"].count("PATCH workflow Failed") == 2
    assert {task: one["status"] for (_, task), one in api.tasks.items()} == {
        1: "Completed", 2: "Failed",
    }  # fmt: skip
    assert nothing_is_left()


def test_what_was_left_goes_before_a_new_run_of_its_workflow(api, managed):
    """A program that resumes the workflow says so after all that dead processes said of it."""
    old = set(messages_in(left_by_before("twice", managed)))
    api.workflows["twice"] = {"status": "New"}
    subprocess.run([sys.executable, "-c", RESUMES, api.url, TOKEN], check=True, timeout=60)
    keys = [seen.key for seen in writes(api)]
    assert api.history["twice"][-1] == "PATCH workflow Completed"
    last = max(at for at, key in enumerate(keys) if key in old)
    new = [at for at, seen in enumerate(writes(api)) if b'"again"' in seen.raw]
    assert new
    assert last < min(new)
    assert api.workflows["twice"]["status"] == "Completed"
    assert nothing_is_left()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
def test_what_was_left_goes_before_a_younger_run_that_died_too(api, managed):
    """A process that had it, lost it to a new run, and gets it back, keeps to the order."""
    old = set(messages_in(left_by_before("twice", managed)))
    api.workflows["twice"] = {"status": "New"}
    api.on("POST|PATCH", status(503))
    channel = Channel(managed)
    channel.adopt()
    api.wait_for(lambda: channel.flush(0.1).pending == 11)  # once the files are read
    died = subprocess.run([sys.executable, "-c", DIES, api.url, TOKEN], check=False, timeout=60)
    assert died.returncode == -signal.SIGKILL
    api.well()
    away = len(writes(api))
    channel.adopt()
    assert channel.flush(60).complete
    channel.close(60)
    keys = [seen.key for seen in writes(api)[away:]]
    assert len(keys) == len(set(keys))
    last = max(at for at, key in enumerate(keys) if key in old)
    new = [at for at, seen in enumerate(writes(api)[away:]) if b'"again"' in seen.raw]
    assert new
    assert last < min(new)
    assert api.history["twice"][-1] == "PATCH workflow Failed"
    assert nothing_is_left()


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
@pytest.mark.parametrize("after", [1, 3, 6, 9])
def test_a_kill_in_the_middle_repeats_what_was_under_way(api, default, after):
    """Who comes after one that was killed sends the rest, and nothing under another id."""
    waited = messages_in(left_by_before("away", default))
    api.latency = 0.05
    first = subprocess.Popen([sys.executable, "-c", SENDS, api.url, TOKEN, "default"])
    api.wait_for(lambda: len(writes(api)) >= after, 20)
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert len(writes(api)) < len(waited)
    before = len(writes(api))
    assert delivered(default).complete
    keys = [seen.key for seen in writes(api)]
    assert set(keys) == set(waited)
    repeated = [key for key in keys[before:] if key in keys[:before]]
    assert len(repeated) <= 8  # as many as may be under way
    assert sorted(one["status"] for one in api.workflows.values()) == ["Completed", "Failed"]
    assert all(history[-1].startswith("PATCH workflow") for history in api.history.values())
    assert nothing_is_left()


@pytest.mark.slow
def test_a_kill_between_the_ends_changes_no_id(api, managed):
    """The ends are written before the first of them is sent: a later process repeats them."""
    left_by_before("twice", managed)
    api.workflows["twice"] = {"status": "New"}
    api.latency = 0.1
    first = subprocess.Popen([sys.executable, "-c", SENDS, api.url, TOKEN, "managed"])
    api.wait_for(lambda: len(writes(api)) >= 2, 20)
    first.send_signal(signal.SIGKILL)
    first.wait()
    waited = set(messages_in(earlier_disk.paths()))
    before = len(writes(api))
    assert delivered(managed).complete
    keys = [seen.key for seen in writes(api)]
    assert set(keys[before:]) == waited
    assert api.history["twice"].count("PATCH workflow Failed") == 2
    assert nothing_is_left()


@pytest.mark.slow
def test_processes_that_start_at_once_share_what_is_left(api, default):
    """Several processes that find the same files send each message once."""
    waited = messages_in(left_by_before("away", default))
    api.latency = 0.02
    arguments = [sys.executable, "-c", SENDS, api.url, TOKEN, "default"]
    senders = [subprocess.Popen(arguments) for _ in range(4)]
    assert [one.wait(30) for one in senders] == [0, 0, 0, 0]
    keys = [seen.key for seen in writes(api)]
    assert sorted(keys) == sorted(waited)
    delivered(default)
    assert nothing_is_left()


def test_a_task_that_is_refused_takes_its_updates_along(api, default):
    """What would change a record that there is not becomes a dead letter, and is not sent."""
    left_by_before("away", default)
    api.on("POST /workflows/.*/tasks", status(422, {"detail": "no"}))
    assert delivered(default).complete
    assert len(dead_letters.all_letters()) == 8
    assert not [seen for seen in writes(api) if "/tasks/" in seen.path]
    assert sorted(one["status"] for one in api.workflows.values()) == ["Completed", "Failed"]
    assert nothing_is_left()
