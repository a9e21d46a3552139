"""Several messages in one call: what became of each."""

from __future__ import annotations

import json

import pytest
from support.fault_server import TOKEN, garbage, hang, reset, status
from support.messages import task_patch, task_post, workflow_open, workflow_patch, workflow_post

from dotflow.api import ApiServer
from dotflow.delivery.dialect import Destination, Dialect
from dotflow.delivery.http import client as client_module
from dotflow.delivery.http.bulk import MOST
from dotflow.delivery.http.client import Client
from dotflow.delivery.message import Delivered, Instead, Kind, NotSent, Refused, TryLater


def run(tasks=2, workflow="w"):
    """The messages of a whole run, in order."""
    found = [workflow_post(workflow)]
    for task in range(1, tasks + 1):
        found += [
            task_post(task, workflow, name="step"),
            task_patch(task, workflow, status="Completed"),
        ]
    return [*found, workflow_patch(workflow, True, status="Completed")]


@pytest.fixture
def client(api, default):
    """A client that has seen that the server takes bulks."""
    api.bulk = 100
    client = Client(default)
    client.send(workflow_post("first"))
    yield client
    client.close()


@pytest.fixture
def reference(tmp_path):
    """A real dotflow-api."""
    with ApiServer(f"sqlite:///{tmp_path}/records.db", TOKEN) as server:
        yield server


# When there are bulks.


@pytest.mark.parametrize("code", [201, 401, 404, 503])
def test_bulks_only_after_the_server_said_so(api, default, code):
    """Any answer, errors too, may say that the server takes bulks; before that nothing does."""
    client = Client(default)
    client.send(workflow_post("a"))
    assert client.bulk_limit == 0
    api.bulk = 7
    api.on(".", status(code))
    client.send(workflow_post("b"))
    assert client.bulk_limit == 7
    client.close()


@pytest.mark.parametrize(
    ("said", "limit"),
    [("0", 0), ("1", 1), (" 20 ", 20), ("9" * 5000, MOST), ("-3", 0), ("many", 0), ("\u00b2", 0)],
)
def test_how_many_it_takes(api, default, said, limit):
    """The header is a whole number; what is none says nothing, and nothing is beyond our own."""
    api.on(".", lambda handler, seen: handler.answer(200, {}, {"Dotflow-Bulk": said}))
    client = Client(default)
    client.send(workflow_post())
    assert client.bulk_limit == limit
    client.close()


def test_a_bulk_says_what_single_calls_say(api, client):
    """Each item has the key, the headers and the body of its single call."""
    traced = workflow_post()
    traced = type(traced)(
        traced.kind, "w", None, b'{"id": "w",  "x": 1e2}', 3, "key-of-it",
        headers='{"traceparent":"00-1-2-01"}', times='{"started_at":"t"}', run="log-1",
    )  # fmt: skip
    client.send_bulk([traced, task_patch(3, "w", status="x")])
    raw = api.seen[-1].raw
    assert b'"body":{"id": "w",  "x": 1e2}' in raw  # as it is
    first, second = json.loads(raw)["items"]
    assert first == {
        "method": "POST", "path": "/workflows", "idempotency_key": "key-of-it",
        "headers": {"traceparent": "00-1-2-01", "Dotflow-Opens": "log-1"},
        "times": {"started_at": "t"}, "body": {"id": "w", "x": 100.0},
    }  # fmt: skip
    assert (second["method"], second["path"]) == ("PATCH", "/workflows/w/tasks/3")
    assert TOKEN.encode() not in raw
    assert api.seen[-1].headers["x-user-token"] == TOKEN


# What became of the messages.


def test_all_are_taken(api, client):
    """A run in one call: each message is delivered, and the servers' ids are known."""
    outcomes = client.send_bulk(run())
    assert outcomes == [
        Delivered(), Delivered("srv-1"), Delivered(), Delivered("srv-2"), Delivered(), Delivered(),
    ]  # fmt: skip
    assert api.workflows["w"]["status"] == "Completed"
    assert len(api.seen) == 2


@pytest.mark.parametrize(
    ("code", "expected"), [(422, Refused), (404, Refused), (500, TryLater), (599, TryLater)]
)
def test_one_item_ends_as_its_single_call_would(api, client, code, expected):
    """One item that is not taken holds up its own record only."""
    api.on_item("POST .*tasks$", code, times=1)
    post, first, patch, second, later, end = client.send_bulk(run())
    assert (post, second, later, end) == (Delivered(), Delivered("srv-1"), Delivered(), Delivered())
    assert isinstance(first, expected)
    assert patch == NotSent()


def test_an_item_that_is_too_large_goes_again_without_contexts(api, client):
    """413 of an item has a smaller message take its place."""
    api.on_item("POST .*tasks$", 413, times=1)
    outcomes = client.send_bulk([workflow_post(), task_post(1, initial_context="x" * 1000)])
    assert isinstance(outcomes[1], Instead)
    assert b"Context size exceeded" in outcomes[1].message.body


