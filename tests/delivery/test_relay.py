"""The relay: order, backoff, pause."""

from __future__ import annotations

import time

import pytest
from support.fault_server import TOKEN, hang, reset, status
from support.reports import Reports, put_run, put_workflow
from support.runs import in_order

from dotflow.delivery.dialect import Dialect
from dotflow.delivery.order import lanes
from dotflow.delivery.order.server_ids import ServerIds
from dotflow.delivery.relay import patience


@pytest.mark.parametrize("dialect", list(Dialect))
def test_a_run_arrives_in_order(api, relays, dialect):
    """A run's messages arrive in an order that the server can follow."""
    relay = relays(api, dialect)
    put_run(relay, tasks=20)
    assert relay.flush(60).pending == 0
    assert in_order(api.history["w"])
    assert all(one["status"] == "Completed" for one in api.tasks.values())
    assert len(api.tasks) == 20


def test_many_workers_keep_the_order_when_things_go_wrong(api, relays, monkeypatch):
    """With faults of all kinds, and many runs at a time, each run still arrives whole, in order."""
    monkeypatch.setattr(lanes, "FIRST_DELAY", 0.01)
    monkeypatch.setattr(patience, "FIRST_PAUSE", 0.01)
    relay = relays(api, workers=8)
    for fault in (status(500), status(503), reset(), reset(effect=True), status(500, effect=True)):
        api.on("tasks", fault, times=10)
        api.on(".", fault, times=3)
    for number in range(10):
        put_run(relay, f"w{number}", tasks=6)
    api.wait_for(lambda: relay.flush(1).pending == 0)
    assert len(api.tasks) == 60
    for number in range(10):
        assert api.workflows[f"w{number}"]["status"] == "Completed"
        assert in_order(api.history[f"w{number}"])
    assert all(one["status"] == "Completed" for one in api.tasks.values())
    assert relay.counts().dead == 0


def test_several_tasks_go_at_a_time(api, relays):
    """One slow answer holds up its own record only."""
    relay = relays(api, Dialect.MANAGED)
    api.on("PATCH .*tasks/1$", hang)
    reports = Reports(relay).created().added(1, 2, 3, 4).began(4)
    for task in (1, 2, 3, 4):
        reports.task_began(task).task_ended(task)
    api.wait_for(lambda: all(api.tasks.get(("w", n), {}).get("status") for n in (2, 3, 4)), 0.9)


def test_a_repeat_has_the_same_key_and_another_body_another(api, relays, monkeypatch):
    """A message that is sent again is known by its Idempotency-Key."""
    monkeypatch.setattr(lanes, "FIRST_DELAY", 0.01)
    relay = relays(api)
    api.on("POST", reset(effect=True), times=1)
    put_workflow(relay).began().ended()
    relay.flush(60)
    first, again, *later = api.seen
    assert first.line == again.line == "POST /workflows"
    assert first.key == again.key
    assert len({first.key, *(one.key for one in later)}) == 1 + len(later) > 1


def test_413_is_sent_again_without_contexts(api, relays):
    """A body that is too large for the server goes without contexts, under another key."""
    relay = relays(api)
    reports = put_workflow(relay)
    relay.flush(60)
    api.on("POST .*tasks", status(413), times=1)
    reports.added(1, initial="x" * 1000).began(1).task_began(1).task_ended(1)
    assert relay.flush(60).pending == 0
    large, small, _ = (one for one in api.seen if "/tasks" in one.path)
    assert small.body["initial_context"] == {"message": "Context size exceeded"}
    assert small.key != large.key
    assert api.tasks["w", 1]["status"] == "Completed"
    assert relay.counts().dead == 0


def test_413_without_contexts_is_dead(api, relays, caplog):
    """What is too large also without contexts is counted as dead, and the rest goes on."""
    relay = relays(api)
    api.on("POST .*tasks", status(413))
    put_workflow(relay).added(1).began(1).ended()
    counts = relay.flush(3)
    assert (counts.pending, counts.dead) == (0, 1)
    assert "413" in caplog.text


def test_refused_messages_are_counted_and_named_once(api, relays, caplog):
    """What the server will never take is dead: one line with its reason, however many there are."""
    relay = relays(api)
    api.on("POST .*tasks", status(422, {"detail": "no such thing"}))
    put_workflow(relay).added(*range(5))
    counts = relay.flush(3)
    assert (counts.pending, counts.dead, counts.delivered) == (0, 5, 1)
    assert caplog.text.count("no such thing") == 1


