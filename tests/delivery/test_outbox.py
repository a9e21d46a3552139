"""The outbox: what is written is said once, in order, and forgotten."""

from __future__ import annotations

import json
import sys
import time
import tracemalloc

import pytest
from support.written import NAME, WrittenRun, drain

from dotflow.abc import facts
from dotflow.delivery import dead_letters
from dotflow.delivery.message import Delivered, Instead, Kind, NotSent, Refused, TryLater
from dotflow.delivery.order.lanes import FIRST_DELAY
from dotflow.delivery.order.server_ids import ServerIds
from dotflow.delivery.outbox import Outbox
from dotflow.runlog import files, writer
from dotflow.runlog.lines import RunLines
from dotflow.runlog.writer import RunLog


@pytest.fixture(params=["disk", "memory"])
def log(request, monkeypatch):
    """A run log of its own, on disk and in memory."""
    if request.param == "memory":
        monkeypatch.setenv("DOTFLOW_OUTBOX", "memory")
    made = RunLog()
    yield made
    made.close()


@pytest.fixture
def outbox(log):
    made = Outbox(NAME, log)
    yield made
    made.close()


@pytest.fixture
def run(log, outbox):
    return WrittenRun(log=log)


def claim(outbox, limit=9):
    outbox.read()
    return outbox.claim(limit)


def settle(outbox, flight, outcome):
    outbox.settle([flight], [outcome])


def kinds(flights):
    return [one.message.kind for one in flights]


def test_what_is_written_is_claimed_once(outbox, run):
    """A message that somebody claimed is nobody else's."""
    run.created()
    assert kinds(claim(outbox)) == [Kind.WORKFLOW_POST]
    assert claim(outbox) == []
    assert outbox.counts().pending == 1


def test_delivered_is_gone_and_counted(outbox, run):
    """What was delivered is not pending any more."""
    run.created()
    assert len(drain(outbox)) == 1
    counts = outbox.counts()
    assert (counts.pending, counts.delivered, counts.dead) == (0, 1, 0)


def test_a_refused_workflow_lets_the_next_go(outbox, run):
    """A message that is refused for good does not hold up its record."""
    run.created().began()
    [post] = claim(outbox)
    settle(outbox, post, Refused(422, "no"))
    assert kinds(claim(outbox)) == [Kind.WORKFLOW_PATCH]
    assert outbox.counts().dead == 1


def test_tasks_wait_for_their_workflow(outbox, run):
    """Nothing of a task goes before its workflow's POST is delivered."""
    run.created().added(1, 2)
    [first] = claim(outbox)
    assert first.message.kind is Kind.WORKFLOW_POST
    settle(outbox, first, TryLater("away", everywhere=True))
    [again] = claim(outbox)
    assert again.message == first.message
    settle(outbox, again, Delivered())
    assert {one.key for one in claim(outbox)} == {1, 2}


def test_tasks_wait_for_the_opening_of_a_run_from_outside(outbox, log):
    """Its first PATCH is to the tasks what a POST is; they get the numbers that the run gives."""
    run = WrittenRun(policy="managed", log=log).created(managed=True).added(1, 2)
    assert claim(outbox) == []
    assert outbox.counts().pending == 0
    run.began(101, 102, managed=True)
    [opening] = claim(outbox)
    assert opening.message.kind is Kind.WORKFLOW_OPEN
    post = opening.message._replace(kind=Kind.WORKFLOW_POST, id="another")
    settle(outbox, opening, Instead(post))
    [other] = claim(outbox)
    assert other.message == post
    settle(outbox, other, Delivered())
    assert [(one.message.kind, one.message.task) for one in claim(outbox)] == [
        (Kind.TASK_POST, 101), (Kind.TASK_POST, 102),
    ]  # fmt: skip


def test_a_task_is_posted_before_it_is_patched(outbox, run):
    """The messages of one record go one at a time, in their order."""
    run.created().added(1).began(1).task_began(1)
    assert [(one.kind, one.task) for one in drain(outbox)] == [
        (Kind.WORKFLOW_POST, None), (Kind.TASK_POST, 1), (Kind.WORKFLOW_PATCH, None),
        (Kind.TASK_PATCH, 1),
    ]  # fmt: skip