def test_409_of_an_item(api, client):
    """A POST whose record exists is delivered, and its PATCH after it; a PATCH is refused."""
    client.send_bulk(run(1))
    again = client.send_bulk([workflow_post(), task_post(1), task_patch(1, status="Failed")])
    assert again == [Delivered(), Delivered("srv-1"), Delivered()]
    api.on_item("PATCH", 409)
    [outcome] = client.send_bulk([task_patch(1, status="x")])
    assert isinstance(outcome, Refused)


def test_an_item_that_comes_too_early(api, client):
    """503 of an item has all wait, as long as it asks."""
    api.on_item("POST /workflows$", 503, retry_after=2)
    first, *others = client.send_bulk(run())
    assert isinstance(first, TryLater)
    assert (first.everywhere, first.after) == (True, 2)
    assert set(others) == {NotSent()}
    assert client.bulk_limit == 100


@pytest.mark.parametrize("after", [-1, "soon", 1e300, None, [], float("nan")])
def test_a_wait_that_is_none(api, client, after):
    """What no wait can be is left out."""
    api.on_item("POST /workflows$", 503, retry_after=after)
    assert client.send_bulk(run())[0].after is None


def test_an_unknown_workflow_stops_its_messages(api, client):
    """The first PATCH of an unknown workflow becomes its POST; its tasks were not sent."""
    opening = workflow_open(status="In progress")
    first, *others = client.send_bulk([opening, *run()[1:]])
    assert isinstance(first, Instead)
    assert first.message.kind is Kind.WORKFLOW_POST
    assert set(others) == {NotSent()}
    assert client.send_bulk([first.message, *run()[1:]])[0] == Delivered()


def test_an_unknown_workflow_of_the_managed_dialect_is_refused(api, managed):
    """There it is others who make the record."""
    api.bulk = 100
    client = Client(managed)
    assert isinstance(client.send_bulk([workflow_open(status="x"), task_post(1)])[0], Refused)
    client.close()


def test_fewer_answers_than_items(api, client):
    """What the server did not come to was not sent, and bulks go on."""
    answer = {"items": [{"status": 201, "body": {"id": "w"}}]}
    api.on("POST /bulk", status(200, answer), times=1)
    assert client.send_bulk(run()) == [Delivered(), *[NotSent()] * 5]
    assert client.bulk_limit == 100


@pytest.mark.parametrize(
    "answer",
    [b"", b"what?", b"[]", {}, {"items": None}, {"items": {}}, {"items": []}, {"items": [1]},
     {"items": [{"status": "201"}]}, {"items": [{"status": True}]}, {"items": [{}]},
     {"items": [{"status": 424, "body": {}}]}, {"items": [{"status": 201, "body": {}}] * 7},
     b'{"items": ' + b"[" * 30_000],
)  # fmt: skip
@pytest.mark.parametrize("code", [200, 202])
def test_no_list_of_answers(api, client, answer, code):
    """Without answers nothing is known: each message goes alone, unchanged, from now on."""
    api.on("POST /bulk", status(code, answer))
    messages = run()
    assert client.send_bulk(messages) == [Instead(one) for one in messages]
    client.send(workflow_post("other"))
    assert client.bulk_limit == 0


def test_a_page_is_no_answer_to_a_bulk(api, client):
    """A login page, or a list in another content type, is no list of answers."""
    answer = {"items": [{"status": 201, "body": {}}] * 6}
    api.on("POST /bulk", status(200, answer, Content_Type="text/html"))
    messages = run()
    assert client.send_bulk(messages) == [Instead(one) for one in messages]
    assert client.bulk_limit == 0


@pytest.mark.parametrize("code", [301, 302, 307, 400, 401, 403, 404, 405, 422])
def test_a_server_that_takes_no_bulk(api, client, code):
    """Then all goes one by one from now on, and nothing has to wait."""
    api.on("POST /bulk", status(code, Location="/elsewhere"))
    assert client.send_bulk(run()) == [NotSent()] * 6
    client.send(workflow_post("other"))
    assert client.bulk_limit == 0
    assert len(api.seen) == 3


@pytest.mark.parametrize(("code", "everywhere"), [(500, False), (429, True), (503, True)])
def test_a_bulk_that_comes_too_early(api, client, code, everywhere):
    """5xx and 429 have the messages wait, as with single calls, and bulks go on."""
    api.on("POST /bulk", status(code, Retry_After="3"))
    outcomes = client.send_bulk(run())
    assert {(one.everywhere, one.after) for one in outcomes} == {(everywhere, 3)}
    assert client.bulk_limit == 100


