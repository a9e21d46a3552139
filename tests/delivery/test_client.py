"""One message in, what became of it out; against a real socket."""

from __future__ import annotations

import json
import time
from email.utils import formatdate
from urllib.parse import unquote

import pytest
import requests
from support.fault_server import TOKEN, FaultServer, garbage, hang, huge, reset, status, trickle
from support.messages import (
    message,
    task_patch,
    task_post,
    workflow_open,
    workflow_patch,
    workflow_post,
)

from dotflow.delivery.dialect import Destination, Dialect
from dotflow.delivery.http.answers import LONGEST_RETRY_AFTER
from dotflow.delivery.http.client import Client
from dotflow.delivery.message import Delivered, Instead, Kind, Refused, TryLater


@pytest.fixture
def client(default):
    client = Client(default)
    yield client
    client.close()


def impatient(api, dialect=Dialect.DEFAULT):
    return Client(Destination(api.url, TOKEN, dialect, timeout=0.2))


@pytest.mark.parametrize("dialect", list(Dialect))
def test_headers(api, dialect):
    """A message goes as JSON, with the dialect's token and its own id as Idempotency-Key."""
    client = Client(Destination(api.url, TOKEN, dialect))
    one = workflow_post()
    assert client.send(one) == Delivered()
    client.close()
    [seen] = api.seen
    assert seen.headers["content-type"] == "application/json"
    assert seen.key == one.id
    name, value = client.destination.auth_header
    assert seen.headers[name.lower()] == value
    assert ("authorization" in seen.headers) is (dialect is Dialect.MANAGED)
    assert seen.body == {"id": "w"}


def test_the_servers_id_comes_from_the_answer(api, client):
    """In the default dialect the id in the answer to a task's POST is handed on."""
    client.send(workflow_post())
    assert client.send(task_post(1)) == Delivered("srv-1")
    assert client.send(task_patch(1, status="x"), "srv-1") == Delivered()
    assert api.lines()[-1] == "PATCH /tasks/srv-1"


@pytest.mark.parametrize(
    "given",
    [None, True, "", [], {"a": 1}, 1.5, "x" * 256, 10**300, "a\nb", "a\x00", "\ud800", "\u202e"],
)
def test_an_id_that_is_none_is_not_taken(api, client, given):
    """Only a short text that can be seen, or a whole number, is an id."""
    api.on("POST", status(201, {"id": given}))
    assert client.send(task_post(1)) == Delivered(None)


@pytest.mark.parametrize(
    "given", ["../../workflows/w", "..", ".", "?a=b#c", "x" * 255, "ż/\U0001f600"]
)
def test_whatever_id_the_server_gives_comes_back_to_it(api, client, given):
    """The server's id is one segment of the path, which no part of the way changes."""
    api.on("POST", status(201, {"id": given}))
    outcome = client.send(task_post(1))
    assert outcome == Delivered(given)
    client.send(task_patch(1, status="x"), outcome.server_id)
    method, _, path = api.lines()[-1].partition(" ")
    assert (method, path.count("/"), unquote(path)) == ("PATCH", 2, f"/tasks/{given}")
    assert path.rpartition("/")[2] not in (".", "..")


def test_the_managed_dialect_needs_no_id(api, managed):
    """Where tasks are changed by their number, the server's ids are not kept."""
    client = Client(managed)
    api.on("POST", status(201, {"id": 99}))
    assert client.send(task_post(1)) == Delivered(None)
    client.close()


def test_ids_that_need_quoting_arrive(api, client):
    """A workflow id with any characters is one segment of the path at the server."""
    client.send(workflow_post("a b/ż?#%2F"))
    client.send(workflow_patch("a b/ż?#%2F", status="x"))
    assert api.lines()[-1] == "PATCH /workflows/a%20b%2F%C5%BC%3F%23%252F"


@pytest.mark.parametrize("code", [200, 201, 202, 204])
def test_2xx_is_delivered(api, client, code):
    """Any 2xx means that the server has the message."""
    api.on(".", status(code, b""))
    assert client.send(workflow_post()) == Delivered()


def test_409_of_a_post_is_delivered(api, client):
    """A record that exists is what the POST was for; its id is taken where the answer has it."""
    api.on("POST", status(409, {"detail": "exists", "id": 12}))
    assert client.send(workflow_post()) == Delivered()
    assert client.send(task_post(1)) == Delivered("12")


def test_409_of_a_patch_is_refused(api, client):
    """A PATCH has nothing that could exist already."""
    api.on("PATCH", status(409, {"detail": "no"}))
    assert client.send(workflow_patch(status="x")) == Refused(409, '409 {"detail": "no"}')


