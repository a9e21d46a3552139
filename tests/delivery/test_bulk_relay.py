"""What a relay sends in bulks, and how a run ends whatever becomes of them."""

from __future__ import annotations

import json
import time

import pytest
from support.fault_server import TOKEN, garbage, hang, reset, status
from support.messages import workflow_post
from support.reports import Reports, put_run, put_workflow
from support.runs import in_order

from dotflow.delivery.dialect import Destination, Dialect
from dotflow.delivery.http.client import Client
from dotflow.delivery.order import lanes
from dotflow.delivery.relay import patience, rounds


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(lanes, "FIRST_DELAY", 0.02)
    monkeypatch.setattr(patience, "FIRST_PAUSE", 0.02)


@pytest.fixture
def relay(api, relays):
    """A relay that has seen that the server takes bulks."""
    return made(api, relays)


def made(api, relays, dialect=Dialect.DEFAULT, **kwargs):
    api.bulk = kwargs.pop("bulk", 100)
    client = Client(Destination(api.url, TOKEN, dialect, timeout=60))
    client.send(workflow_post("seen"))
    api.seen.clear()
    return relays(api, dialect, client=client, **kwargs)


def reported(relay, *workflows, tasks=20):
    """Report runs before anything is sent, as a program does that has much to do."""
    relay._worker._starting.acquire()  # nobody can start the relay's thread
    for workflow in workflows or ("w",):
        put_run(relay, workflow, tasks=tasks)
    relay._worker._starting.release()


def all_is_there(api, *workflows, tasks=20):
    for workflow in workflows or ("w",):
        assert in_order(api.history[workflow])
        states = [one["status"] for (owner, _), one in api.tasks.items() if owner == workflow]
        assert states == ["Completed"] * tasks
    return True


@pytest.mark.parametrize("dialect", list(Dialect))
def test_a_run_goes_in_few_calls(api, relays, dialect):
    """A backlog of one run takes a call or two, in an order that the server can follow."""
    relay = made(api, relays, dialect)
    reported(relay)
    counts = relay.flush(5)
    assert (counts.pending, counts.dead) == (0, 0)
    assert all_is_there(api)
    assert len(api.seen) <= 3
    assert counts.delivered >= 42


def test_no_bulk_before_the_server_says_so(api, relays):
    """The first call is a single one: only its answer tells that there are bulks."""
    api.bulk = 100
    relay = relays(api)
    reported(relay)
    assert relay.flush(60).pending == 0
    assert all_is_there(api)
    assert api.seen[0].line == "POST /workflows"
    assert any(one.line == "POST /bulk" for one in api.seen)


def test_single_calls_do_not_keep_bulks_away(api, relays):
    """A backlog goes in few calls though single ones had begun before bulks were known of."""
    api.bulk = 100
    relay = relays(api)
    reported(relay, tasks=300)
    assert relay.flush(60).pending == 0
    assert all_is_there(api, tasks=300)
    assert len(api.seen) <= 10


@pytest.mark.slow
def test_one_bulk_of_a_run_at_a_time(api, relays):
    """While a bulk of a run is under way nothing else of it is; other runs have theirs."""
    relay = made(api, relays, bulk=10)
    api.latency = 0.05
    reported(relay, "a", "b", "c")
    under_way, most = set(), []
    apply = api.apply

    def look(seen):
        owners = set()
        if seen.path == "/bulk":
            paths = [one["path"] for one in seen.body["items"]]
            bodies = [one["body"] for one in seen.body["items"]]
            owners = {
                path.split("/")[2] if path.count("/") > 1 else body["id"]
                for path, body in zip(paths, bodies, strict=True)
            }
        assert not owners & under_way
        under_way.update(owners)
        most.append(len(under_way))
        time.sleep(0.02)
        answer = apply(seen)
        under_way.difference_update(owners)
        return answer

    api.apply = look
    assert relay.flush(60).pending == 0
    assert all_is_there(api, "a", "b", "c")
    assert max(most) > 1
    assert max(map(len, api.bulks())) <= 10


def test_a_message_that_waits_goes_by_itself(api, relay):
    """One message needs no bulk."""
    put_workflow(relay)
    assert relay.flush(60).pending == 0
    assert api.lines() == ["POST /workflows"]


def test_a_body_that_does_not_fit_goes_alone(api, relay, monkeypatch):
    """A message that is larger than a bulk may be is sent by a single call."""
    monkeypatch.setattr(rounds, "BULK_BYTES", 20_000)
    relay._worker._starting.acquire()
    run = Reports(relay).created().added(1, 2, 3).began(3)
    for task in (1, 2, 3):
        run.task_began(task).task_ended(task, current="x" * (30_000 if task == 2 else 10))
    run.ended()
    relay._worker._starting.release()
    assert relay.flush(60).pending == 0
    assert all_is_there(api, tasks=3)
    large = [one for one in api.seen if len(one.raw) > 20_000]
    assert [one.line for one in large] == ["PATCH /tasks/srv-2"]


def test_many_small_messages_fit(api, relays):
    """What is around the bodies counts too: no bulk is larger than the server takes."""
    relay = made(api, relays, bulk=500)
    reported(relay, *(f"w{number}-" + "ż" * 200 for number in range(40)), tasks=5)
    assert relay.flush(60).pending == 0
    assert max(len(one.raw) for one in api.seen) < 5 * 2**20


