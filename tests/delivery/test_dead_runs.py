"""The ends that a dead process owes: which, with what in them, and whatever its clock said."""

from __future__ import annotations

import json
import os

import pytest
from support.processes import dies, files_of_ours
from support.written import NAME, WrittenRun, drain, said

from dotflow.delivery import dead_letters
from dotflow.delivery.dead.adopted import ends_owed
from dotflow.delivery.http.bulk import run_headers
from dotflow.delivery.message import Delivered, Refused
from dotflow.delivery.outbox import Outbox
from dotflow.runlog import files, lines
from dotflow.runlog.writer import RunLog

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

DAY = 86_400
CLOCKS = [0, -5 * 365 * DAY, 1e9, 4e9, 253402300800 + DAY, -62135596800 - DAY, 1e18, -1e18]
"""Seconds since the epoch: also before it, in the year 10000, and nowhere."""


def left_by(write, delivered=0, refused=0):
    """Have a process write, deliver and have refused so many messages, and be killed."""

    def work(_):
        outbox = Outbox(NAME)
        write(WrittenRun())
        outbox.read()
        for outcome in [Delivered()] * delivered + [Refused(422, "no")] * refused:
            outbox.settle(outbox.claim(1), [outcome])

    dies(work)


def delivered_by_the_next():
    log = RunLog()
    outbox = Outbox(NAME, log)
    outbox.care()
    found = drain(outbox)
    outbox.close()
    log.close()
    return found


def bodies(messages):
    return {(one.workflow, one.task): json.loads(one.body) for one in messages}


def fact(kind, n, at=0, **more):
    return {"f": kind, "n": n, "w": "w", "r": 1, "to": {}, "at": at, **more}


def test_a_refused_end_is_a_dead_letter_before_the_run_is_done(monkeypatch):
    """A process that dies as it is about to bury a message leaves it to the next one."""

    def two_runs(_):
        outer, inner = WrittenRun(), WrittenRun()
        outer.created().began()
        inner.began(again=True).ended()

    dies(two_runs)

    def dies_here(*_):
        raise KeyboardInterrupt

    def deliver():
        outbox.care()
        while claimed := outbox.claim(1):
            [flight] = claimed
            is_inner_end = flight.message.final and not flight.message.is_posthumous
            outbox.settle(claimed, [Refused(422, "no") if is_inner_end else Delivered()])

    monkeypatch.setattr("dotflow.delivery.outbox._bury", dies_here)
    log = RunLog()
    outbox = Outbox(NAME, log)
    with pytest.raises(KeyboardInterrupt):
        deliver()
    written = [one.read_text() for one in files.folder().glob("*.receipts")]
    assert any('"said"' in one for one in written)
    assert not any("run done" in one for one in written)
    log.close()


def test_a_task_fails_with_what_was_known_of_it():
    """The end has the seven fields, the errors so far and one more, which says what happened."""
    left_by(lambda run: run.began(1).task_began(1).retried(1))
    found = bodies(delivered_by_the_next())["w", 1]
    assert [one["exception"] for one in found["errors"]] == ["OSError", "ProcessEnded"]
    assert "last seen at 20" in found["errors"][1]["message"]
    assert (found["status"], found["retry_count"]) == ("Failed", 1)
    assert found["duration"] >= 0
    assert (found["initial_context"], found["previous_context"]) == ({"a": 1}, [2])
    assert len(found) == 7


@pytest.mark.parametrize("last_seen", CLOCKS)
@pytest.mark.parametrize("at", CLOCKS)
def test_any_clock(at, last_seen):
    """A clock that jumps makes no end late, negative, or impossible."""
    began = int(at * 1e9)
    owed = ends_owed(
        [fact(lines.RUN_BEGAN, 1, began), fact(lines.TASK_BEGAN, 2, began, t=1)], last_seen
    )
    assert [one["f"] for one in owed] == [lines.TASK_ENDED, lines.RUN_ENDED]
    assert all(one["duration"] >= 0 for one in owed)


@pytest.mark.parametrize("mtime", [-(2**31), 0, 253402300800 + DAY])
def test_files_of_any_time(mtime):
    """The times of the files themselves may be anything."""
    left_by(lambda run: run.began(1).task_began(1))
    for one in files_of_ours(files.state_dir()):
        os.utime(one, (mtime, mtime))
    assert said(delivered_by_the_next())["w", 1] == "Failed"