@pytest.mark.parametrize("code", [400, 402, 404, 405, 410, 415, 422, 451])
def test_other_4xx_are_refused_with_what_the_server_said(api, client, code):
    """A 4xx that no repeat would change is final, with the server's words."""
    api.on(".", status(code, {"detail": "because\nof this"}))
    outcome = client.send(workflow_post())
    assert isinstance(outcome, Refused)
    assert outcome.status == code
    assert "because" in outcome.reason


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_redirects_are_refused_and_not_followed(api, client, code):
    """The token is not sent on to where a redirect points."""
    other = FaultServer()
    api.on(".", status(code, Location=f"{other.url}/workflows"))
    outcome = client.send(workflow_post())
    other.close()
    assert isinstance(outcome, Refused)
    assert outcome.status == code
    assert other.connections == 0


@pytest.mark.parametrize("code", [408, 425, 500, 501, 507, 599])
def test_later_for_this_message(api, client, code):
    """A fault that may be this message's own is tried again with its own wait."""
    api.on(".", status(code))
    outcome = client.send(workflow_post())
    assert isinstance(outcome, TryLater)
    assert (outcome.everywhere, outcome.mend) == (False, None)


@pytest.mark.parametrize("code", [429, 502, 503, 504])
def test_later_for_all_messages(api, client, code):
    """A status that speaks of the server has all messages wait."""
    api.on(".", status(code))
    outcome = client.send(workflow_post())
    assert isinstance(outcome, TryLater)
    assert outcome.everywhere


@pytest.mark.parametrize("dialect", list(Dialect))
@pytest.mark.parametrize("code", [401, 403])
def test_a_refused_token_names_its_variable(api, dialect, code):
    """401 and 403 pause the destination and name what to mend."""
    client = Client(Destination(api.url, TOKEN, dialect))
    api.on(".", status(code))
    outcome = client.send(workflow_post())
    client.close()
    assert isinstance(outcome, TryLater)
    assert outcome.everywhere
    assert outcome.mend == client.destination.token_variable


def test_413_asks_for_a_smaller_body(api, client):
    """Where the server finds a body too large, one without the contexts takes its place."""
    api.on(".", status(413))
    large = task_post(1, initial_context="x" * 1000)
    outcome = client.send(large)
    assert isinstance(outcome, Instead)
    assert json.loads(outcome.message.body) == {
        "id": 1,
        "initial_context": {"message": "Context size exceeded"},
    }
    assert outcome.message.id != large.id


def test_413_of_a_small_body_is_final(api, client):
    """What cannot be made smaller is refused."""
    api.on(".", status(413))
    outcome = client.send(message(Kind.TASK_POST, task=1, body=b'{"id":1}'))
    assert isinstance(outcome, Refused)
    assert outcome.status == 413


@pytest.mark.parametrize("dialect", list(Dialect))
def test_an_unknown_workflow_is_made(api, dialect):
    """In the default dialect the first PATCH of an unknown workflow becomes its POST."""
    client = Client(Destination(api.url, TOKEN, dialect))
    outcome = client.send(workflow_open(status="In progress"))
    client.close()
    if dialect is Dialect.MANAGED:  # where it is others who make it
        assert isinstance(outcome, Refused)
        return
    assert isinstance(outcome, Instead)
    assert outcome.message.kind is Kind.WORKFLOW_POST
    assert json.loads(outcome.message.body) == {"id": "w", "status": "In progress"}


def test_only_the_first_patch_makes_a_workflow(api, client):
    """A later PATCH of an unknown workflow is refused."""
    assert isinstance(client.send(workflow_patch(status="x")), Refused)


def test_a_clients_name_holds_no_secret(client, default):
    """What lines of the log call a client is where it sends to."""
    assert client.name == f"dotflow-api at {default.url}"
    assert client.timeout == default.timeout


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("7", 7),
        ("0", 0),
        ("  12 ", 12),
        ("999999999999999999999", LONGEST_RETRY_AFTER),
        ("9" * 5000, LONGEST_RETRY_AFTER),
        ("-1", None),
        ("\u00b2", None),
        ("soon", None),
        ("", None),
        (formatdate(0, usegmt=True), 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", LONGEST_RETRY_AFTER),
        ("Fri, 99 Dec 99999 23:59:59 GMT", None),
    ],
)
def test_retry_after(api, client, value, expected):
    """Retry-After is read as seconds or a date, is believed to a limit, and never hurts."""
    api.on(".", status(429, Retry_After=value))
    outcome = client.send(workflow_post())
    assert isinstance(outcome, TryLater)
    assert outcome.after == expected


