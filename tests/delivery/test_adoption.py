"""What dead processes left is taken over by one process, once, and delivered as it was meant."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from support import adopters, written
from support.processes import Doomed, dies
from support.written import NAME, WrittenRun, drain, said

from dotflow.delivery import dead_letters
from dotflow.delivery.channel import outbox_name
from dotflow.delivery.dialect import Destination, Dialect
from dotflow.delivery.fold.bodies import Source
from dotflow.delivery.message import Delivered, Kind, Refused, TryLater
from dotflow.delivery.order.numbers import Numbers
from dotflow.delivery.order.unit import Unit
from dotflow.delivery.outbox import Outbox
from dotflow.runlog import files, life, lines
from dotflow.runlog.writer import RunLog

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@pytest.fixture
def outboxes():
    """Makes outboxes, each as in a process of its own: with a log of its own."""
    made = []

    def make():
        log = RunLog()
        made.append((Outbox(NAME, log), log))
        return made[-1][0]

    yield make
    for outbox, log in made:
        outbox.close()
        log.close()


@pytest.fixture
def adopter(outboxes):
    return outboxes()


def left_by(write, policy="default"):
    """Have a process write the facts of workflow `w`, and be killed."""
    dies(lambda _: write(WrittenRun(policy=policy)))


def statuses(messages, task):
    return [json.loads(one.body)["status"] for one in messages if one.task == task]


@pytest.mark.parametrize("processes", [2, 5])
def test_processes_that_start_at_once_share_what_is_left(api, processes):
    """Each workflow is adopted by one of them; nothing comes twice, nothing is left."""
    destination = Destination(api.url, adopters.TOKEN, Dialect.MANAGED)

    def write(_):
        for number in range(12):
            api.workflows[f"w{number}"] = {"id": f"w{number}", "status": "New"}
            run = WrittenRun(f"w{number}", "otel", name=outbox_name(destination))
            run.began(1, again=True).task_began(1)

    for number in range(12):
        api.workflows[f"w{number}"] = {"id": f"w{number}", "status": "New"}
    dies(write)
    tests = str(Path(adopters.__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, adopters.__file__, api.url, str(processes)],
        env={**os.environ, "PYTHONPATH": tests}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    keys = [seen.key for seen in api.seen]
    assert len(keys) == len(set(keys)) == 12 * 4
    assert {one["status"] for one in api.workflows.values()} == {"Failed"}
    assert {one["status"] for one in api.tasks.values()} == {"Failed"}


def test_a_run_that_is_resumed_under_its_id(outboxes):
    """The new run's word counts; what it does not report of the old one fails."""
    left_by(
        lambda run: run.began(1, 2, 3, managed=True)
        .task_began(1).task_ended(1).task_began(2, 3)
    )  # fmt: skip
    outbox = outboxes()
    run = WrittenRun(log=outbox._log).began(2, managed=True, again=True)
    run.task_began(2).task_ended(2).ended()
    delivered = drain(outbox)
    assert said(delivered) == {
        ("w", None): "Completed", ("w", 1): "Completed", ("w", 2): "Completed", ("w", 3): "Failed",
    }  # fmt: skip
    assert statuses(delivered, 2) == ["Completed"]
    assert statuses(delivered, None)[-1] == "Completed"


def test_two_dead_runs_of_one_workflow_go_in_their_order(adopter):
    """The older one's words go first; what it was in the middle of is void."""
    left_by(lambda run: run.created().added(1).began(1).task_began(1).task_ended(1))
    left_by(lambda run: run.began(1, managed=True).task_began(1))
    adopter.care()
    delivered = drain(adopter)
    assert delivered[0].kind is Kind.WORKFLOW_POST
    assert statuses(delivered, 1) == ["Not started", "Failed"]
    assert statuses(delivered, None) == ["New", "In progress", "Failed"]


def test_a_run_before_the_last_start_of_the_machine_goes_first(adopter, monkeypatch):
    """The clock that puts runs in order begins anew then: the later run has the smaller number."""
    with monkeypatch.context() as before:
        before.setattr(life, "_boot_id", "another")
        before.setattr(written, "CLOCK", time.CLOCK_REALTIME)  # a far greater number
        left_by(lambda run: run.began(1, 2, managed=True).task_began(1, 2))
    again = {"managed": True, "again": True}
    left_by(lambda run: run.began(1, 2, **again).task_began(1).task_ended(1).ended())
    adopter.care()
    delivered = drain(adopter)
    assert statuses(delivered, 1) == ["Completed"]
    assert statuses(delivered, None)[-1] == "Completed"


def test_a_run_that_began_before_makes_none_void_that_was_taken_over_first(adopter, monkeypatch):
    """Two processes lived at a time: the one that began last was killed first, and ends too."""
    with monkeypatch.context() as later:
        later.setattr(written, "CLOCK", time.CLOCK_REALTIME)
        left_by(lambda run: run.began(1, managed=True, again=True).task_began(1))
    adopter.care()
    left_by(lambda run: run.began(managed=True, again=True).ended())
    adopter.care(at_once=True)
    assert "Failed" in statuses(drain(adopter), None)