def test_which_ends_are_owed():
    """Of what is under way, and of nothing else; a task that was only posted stays as it is."""
    left_by(
        lambda run: run.created().added(1, 2, 3).began(1, 2, 3).task_began(1).task_ended(1)
        .task_began(2).retried(2), delivered=1,
    )  # fmt: skip
    assert said(delivered_by_the_next()) == {
        ("w", None): "Failed", ("w", 1): "Completed", ("w", 2): "Failed", ("w", 3): "Not started",
    }  # fmt: skip


def test_a_status_that_was_refused_owes_its_end():
    """The server did not want to know that it goes on; that it ended is another report."""
    left_by(lambda run: run.began(1).task_began(1), delivered=1, refused=1)
    assert said(delivered_by_the_next()) == {("w", 1): "Failed", ("w", None): "Failed"}
    [letter] = dead_letters.all_letters()
    assert letter.message.task == 1


def test_a_run_that_ended_owes_nothing():
    """Where the end of the workflow is there, what it says is left as it is."""
    left_by(lambda run: run.began().ended(), delivered=1)
    assert said(delivered_by_the_next()) == {("w", None): "Completed"}


def test_a_run_whose_end_was_delivered_leaves_nothing():
    """Nothing of a run is kept once its end has arrived."""
    left_by(lambda run: run.began(1).task_began(1).task_ended(1).ended(), delivered=3)
    assert delivered_by_the_next() == []
    assert files.logs() == {}


def test_an_end_that_was_said_is_not_owed_whatever_the_disk_lost():
    """Where only the receipt is left of an end, it is known that there was one."""
    facts = [fact(lines.RUN_BEGAN, 1), fact(lines.TASK_BEGAN, 2, t=1)]
    receipt = {"k": "said", "t": 1, "n": 9, "end": True}
    [owed] = ends_owed(facts, 5.0, [receipt])
    assert (owed["f"], owed["n"]) == (lines.RUN_ENDED, 10)
    assert ends_owed(facts, 5.0, [{"k": "said", "n": 9, "end": True}]) == []


def test_whoever_finishes_says_the_same():
    """The ends follow from the log alone: two processes that derive them use the same keys."""
    left_by(lambda run: run.began(1).task_began(1))
    keys = []

    def deliver(say):
        outbox = Outbox(NAME)
        outbox.care()
        outbox.read()
        while flights := outbox.claim(1):
            say(flights[0].message.id)
            outbox.settle(flights, [Delivered()])

    # The second finds no receipts: those of the first are lost.
    saved = {path: path.read_bytes() for path in files.folder().iterdir()}
    keys = dies(deliver)
    for path in files.folder().iterdir():
        path.unlink()
    for path, data in saved.items():
        path.write_bytes(data)
        path.chmod(0o600)
        os.utime(path, (1e9, 1e9))
    assert [one.task for one in delivered_by_the_next()] == [None, 1, None]
    assert len(keys) == 3


@pytest.mark.parametrize(
    ("policy", "delivered", "is_heard"),
    [("default", 3, False), ("default", 4, True), ("otel", 1, True), ("otel", 2, True)],
)
def test_an_end_says_whether_its_beginning_was_heard(policy, delivered, is_heard):
    """Of one that was not the end opens the record too: another run may have left it open."""

    def work(_):
        outbox = Outbox(NAME)
        run = WrittenRun(policy=policy)
        if policy == "default":
            run.created().added(1)
        run.began(1).task_began(1)
        outbox.read()
        for _ in range(delivered):
            outbox.settle(outbox.claim(1), [Delivered()])

    dies(work)
    [end] = [one for one in delivered_by_the_next() if one.task == 1 and one.final]
    assert end.is_posthumous
    names = set(run_headers(end))
    assert names == ({"Dotflow-Run"} if is_heard else {"Dotflow-Run", "Dotflow-Opens"})


@pytest.mark.parametrize("delivered", [3, 4])
def test_an_end_that_may_have_arrived_is_repeated_with_its_headers(delivered):
    """Whoever takes over what was taken over says what the one before had said."""
    left_by(lambda run: run.created().added(1).began(1).task_began(1), delivered=delivered)

    def adopt(tell):
        outbox = Outbox(NAME)
        outbox.care(at_once=True)
        [flight] = [one for one in outbox.claim(1) if one.message.task == 1]
        tell((flight.message.id, run_headers(flight.message)))

    sent = dies(adopt)
    [end] = [one for one in delivered_by_the_next() if one.task == 1]
    assert (end.id, run_headers(end)) == sent[0]
    assert len(run_headers(end)) == (2 if delivered == 3 else 1)