def test_retry_after_as_a_date(api, client):
    """A date in the future is so many seconds from now."""
    api.on(".", status(503, Retry_After=formatdate(time.time() + 100, usegmt=True)))
    outcome = client.send(workflow_post())
    assert isinstance(outcome, TryLater)
    assert 90 < outcome.after <= 100


def test_a_dead_server_is_everybodys(api):
    """Where nothing can be reached, all messages wait."""
    api.close()
    outcome = Client(Destination(api.url, TOKEN)).send(workflow_post())
    why = "the server could not be reached: connection refused"
    assert outcome == TryLater(why, everywhere=True)


@pytest.mark.parametrize("fault", [reset(), reset(effect=True), garbage])
def test_a_broken_connection_is_this_messages(api, client, fault):
    """A connection that breaks is no reason to keep the others back."""
    api.on(".", fault, times=1)
    assert client.send(workflow_post()) == TryLater("the server broke off the connection")
    assert isinstance(client.send(workflow_post()), Delivered)


@pytest.mark.parametrize("fault", [hang, trickle])
def test_a_server_that_takes_its_time(api, fault):
    """A call ends also where the server never answers, or never ends its answer."""
    client = impatient(api)
    api.on(".", fault, times=1)
    started = time.monotonic()
    assert client.send(workflow_post()) == TryLater(
        "the server did not answer in time", is_too_much=True
    )
    assert time.monotonic() - started < 30
    api.wait_for(lambda: isinstance(client.send(workflow_post()), Delivered))
    client.close()


def test_a_huge_answer_is_not_read(api, client):
    """Of an answer only as much is read as an id or a reason needs."""
    api.on("POST", huge)
    assert client.send(workflow_post()) == Delivered()
    assert isinstance(client.send(task_post(1)), Delivered)


def test_answers_are_not_compressed(api, client):
    """We ask for plain answers: there is nothing to unpack."""
    client.send(workflow_post())
    assert api.seen[0].headers["accept-encoding"] == "identity"


def test_a_server_that_repeats_the_token(api, client):
    """Where the server's words hold the token, ours do not."""
    api.on(".", status(400, {"detail": f"bad header {TOKEN} \x1b[31m"}))
    outcome = client.send(workflow_post())
    assert isinstance(outcome, Refused)
    assert TOKEN not in outcome.reason
    assert "[token]" in outcome.reason
    assert outcome.reason.isprintable()


def test_a_long_reason_is_cut(api, client):
    """The server's words fit into a line."""
    api.on(".", status(400, b"<html>" + b"x" * 100_000))
    outcome = client.send(workflow_post())
    assert isinstance(outcome, Refused)
    assert len(outcome.reason) < 400


def test_netrc_is_not_used(api, managed, monkeypatch, tmp_path):
    """A .netrc with an entry for the host does not take the token's place."""
    path = tmp_path / "netrc"
    path.write_text("machine 127.0.0.1 login them password theirs\n")
    path.chmod(0o600)
    monkeypatch.setenv("NETRC", str(path))
    client = Client(managed)
    client.send(workflow_post())
    client.close()
    assert api.seen[0].headers["authorization"] == f"Bearer {TOKEN}"


def test_next_task_id(api, managed):
    """The number is the one that the server says."""
    client = Client(managed)
    client.send(workflow_post())
    client.send(task_post(41))
    assert client.next_task_id("w", 2) == 42
    client.close()


@pytest.mark.parametrize(
    "answer",
    [b"", b"x", {}, {"next_id": None}, {"next_id": True}, {"next_id": -1}, {"next_id": "7"}],
)
def test_a_next_task_id_that_is_none(api, client, answer):
    """What is no number is not taken for one."""
    api.on("GET", status(200, answer))
    with pytest.raises(requests.exceptions.InvalidJSONError):
        client.next_task_id("w", 2)


@pytest.mark.parametrize(("code", "again"), [(404, False), (401, False), (429, True), (503, True)])
def test_next_task_id_says_whether_to_ask_again(api, client, code, again):
    """A status that time may mend is another exception than one that is final."""
    api.on("GET", status(code))
    with pytest.raises(requests.RequestException) as caught:
        client.next_task_id("w", 2)
    assert isinstance(caught.value, requests.ConnectionError) is again
    assert TOKEN not in str(caught.value)


def test_a_base_path_is_kept(api):
    """An address with a path of its own is what all routes begin with."""
    client = Client(Destination(f"{api.url}/a b/ż/", TOKEN))
    client.send(workflow_patch("..", status="x"))
    client.close()
    assert api.lines() == ["PATCH /a%20b/%C5%BC/workflows/%2E%2E"]