@pytest.mark.parametrize("policy", ["default", "otel"])
def test_the_record_is_made_before_those_of_tasks(outboxes, policy):
    """A dead run's tasks are reported after the call that may have to make the workflow's record.

    The server has heard of neither run, and the id came from outside.
    """
    known = {"managed": True, "again": True}
    left_by(lambda run: run.began(1, 2, **known).added(1, 2).task_began(1, 2), policy)
    outbox = outboxes()
    WrittenRun(policy=policy, log=outbox._log).began(1, 2, **known).task_began(1, 2)
    delivered = drain(outbox)
    assert delivered[0].kind is Kind.WORKFLOW_OPEN
    assert sum(one.kind is Kind.TASK_POST for one in delivered) >= 2
    assert said(delivered)["w", None] == "In progress"


@pytest.mark.parametrize("is_there", [True, False])
def test_an_opening_is_left_out_if_the_record_is_there(is_there):
    """What a living run has opened is not opened again by a dead one's late words."""
    unit = Unit(Source("log", 1, "w", "otel"), Counter())
    unit.take({"f": lines.RUN_BEGAN, "n": 1, "w": "w", "r": 1, "known": True, "title": "name"}, 0)
    unit.take({"f": lines.TASK_BEGAN, "n": 2, "w": "w", "r": 1, "t": 1, "at": 5}, 0)
    unit.leave_out(Numbers(), is_over=True, is_there=is_there)
    assert unit.owes_first is not is_there
    assert unit.owes  # the task is reported in both cases


def test_an_opening_that_was_left_out_makes_no_record(outboxes):
    """Of two dead runs that a later one makes void, the first one's is not there for the second."""
    known = {"managed": True, "again": True}

    def write(run):
        run.began(1, **known)
        WrittenRun(policy="otel").began(1, **known).task_began(1)

    left_by(write, "otel")
    outbox = outboxes()
    outbox.care()
    WrittenRun(policy="otel", log=outbox._log).began(1, **known)
    outbox.read()
    assert next(one.kind for one in drain(outbox)) is Kind.WORKFLOW_OPEN


def test_only_adding_a_task_makes_no_earlier_state_void(adopter):
    """A later run that has added a task, and not begun it, has said nothing of its state."""
    left_by(lambda run: run.created().added(1).began(1).task_began(1).task_ended(1))
    left_by(lambda run: run.created(managed=True).added(1).began(1, managed=True))
    adopter.care()
    assert "Completed" in statuses(drain(adopter), 1)


def test_a_workflow_that_a_living_process_adopted_is_resumed_by_a_third(outboxes):
    """The third waits for the call that is under way, and the adopter sends no more."""
    left_by(lambda run: run.created().added(1, 2).began(1, 2).task_began(1, 2))
    unrelated, third = outboxes(), outboxes()
    unrelated.care()
    unrelated.read()
    [post] = unrelated.claim(9)
    run = WrittenRun(log=third._log).began(1, 2, managed=True, again=True).task_began(1, 2)
    third.read()
    assert third.claim(9) == []
    unrelated.settle([post], [Delivered()])
    assert unrelated.claim(9) == []
    run.task_ended(1, 2).ended()
    delivered = drain(third)
    assert post.message.id not in {one.id for one in delivered}
    assert said(delivered) == {
        ("w", None): "Completed", ("w", 1): "Completed", ("w", 2): "Completed",
    }  # fmt: skip
    assert drain(unrelated) == []


def test_a_younger_log_goes_to_whoever_has_the_older_one(outboxes):
    """One process alone sees to a workflow: else its words would go in no order."""
    left_by(lambda run: run.created())
    first, second = outboxes(), outboxes()
    first.care()
    left_by(lambda run: run.began(1, managed=True).task_began(1))
    second.care()
    assert drain(second) == []
    first.care(at_once=True)
    assert said(drain(first)) == {("w", None): "Failed", ("w", 1): "Failed"}


def test_what_may_have_arrived_is_repeated_by_the_next(outboxes, adopter):
    """A message without an answer goes again as it was, before anything newer of its record."""
    sent = []

    def write(_):
        outbox = Outbox(NAME)
        run = WrittenRun().began(1).task_began(1)
        outbox.read()
        [opening] = outbox.claim(9)
        outbox.settle([opening], [Delivered()])
        [patch] = outbox.claim(9)
        run.task_ended(1)
        _((patch.message.id, patch.message.body))

    sent = dies(write)
    adopter.care()
    patches = [(one.id, one.body) for one in drain(adopter) if one.task == 1]
    assert patches[0] == sent[0]
    assert json.loads(patches[1][1])["status"] == "Completed"