def test_a_refused_token_pauses_and_mending_goes_on(api, relays, caplog):
    """401 keeps everything, names the variable once, and does not ask again for minutes."""
    relay = relays(api)
    api.on(".", status(401))
    put_run(relay)
    api.wait_for(lambda: api.seen)

    def is_at_rest():
        asked = len(api.seen)
        time.sleep(0.7)
        return len(api.seen) == asked

    api.wait_for(is_at_rest)
    assert len(api.seen) <= 4
    assert caplog.text.count("DOTFLOW_USER_TOKEN") == 1
    assert TOKEN not in caplog.text
    assert relay.counts().dead == 0
    api.well()
    assert relay.flush(60).pending == 0
    assert in_order(api.history["w"])


def test_flush_does_not_wait_for_what_cannot_be(api, relays):
    """Where the token is refused a flush ends when that is known, not when its time is up."""
    relay = relays(api)
    api.on(".", status(403))
    put_run(relay)
    started = time.monotonic()
    assert relay.flush(60).pending > 0
    assert time.monotonic() - started < 30


def test_a_server_that_comes_back_gets_everything(api, relays, monkeypatch, caplog):
    """After an outage all goes on, in order, with one line about it."""
    monkeypatch.setattr(patience, "FIRST_PAUSE", 0.05)
    relay = relays(api)
    api.on(".", status(503))
    put_run(relay)
    api.wait_for(lambda: len(api.seen) > 2)
    api.well()
    api.wait_for(lambda: relay.counts().pending == 0)
    assert in_order(api.history["w"])
    assert caplog.text.count("and are sent later") == 1


def test_an_outage_is_not_hammered(api, relays):
    """While the server says 503, requests come ever more seldom, however many messages wait."""
    relay = relays(api, workers=2)
    api.on(".", status(503))
    for number in range(200):
        put_workflow(relay, f"w{number}")
    time.sleep(1.2)
    assert len(api.seen) <= 8


def test_a_server_that_fails_everything_is_not_hammered(api, relays):
    """Also where each answer is a 500, many in a row speak of the server."""
    relay = relays(api, workers=2)
    api.on(".", status(500))
    for number in range(200):
        put_workflow(relay, f"w{number}")
    time.sleep(1.0)
    assert len(api.seen) <= 20


def test_retry_after_is_honoured_also_by_flush(api, relays):
    """A server that asks for time gets it, also when somebody flushes."""
    relay = relays(api)
    api.on(".", status(429, Retry_After="1"), times=1)
    put_workflow(relay)
    relay.flush(60)
    first, second = api.seen
    assert second.at - first.at >= 0.95


def test_a_retry_after_without_sense_does_no_harm(api, relays):
    """A wait of thousands of years neither ends the threads nor holds up a flush."""
    relay = relays(api)
    api.on("POST /workflows$", status(429, Retry_After="9" * 30), times=1)
    put_workflow(relay)
    started = time.monotonic()
    assert relay.flush(60).pending == 1
    assert time.monotonic() - started < 30
    assert relay._worker.is_running


@pytest.mark.parametrize("answer", [status(201, effect=True), status(409, {"detail": "exists"})])
def test_a_task_without_an_id_among_those_with_one(api, relays, answer):
    """Its changes name the workflow: under its number there may be somebody else's task."""
    relay = relays(api)
    put_run(relay, "first", tasks=1)
    relay.flush(30)
    api.on("POST /workflows/second/tasks", answer, times=1)
    api.tasks["second", 1] = {"id": 1}
    put_run(relay, "second", tasks=1)
    api.wait_for(lambda: relay.flush(1).pending == 0, 30)
    changes = [line for line in api.lines() if line.startswith("PATCH") and "tasks" in line]
    assert [line for line in changes if "srv-1" not in line]
    assert not [line for line in changes if line == "PATCH /tasks/1"]
    assert api.tasks["second", 1]["status"] == "Completed"
    assert api.tasks["first", 1]["status"] == "Completed"


def test_a_server_without_ids_of_its_own(api, relays):
    """Where no answer names a task, its number does."""
    relay = relays(api)
    api.on("POST /workflows/w/tasks", status(201, effect=True))
    api.on("PATCH /tasks/1", status(200))
    put_run(relay, tasks=1)
    api.wait_for(lambda: relay.flush(1).pending == 0, 30)
    changes = {line for line in api.lines() if line.startswith("PATCH") and "tasks" in line}
    assert changes == {"PATCH /tasks/1"}


def test_an_id_that_is_known_stays():
    """An answer that says none takes none away."""
    ids = ServerIds()
    ids.add("w", 1, "srv-1")
    ids.add("w", 1, "")
    ids.add("w", 2, "")
    assert (ids.get("w", 1), ids.get("w", 2)) == ("srv-1", "")
    ids.add("w", 2, "srv-2")
    assert ids.get("w", 2) == "srv-2"