def test_tasks_do_not_wait_for_each_other(outbox, run):
    """One task that is under way, or has to wait, holds up no other."""
    run.added(1, 2)
    [one] = claim(outbox, 1)
    settle(outbox, one, TryLater("busy"))
    [other] = claim(outbox)
    assert {one.key, other.key} == {1, 2}


def test_the_end_waits_for_the_tasks(outbox, run):
    """A run's last message goes after all of its tasks', in a bulk too."""
    run.created().began(1).task_began(1).task_ended(1).ended()
    settle(outbox, claim(outbox)[0], Delivered())
    settle(outbox, claim(outbox)[0], Delivered())
    bulk = outbox.claim_bulk(9, 10**6)
    assert [one.key for one in bulk] == [1]
    outbox.settle(bulk, [TryLater("no", everywhere=True)])
    assert [one.key for one in claim(outbox)] == [1]


def test_workflows_do_not_wait_for_each_other(outbox, log):
    """One workflow's POST holds up no other workflow."""
    for workflow in ("a", "b"):
        WrittenRun(workflow, log=log).created().added(1)
    post = next(one for one in claim(outbox) if one.message.workflow == "a")
    settle(outbox, post, Delivered())
    assert [(one.message.workflow, one.key) for one in claim(outbox)] == [("a", 1)]


def test_what_was_never_sent_grows(outbox, run):
    """Of a task's states that nobody has claimed the last one is sent."""
    run.added(1).began(1).task_began(1).retried(1).task_ended(1)
    outbox.read()
    patch = drain(outbox)[-1]
    assert json.loads(patch.body)["status"] == "Completed"
    assert outbox.counts().pending == 0


@pytest.mark.parametrize("outcome", [TryLater("lost", everywhere=True), TryLater("lost")])
def test_what_may_have_arrived_is_repeated_unchanged(outbox, run, outcome):
    """What was sent stays as it is until it is answered; what came meanwhile goes behind it."""
    run.began(1).task_began(1)
    settle(outbox, claim(outbox)[0], Delivered())
    [sent] = claim(outbox)
    run.task_ended(1)
    settle(outbox, sent, outcome)
    outbox.lanes.hurry()
    [again] = claim(outbox)
    assert again.message == sent.message
    settle(outbox, again, Delivered())
    assert [json.loads(one.body)["status"] for one in drain(outbox)] == ["Completed"]


def test_a_bulk_that_may_have_arrived_is_repeated_in_its_order(outbox, log):
    """Of a record's two messages in a bulk the POST is repeated first, and each as it was."""
    run = WrittenRun(policy="otel", log=log).began(1).task_began(1).task_ended(1)
    outbox.read()
    bulk = outbox.claim_bulk(9, 10**6)
    assert kinds(bulk) == [Kind.WORKFLOW_POST, Kind.TASK_POST, Kind.TASK_PATCH]
    outbox.settle(bulk, [Delivered(), Delivered("srv"), Delivered()])
    run.task_began(2).task_ended(2)
    outbox.read()
    bulk = outbox.claim_bulk(9, 10**6)
    outbox.settle(bulk, [TryLater("cut", everywhere=True)] * len(bulk))
    again = outbox.claim_bulk(9, 10**6)
    assert [one.message for one in again] == [one.message for one in bulk]
    outbox.settle(again, [Delivered()] * len(again))
    assert outbox.counts().pending == 0


def test_what_was_not_reached_in_a_bulk_goes_another_time(outbox, run):
    """What the server did not come to counts as not sent."""
    run.created().added(1, 2)
    outbox.read()
    bulk = outbox.claim_bulk(9, 10**6)
    outbox.settle(bulk, [Delivered(), NotSent(), NotSent()])
    assert {one.key for one in claim(outbox)} == {1, 2}


def test_a_run_started_again_keeps_the_end_of_the_first(outbox, run):
    """The end of a run is not merged away by the start of the next."""
    run.began().ended().began()
    assert [one.final for one in drain(outbox)] == [False, True, False]