def test_a_run_within_that_of_a_living_process(outboxes):
    """If that process dies, what it has said is not void; its end goes after the inner run's."""
    outer = Doomed(lambda _: WrittenRun().began(1, 2).task_began(1, 2).task_ended(1))
    while not list(files.folder().glob("*.log")) or len(_lines()) < 6:
        pass
    inner = outboxes()
    run = WrittenRun(log=inner._log).began(1, managed=True).task_began(1)
    inner.read()
    outer.dies()
    inner.care(at_once=True)
    run.task_ended(1).ended()
    delivered = drain(inner)
    assert said(delivered)["w", 2] == "Failed"
    heads = [one for one in delivered if one.task is None and one.final]
    assert [json.loads(one.body)["status"] for one in heads] == ["Completed", "Failed"]
    assert [one.is_posthumous for one in heads] == [False, True]


def _lines():
    return [
        line for path in files.folder().glob("*.log") for line in path.read_bytes().split(b"\n")
    ]


def test_tasks_of_a_run_that_never_began_are_said_as_they_are(adopter):
    """Where no run came to give them other numbers, they are posted under those they have."""
    left_by(lambda run: run.created(managed=True).added(1, 2), "managed")
    adopter.care()
    assert said(drain(adopter)) == {("w", 1): "Not started", ("w", 2): "Not started"}
    adopter.care(at_once=True)
    assert files.logs() == {}


def test_a_task_that_was_refused_stays_refused(outboxes):
    """The next process too changes no record that the server would not make."""

    def write(_):
        outbox = Outbox(NAME)
        WrittenRun().created().added(1)
        outbox.read()
        outbox.settle(outbox.claim(1), [Delivered()])
        outbox.settle(outbox.claim(1), [Refused(422, "no")])
        WrittenRun().began(1).task_began(1).task_ended(1).ended()

    dies(write)
    adopter = outboxes()
    adopter.care()
    assert {one.task for one in drain(adopter)} == {None}
    assert {one.message.kind for one in dead_letters.all_letters()} == {
        Kind.TASK_POST, Kind.TASK_PATCH,
    }  # fmt: skip


def test_a_delivered_log_is_deleted_while_the_process_lives(adopter):
    """Nothing of a dead process is kept once it is delivered."""
    left_by(lambda run: run.added(1))
    adopter.care()
    drain(adopter)
    adopter.care(at_once=True)
    assert adopter._log.id not in files.logs()
    assert files.logs() == {}
    assert not adopter._adoption._adopted


def test_a_log_that_two_processes_deliver_is_deleted(outboxes):
    """Each has said all of its workflows; whoever sees that both are done deletes it."""

    def write(_):
        WrittenRun("a").added(1)
        WrittenRun("b").added(1)

    dies(write)
    first, second = outboxes(), outboxes()
    first.care()
    WrittenRun("b", log=second._log).began(managed=True).ended()
    assert {one.workflow for one in drain(second)} == {"b"}
    assert {one.workflow for one in drain(first)} == {"a"}
    first.care(at_once=True)
    second.care(at_once=True)
    assert set(files.logs()) <= {first._log.id, second._log.id}


def test_one_bad_log_holds_up_no_other(adopter):
    """A log that cannot be understood is left; what comes after it is delivered."""
    left_by(lambda run: run.added(1))
    [bad] = [path for paths in files.logs().values() for path in paths]
    left_by(lambda run: run.added(2))
    bad.write_bytes(b"this is no log, and never was" * 100)
    adopter.care()
    assert [one.task for one in drain(adopter)] == [2]


def test_dead_letters_that_cannot_be_kept_hold_up_nothing(adopter):
    """Where the file of all dead letters is damaged, what waits is delivered all the same."""
    left_by(lambda run: run.added(1, 2))
    (files.folder() / dead_letters.FILE).write_bytes(b"damaged" * 1000)
    adopter.care()
    adopter.read()
    [first] = adopter.claim(1)
    adopter.settle([first], [Refused(422, "no")])
    assert [one.task for one in drain(adopter)] == [2]


def test_the_ids_of_a_dead_process_are_known(adopter):
    """The server's id of a task is there for the message that its process had no time to send."""

    def write(_):
        outbox = Outbox(NAME)
        WrittenRun().added(1)
        drain(outbox)
        WrittenRun().began(1).task_began(1).task_ended(1)

    dies(write)
    adopter.care()
    assert adopter.lanes.ids.get("w", 1) == "srv-1"


def test_who_dies_while_it_delivers_leaves_the_rest(outboxes):
    """The next one goes on behind what was answered, under the same keys."""
    left_by(lambda run: run.created().added(1).began(1).task_began(1))
    first = []

    def deliver(say):
        outbox = Outbox(NAME)
        outbox.care()
        outbox.read()
        for _ in range(2):
            [flight] = outbox.claim(1)
            say(flight.message.id)
            outbox.settle([flight], [Delivered("srv-1")])
        [flight] = outbox.claim(1)
        outbox.settle([flight], [TryLater("lost", everywhere=True)])
        say(flight.message.id)

    first = dies(deliver)
    heir = outboxes()
    heir.care()
    delivered = drain(heir)
    assert delivered[0].id == first[2]
    assert not {one.id for one in delivered} & set(first[:2])
    assert said(delivered) == {("w", None): "Failed", ("w", 1): "Failed"}