FAULTS = {
    "500": status(500),
    "503": status(503),
    "503 with effect": status(503, effect=True),
    "429": status(429),
    "413": status(413),
    "404": status(404),
    "401": status(401),
    "307": status(307, Location="/elsewhere"),
    "reset": reset(),
    "reset after the effect": reset(effect=True),
    "garbage": garbage,
    "page": status(200, b"<html>", effect=True, Content_Type="text/html"),
    "nothing": status(200, {"items": []}),
    "half": lambda handler, seen: handler.answer(200, first_half(api_of(handler).apply(seen)), {}),
}


def api_of(handler):
    return handler.server.api


def first_half(answer):
    items = answer[1]["items"]
    return {"items": items[: len(items) // 2]}


@pytest.mark.parametrize("dialect", list(Dialect))
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_run_ends_well_whatever_becomes_of_its_bulks(api, relays, fault, dialect):
    """After a bulk that fails in any way the run arrives whole, in order, and nothing is dead."""
    relay = made(api, relays, dialect)
    api.on("POST /bulk", fault, times=2)
    reported(relay)
    api.wait_for(lambda: relay.flush(1).pending == 0)
    assert all_is_there(api)
    assert relay.counts().dead == 0
    assert len(api.history["w"]) == len(set(api.history["w"]))


@pytest.mark.parametrize("code", [500, 503, 413])
@pytest.mark.parametrize("pattern", ["POST /workflows$", "POST .*tasks$", "PATCH .*tasks", "PATCH"])
def test_a_run_ends_well_whatever_becomes_of_its_items(api, relay, pattern, code):
    """After items that fail for a while the run arrives whole, in order."""
    api.on_item(pattern, code, times=3)
    reported(relay, "a", "b")
    api.wait_for(lambda: relay.flush(1).pending == 0)
    if code == 413:  # a small message cannot be made smaller: it is dead
        assert relay.counts().dead > 0
        return
    assert all_is_there(api, "a", "b")
    assert relay.counts().dead == 0


def test_one_refused_task_leaves_the_others(api, relay, caplog):
    """422 of one task's POST is one line, and the others are delivered."""
    api.on_item("POST .*tasks$", 422, times=1)
    reported(relay)
    counts = relay.flush(5)
    assert counts.pending == 0
    assert counts.dead == 2  # its PATCH would hit somebody else's record
    assert [one["status"] for one in api.tasks.values()] == ["Completed"] * 19
    assert api.workflows["w"]["status"] == "Completed"
    assert caplog.text.count("refused the task post") == 1


def test_an_unknown_workflow_is_made(api, relay):
    """The first PATCH of an unknown workflow becomes its POST, and its tasks follow it."""
    relay._worker._starting.acquire()
    run = Reports(relay, policy="otel").began(2, ',"known":true')
    for task in (1, 2):
        run.task_began(task).task_ended(task)
    run.ended()
    relay._worker._starting.release()
    assert relay.flush(60).pending == 0
    assert all_is_there(api, tasks=2)
    assert relay.counts().dead == 0
    first, second = api.bulks()[:2]
    assert (first[0], second[0]) == ("PATCH /workflows/w", "POST /workflows")


def test_a_broken_bulk_is_one_failure(api, relays, monkeypatch):
    """A hundred messages in a call that breaks off do not stop the destination for a while."""
    monkeypatch.setattr(patience, "FIRST_PAUSE", 60)
    relay = made(api, relays)
    api.on("POST /bulk", reset(), times=2)
    reported(relay, tasks=40)
    relay.poke()
    api.wait_for(lambda: api.workflows.get("w", {}).get("status") == "Completed", 8)
    assert all_is_there(api, tasks=40)


def test_messages_of_a_broken_bulk_go_together_again(api, relay):
    """What was in a bulk that failed is due at one time: it does not become many calls."""
    api.on("POST /bulk", status(500), times=1)
    reported(relay)
    api.wait_for(lambda: relay.flush(1).pending == 0)
    assert len(api.seen) <= 5


def test_keys_are_the_same_either_way(api, relay):
    """What a bulk may have done is repeated by single calls under the same keys."""
    page = status(200, b"<html>", effect=True, Content_Type="text/html")
    api.on("POST /bulk", page, times=1)
    reported(relay, tasks=3)
    assert relay.flush(60).pending == 0
    in_bulk = [one["idempotency_key"] for one in json.loads(api.seen[0].raw)["items"]]
    alone = [one.key for one in api.seen[1:]]
    assert sorted(alone[: len(in_bulk)]) == sorted(in_bulk)
    assert len(set(alone)) == len(alone) > len(in_bulk) > 1
    assert all_is_there(api, tasks=3)


def test_a_bulk_that_hangs_holds_up_no_flush(api, relay):
    """A flush keeps its time while a bulk is under way."""
    api.on("POST /bulk", hang)
    reported(relay)
    started = time.monotonic()
    assert relay.flush(0.3).pending > 0
    relay.close(0.1)
    assert time.monotonic() - started < 30