def test_a_run_within_a_run(outbox, log):
    """What an inner run says of a record and what the outer one says go as they happened."""
    outer = WrittenRun(log=log).created().added(1).began(1).task_began(1)
    drain(outbox)
    inner = WrittenRun(log=log).began(1).task_began(1).task_ended(1, status="Failed")
    inner.ended("Failed")
    outer.task_ended(1).ended()
    delivered = drain(outbox, limit=9)
    tasks = [json.loads(one.body)["status"] for one in delivered if one.task]
    heads = [json.loads(one.body)["status"] for one in delivered if not one.task]
    assert tasks == ["Failed", "Completed"]
    assert heads == ["In progress", "Failed", "Completed"]


def test_a_run_within_a_run_waits_for_no_task_of_the_next(outbox, log):
    """A task is added before the run it is of begins: the run before it cannot wait for that."""
    outer = WrittenRun("w", "managed", log).began(managed=True)
    first = WrittenRun("w", "managed", log).created(managed=True).added(1).began(101, managed=True)
    drain(outbox)
    second = WrittenRun("w", "managed", log).created(managed=True).added(1)
    first.task_began(101).task_ended(101).ended()
    second.began(101, managed=True).task_began(101).task_ended(101, status="Failed").ended()
    outer.ended()
    delivered = drain(outbox, limit=9)
    statuses = [json.loads(one.body)["status"] for one in delivered if one.task]
    assert statuses == ["Completed", "Not started", "Failed"]
    assert outbox.counts().pending == 0


def test_try_later_waits_and_keeps_its_place(outbox, run):
    """A message that is tried later is due after a while, and a flush hurries it."""
    run.added(1)
    [post] = claim(outbox)
    settle(outbox, post, TryLater("busy"))
    assert claim(outbox) == []
    assert 0 < outbox.lanes.due_in() <= 1.3 * FIRST_DELAY
    outbox.lanes.hurry()
    assert [one.message for one in claim(outbox)] == [post.message]


def test_a_wait_that_the_server_asked_for_is_not_hurried(outbox, run):
    """Where the server said how long to wait, a flush does not come sooner."""
    run.added(1)
    [post] = claim(outbox)
    settle(outbox, post, TryLater("429", after=60))
    outbox.lanes.hurry()
    assert claim(outbox) == []
    assert 50 < outbox.lanes.due_in() <= 60


def test_waits_grow(outbox, run):
    """Each failure of one message doubles its wait, to a limit."""
    run.added(1)
    waits = []
    for _ in range(12):
        [post] = claim(outbox)
        settle(outbox, post, TryLater("busy"))
        assert claim(outbox) == []
        waits.append(outbox.lanes.due_in())
        outbox.lanes.hurry()
    assert waits[1] > 1.2 * waits[0]
    assert waits[3] > 4 * waits[0]
    assert max(waits) < 75


def test_due_in_is_none_when_nothing_can_become_due(outbox, run):
    """Where only others can let a message go, nobody has to look by the clock."""
    outbox.read()
    assert outbox.lanes.due_in() is None
    run.created().added(1)
    claim(outbox)
    assert claim(outbox) == []
    assert outbox.lanes.due_in() is None


def test_a_task_that_was_refused_is_never_changed(outbox, run):
    """Where the server made no record a PATCH would hit another: it is a dead letter."""
    run.created().added(1).began(1)
    settle(outbox, claim(outbox)[0], Delivered())
    [post] = claim(outbox)
    settle(outbox, post, Refused(422, "no"))
    run.task_began(1).task_ended(1).ended()
    assert {one.task for one in drain(outbox)} == {None}
    assert outbox.counts().dead == 2
    assert outbox.counts().pending == 0
    if outbox.is_durable:
        assert {one.message.kind for one in dead_letters.all_letters()} == {
            Kind.TASK_POST, Kind.TASK_PATCH,
        }  # fmt: skip


@pytest.mark.parametrize("in_bulk", [False, True])
def test_a_workflow_of_which_nothing_is_left_costs_no_other_its_turn(outbox, log, in_bulk):
    """Where a task was refused of whose run the log says no more, as a damaged one, others go."""
    other = WrittenRun("other", "managed", log).added(1)
    [post] = claim(outbox)
    other.task_began(1)
    settle(outbox, post, Refused(422, "no"))
    WrittenRun("w", log=log).created()
    outbox.read()
    claimed = outbox.claim_bulk(9, 10**6) if in_bulk else outbox.claim(9)
    assert [one.message.workflow for one in claimed] == ["w"]
    settle(outbox, claimed[0], Delivered())
    assert outbox.counts().pending == 0