def test_413_halves_the_portion(api, client):
    """A bulk that is too large has the next ones be half as long, down to single calls."""
    api.on("POST /bulk", status(413))
    limits = []
    while client.bulk_limit > 1:
        messages = run()[: client.bulk_limit]
        assert client.send_bulk(messages) == [NotSent()] * len(messages)
        client.send(workflow_post("other"))
        limits.append(client.bulk_limit)
    assert limits == [3, 1]


def test_time_over_halves_the_portion_until_one_is_in_time(api, client):
    """A bulk that is not answered in time has the next be shorter, until it goes well again."""
    api.bulk = MOST
    api.on("POST /bulk", hang, times=1)
    outcomes = client.send_bulk(run(), timeout=1.0)
    assert set(outcomes) == {TryLater("the server did not answer in time", is_too_much=True)}
    assert client.bulk_limit == 3
    client.send_bulk(run()[:2])
    assert client.bulk_limit == 3  # that was no whole portion
    client.send_bulk(run(1, "x")[:3])
    assert client.bulk_limit == 6


def test_a_bulk_has_the_time_that_it_takes(api, monkeypatch):
    """A short timeout is that of one call: a bulk of many calls has more."""
    api.bulk = 100
    monkeypatch.setattr(client_module, "BULK_SECONDS", 60.0)
    client = Client(Destination(api.url, TOKEN, timeout=0.1))
    api.latency = 0.5
    assert client.send_bulk(run())[0] == Delivered()
    client.close()


@pytest.mark.parametrize("fault", [reset(), reset(effect=True), garbage])
def test_a_bulk_that_breaks_off(api, client, fault):
    """Of a broken bulk nothing is known; sent again under the same keys it ends well."""
    api.on("POST /bulk", fault, times=1)
    messages = run()
    broken = TryLater("the server broke off the connection")
    assert client.send_bulk(messages) == [broken] * 6
    assert {type(one) for one in client.send_bulk(messages)} == {Delivered}
    assert api.history["w"].count("PATCH workflow Completed") == 1


def test_an_answer_that_breaks_off_is_none(api, client):
    """Half a list of answers is not believed."""

    def half(handler, seen):
        _, body = api.apply(seen)
        raw = json.dumps(body).encode()
        handler.close_connection = True
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(raw)))
        handler.end_headers()
        handler.wfile.write(raw[: len(raw) // 2])

    api.on("POST /bulk", half, times=1)
    messages = run()
    broken = TryLater("the server broke off the connection")
    assert client.send_bulk(messages) == [broken] * 6
    assert client.send_bulk(messages)[1] == Delivered("srv-1")
    assert client.bulk_limit == 100


def test_a_long_list_of_answers_is_read(api, client):
    """The answer to a bulk may be as long as many answers are together."""
    answer = {"items": [{"status": 422, "body": {"detail": "x" * 2000}}] * 500}
    api.on("POST /bulk", status(200, answer))
    outcomes = client.send_bulk([workflow_post(f"w{number}") for number in range(500)])
    assert {type(one) for one in outcomes} == {Refused}


# The reference server.


@pytest.mark.parametrize("dialect", list(Dialect))
def test_the_reference_server_takes_a_run(reference, dialect):
    """The real dotflow-api says that it takes bulks, and takes one."""
    client = Client(Destination(reference.url, TOKEN, dialect))
    assert client.send(workflow_post("a/b %2F")) == Delivered()
    assert client.bulk_limit == MOST
    outcomes = client.send_bulk(run(100, "a/b %2F"))
    assert {type(one) for one in outcomes} == {Delivered}
    client.close()


def test_the_reference_server_knows_a_key_both_ways(reference):
    """A message whose single call was taken is taken again in a bulk, and the reverse."""
    client = Client(Destination(reference.url, TOKEN))
    messages = run(1)
    alone = [client.send(messages[0])]
    post = client.send(messages[1])
    alone += [post, client.send(messages[2], post.server_id), client.send(messages[3])]
    assert client.send_bulk(messages) == alone
    assert client.send(messages[2], post.server_id) == Delivered()
    client.close()


def test_the_reference_server_stops_a_record(reference):
    """What follows an item that was not taken was not sent, and nothing else is held up."""
    client = Client(Destination(reference.url, TOKEN))
    first, post, _, other, patch, end = run()
    bad = task_post(1, status={"no": "status"})
    refused, unsent = client.send_bulk([first, bad, task_patch(1, status="Completed")])[1:]
    assert isinstance(refused, Refused)
    assert unsent == NotSent()
    assert {type(one) for one in client.send_bulk([other, patch, post, end])} == {Delivered}
    opening = client.send_bulk([workflow_open("new", status="In progress"), task_post(1, "new")])
    assert isinstance(opening[0], Instead)
    assert opening[1] == NotSent()
    client.close()
