"""The files themselves: damaged, foreign, forked under; and what lies in them for the next."""

from __future__ import annotations

import gc
import itertools
import os
import random
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from support import forks
from support.outbox_contract import (
    drain,
    message,
    task_patch,
    task_post,
    workflow_patch,
    workflow_post,
)
from support.processes import dies, left_by, running

from dotflow.delivery import state
from dotflow.delivery.message import Delivered, Kind, Refused
from dotflow.delivery.outbox import Outbox

NAME = "a destination"


@pytest.fixture
def adopter():
    outbox = Outbox(NAME)
    yield outbox
    outbox.close()


def damage(path, kind):
    """Make a file another one."""
    for end in state.BESIDE:
        path.with_name(path.name + end).unlink(missing_ok=True)
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "noise":
        path.write_bytes(random.Random(1).randbytes(20_000))
    elif kind == "half":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2 + 100])
    elif kind == "torn":
        content = bytearray(path.read_bytes())
        content[4096:12_000] = random.Random(2).randbytes(12_000 - 4096)
        path.write_bytes(content)
    else:
        with sqlite3.connect(path) as connection:
            connection.executescript(kind)
        connection.close()


DAMAGES = [
    "empty", "noise", "half", "torn", "drop table message", "drop table about",
    "update about set value = '99' where name = 'format'",
    "update message set kind = 'a kind of next year'",
    "update message set workflow = x'ff'",
    "update message set number = number + 9223372036854775000",
    "drop table message; create table message (number)",
]  # fmt: skip


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_file_is_nobodys_end(adopter, caplog, kind):
    """It is left as it is, or emptied as far as it can be; others are delivered, nothing raises."""
    [bad] = left_by(NAME, *[task_post(task) for task in range(50)])
    damage(bad, kind)
    left_by(NAME, task_post(77))
    for _ in range(2):
        adopter.care(at_once=True)
    assert 77 in [one.task for one in drain(adopter)]
    assert sum(str(bad) in one.getMessage() for one in caplog.records) <= 1


def test_a_newer_format_is_left_for_a_newer_version(adopter):
    """What this version does not understand it neither changes nor deletes."""
    [path] = left_by(NAME, task_post(1))
    damage(path, "update about set value = '99' where name = 'format'")
    adopter.care()
    adopter.close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("select count(*) from message").fetchone() == (1,)
    connection.close()


def test_a_file_damaged_while_its_owner_lives(caplog):
    """The run goes on; what cannot be read any more is counted as dead, with a line."""
    outbox = Outbox(NAME)
    outbox.put(task_post(1))
    outbox._store._connection.execute("delete from message")
    assert outbox.claim() == []
    assert outbox.counts().dead == 1
    assert outbox.put(task_post(2))
    assert len(drain(outbox)) == 1
    assert "cannot be read" in caplog.text
    outbox.close()


def test_odd_texts_survive():
    """An id with half a surrogate pair, a NUL or no end is the same for the next process."""
    wids = ["\ud800", "a\x00b", "ü/../?", "x" * 255]
    left_by(NAME, *[workflow_post(wid) for wid in wids])
    outbox = Outbox(NAME)
    outbox.care()
    assert [one.workflow for one in drain(outbox)] == wids
    outbox.close()


def test_a_task_number_that_no_file_holds():
    """A number beyond 64 bits is delivered from memory."""
    outbox = Outbox(NAME)
    post = task_post(2**70)
    assert outbox.put(post)
    assert drain(outbox) == [post]
    outbox.close()


def ids_found(adopter):
    adopter.care()
    return {
        one.task: adopter.server_id(one) for one in drain(adopter) if one.kind is Kind.TASK_PATCH
    }


def test_the_id_of_a_task_that_is_run_again(adopter):
    """A second run in one process, killed, is ended under the id that the first one's POST got."""

    def work(_):
        outbox = Outbox(NAME)
        outbox.put(task_post(1))
        outbox.put(workflow_patch("w", True, status="Completed"))
        [post] = outbox.claim()
        outbox.settle(post, Delivered("srv-1"))
        drain(outbox)
        outbox.put(running(message(Kind.WORKFLOW_OPEN, "w", status="In progress")))
        outbox.put(running(task_patch(1, status="In progress")))

    dies(work)
    assert ids_found(adopter) == {1: "srv-1"}


def test_the_id_of_a_parents_task(adopter):
    """What a forked child says of its parent's task finds that, also when the child is killed."""
    outbox = Outbox(NAME)
    outbox.put(task_post(1))
    [post] = outbox.claim()
    outbox.settle(post, Delivered("srv-1"))

    def work(_):
        outbox.after_fork()
        outbox.put(task_patch(1, status="Completed"))

    dies(work)
    assert ids_found(adopter) == {1: "srv-1"}
    outbox.close()


def test_an_update_that_gave_way_is_not_forgotten():
    """A task whose last update was dropped for room is under way all the same: its end is owed."""

    def work(say):
        outbox = Outbox(NAME, max_messages=1)
        outbox.put(running(task_patch(1, status="In progress")))
        drain(outbox)
        outbox.put(running(task_patch(1, status="Retry")))
        say(outbox.put(task_post(2)))
        say(outbox.counts().running)

    assert dies(work) == [True, 1]
    later = Outbox(NAME)
    later.care()
    assert [one.task for one in drain(later) if b"ProcessEnded" in one.body] == [1]
    later.close()


def test_who_is_killed_while_it_buries(adopter):
    """A PATCH whose POST was refused is never sent without one, wherever the kill comes."""
    first = task_post(1)

    def work(say):
        outbox = Outbox(NAME)
        outbox.put(first)
        outbox.put(task_patch(1, status="Completed"))
        [post] = outbox.claim()
        real = outbox._store.bury
        calls = itertools.count(1)

        def bury(*args):
            if next(calls) == 2:
                say("buries")
                signal.pause()  # it is killed here
            real(*args)

        outbox._store.bury = bury
        outbox.settle(post, Refused(422, "no"))

    assert dies(work, after=1) == ["buries"]
    adopter.care()
    assert adopter.claim(9) == [first]


def test_an_outbox_that_nobody_holds_takes_no_descriptor():
    """A program that makes outbox after outbox does not run out of descriptors."""

    def use():
        outbox = Outbox(NAME)
        outbox.put(task_post(1))
        drain(outbox)

    use()
    gc.collect()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(5):
        use()
    gc.collect()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("count", [150, pytest.param(5000, marks=pytest.mark.soak)])
def test_forks_while_other_threads_are_in_sqlite(api, count):
    """No child hangs for a lock that a thread of its parent's held, and all is delivered whole."""
    environment = {**os.environ, "PYTHONPATH": str(Path(forks.__file__).parent.parent)}
    command = [sys.executable, forks.__file__, api.url, str(count)]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=60 + count
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "malformed" not in done.stderr
    children = {task for wid, task in api.tasks if wid == "child"}
    assert children == set(range(count))
    assert {one["status"] for one in api.tasks.values()} == {"Completed"}
    keys = [seen.key for seen in api.seen]
    assert len(keys) == len(set(keys))