def test_the_servers_id_outlives_the_run(outbox, run):
    """A workflow that is started again finds its tasks at the server."""
    run.created().added(1).began(1).task_began(1).task_ended(1).ended()
    drain(outbox)
    assert outbox.lanes.ids.get("w", 1) == "srv-1"
    assert outbox.lanes.ids.get("other", 1) is None


def test_nothing_is_left_of_many_runs(outbox, log):
    """A process that runs workflow after workflow holds nothing of those that ended."""
    for number in range(100):
        run = WrittenRun(f"w{number}", log=log).created().added(1).began(1)
        run.task_began(1).task_ended(1).ended()
        drain(outbox)
    lanes = outbox.lanes
    assert not list(lanes)
    assert not any((lanes._units, lanes._workflows, lanes._ready, lanes._later))
    assert lanes.pending == lanes.running == 0
    assert not +lanes.used


def test_a_finished_task_costs_few_bytes(outbox, run):
    """Of the tasks that are done a long run keeps a bit each, and the server's ids."""
    run.began()
    settle(outbox, claim(outbox)[0], Delivered())
    for task in range(2000):
        run.task_began(task).task_ended(task)
    assert len(drain(outbox, limit=8)) == 2000
    [unit] = list(outbox.lanes)
    assert not any((unit.tasks, unit.owing, unit.unanswered, unit.tries, unit._ready))
    assert 1999 in unit.spoken
    assert sys.getsizeof(unit.spoken._bits) + 64 * len(unit.spoken._bits) < 2000


def test_ids_of_the_oldest_runs_are_forgotten():
    """Of ended runs as many ids are kept as there is room for, of others all."""
    ids = ServerIds(max_kept=4)
    for workflow in "abc":
        for task in (1, 2):
            ids.add(workflow, task, f"{workflow}{task}")
    for workflow in "ab":
        ids.end(workflow)
    ids.begin("a")
    ids.end("c")
    assert ids.get("a", 1) == "a1"
    ids.end("a")
    assert ids.get("b", 1) is None
    assert (ids.get("c", 2), ids.get("a", 2)) == ("c2", "a2")


@pytest.mark.parametrize("in_bulk", [False, True])
def test_what_a_message_costs_does_not_grow(in_bulk):
    """Twice as many messages of one run take about twice as many calls."""
    assert calls_for(2000, in_bulk) < 2.5 * calls_for(1000, in_bulk)


def calls_for(messages, in_bulk):
    """How many Python functions the outbox calls to deliver so many messages of one run."""
    log = RunLog()
    outbox = Outbox(NAME, log)
    run = WrittenRun(log=log).created().added(*range(messages // 2)).began()
    for task in range(messages // 2):
        run.task_began(task).task_ended(task)
    run.ended()
    count = 0

    def profile(frame, event, arg):
        nonlocal count
        count += event == "call"

    sys.setprofile(profile)
    try:
        outbox.read()
        while flights := outbox.claim_bulk(500, 10**7) if in_bulk else outbox.claim(1):
            outbox.settle(flights, [Delivered("srv")] * len(flights))
            outbox.read()
            outbox.counts()
        outbox.claim(1)
    finally:
        sys.setprofile(None)
    assert outbox.counts().delivered >= messages
    outbox.close()
    log.close()
    return count


def test_a_file_that_goes_leaves_the_ids_behind(monkeypatch):
    """Where the log has rolled, the next process still knows how the server calls the tasks."""
    monkeypatch.setattr(writer, "SEGMENT_BYTES", 500)
    log = RunLog()
    outbox = Outbox(NAME, log)
    run = WrittenRun(log=log).created().added(1, 2)
    drain(outbox)
    log.segments[-1].append(b"\n" * 500)
    outbox.care()
    run.began(1, 2).task_began(1)
    outbox.read()
    names = {one.name[-10:] for one in files.folder().glob("*.log")}
    assert names == {"000002.log"}
    outbox.close()
    heir = Outbox(NAME, RunLog())
    heir.care()
    drain(heir)
    assert heir.lanes.ids.get("w", 2) == "srv-2"
    heir.close()


def test_a_file_that_others_still_need_is_not_read_anew(outbox, log, run, monkeypatch):
    """What was said of it stays said, while another destination is away and keeps the file."""
    log.read_by(files.reader_key("another"), "another")
    monkeypatch.setattr(writer, "IDLE_BYTES", 1)
    run.began(1).task_began(1).task_ended(1).ended()
    assert len(drain(outbox)) > 0
    log.roll(is_idle=True)
    assert len(log.segments) == 2
    for _ in range(3):
        assert claim(outbox) == []
        assert outbox.counts().pending == 0
        assert not outbox.has_news
    run.began(2)
    assert len(drain(outbox)) > 0


def test_a_plan_is_forgotten_once_it_is_said(outbox, log):
    """The plan of a run is as long as the run: nobody needs it after the first call."""
    run = WrittenRun(policy="otel", log=log)
    run.began(*range(1, 50)).task_began(1)
    [post] = claim(outbox)
    assert len(json.loads(post.message.body)["tasks"]) == 49
    assert post.unit.head.plan is not None
    settle(outbox, post, TryLater("busy"))
    assert post.unit.head.plan is not None
    settle(outbox, post, Delivered(None))
    assert post.unit.head.plan is None
    run.task_ended(1).ended()
    assert "tasks" not in json.loads(drain(outbox)[-1].body)


def test_a_plan_that_the_end_tells_is_kept_for_it(outbox, log):
    """What the first call could not say the last one does, however late the first is answered."""
    run = WrittenRun(policy="otel", log=log)
    run.began(1)
    [post] = claim(outbox)
    said = f',"title":"told","mode":"sequential","trace_id":"t","began":{time.time_ns()}'
    said += ',"plan":[[1,"step","default"],[2,"step","default"]]'
    fact = facts.RunEnded(facts.next_number(), run.run, time.time_ns(), 1.0, "Completed")
    line = RunLines("w", run.run, {outbox.key: "otel"}).run_ended(fact)
    log.append(line.replace(b',"w":', said.encode() + b',"w":'))
    outbox.read()
    settle(outbox, post, Delivered(None))
    [end] = claim(outbox)
    assert [one["id"] for one in json.loads(end.message.body)["tasks"]] == [1, 2]


def test_ids_are_kept_while_a_workflow_rests():
    """What the server gave is known before, while and after nothing is to be said of a workflow."""
    ids = ServerIds(max_kept=6)
    given = {task: f"srv-{task}-\ud800" for task in (1, 2, -3)}
    for task, one in given.items():
        ids.add("w", task, one)
    for turn in (ids.rest, ids.end, ids.rest, ids.begin, ids.end, ids.begin):
        turn("w")
        assert {task: ids.get("w", task) for task in given} == given
        assert ids.get("w", 4) is None
    ids.end("w")
    ids.add("w", 4, "srv-4")
    assert (ids.get("w", 1), ids.get("w", 4)) == (given[1], "srv-4")
    ids.begin("w")
    ids.rest("w")
    assert [task for _, task, _ in ids.known()] == [1, 2, -3, 4]
    ids.end("w")
    assert list(ids.known()) == []
    for task in range(3):
        ids.add("x", task, "y")
    ids.end("x")
    assert (ids.get("w", 1), ids.get("x", 1)) == (None, "y")
    assert not ids.end("never")


def test_ids_that_rest_take_little():
    """A process that reports for days has those of its last runs: 20,000 are about a megabyte."""
    ids = ServerIds()
    tracemalloc.start()
    try:
        for run in range(100):
            for task in range(100):
                ids.add(f"w{run}", task, f"{run:036d}-{task}")
            ids.end(f"w{run}")
        taken = tracemalloc.get_traced_memory()[0] / 10_000
    finally:
        tracemalloc.stop()
    assert taken < 70, f"{taken:.0f} bytes an id"
    assert ids.get("w7", 5) == f"{7:036d}-5"
