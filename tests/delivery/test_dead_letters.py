"""What was refused for good is kept, with the server's words, until somebody forgets it."""

from __future__ import annotations

import pytest
from support.fault_server import TOKEN, status
from support.processes import dies, files_of_ours

from dotflow import Config, DotFlow, action
from dotflow.delivery import dead_letters
from dotflow.delivery.dialect import Destination, Dialect
from dotflow.delivery.http.client import Client
from dotflow.delivery.message import Kind, Message, Refused
from dotflow.delivery.revival import revive
from dotflow.providers import ServerDefault
from dotflow.runlog import files

NAME = "a destination"


@action
def one():
    return 1


def letter(number=1, task=None, workflow="w", body=b'{"status": "Failed"}', kind=None):
    kind = kind or (Kind.WORKFLOW_PATCH if task is None else Kind.TASK_PATCH)
    final = b"Failed" in body
    return Message(kind, workflow, task, body, number, f"{number:032x}", final, '{"a": "b"}', "{}")


def bury(*messages, reason="422 no such field"):
    for message in messages:
        dead_letters.bury(NAME, message, Refused(422, reason), "srv")


def letters():
    return [
        (one.message, one.status, one.reason, one.destination, one.server_id)
        for one in dead_letters.all_letters()
    ]


def test_they_are_what_was_sent():
    """Body, id, headers and the server's words are as they were, in the order of their burial."""
    first, second = letter(1, task=3), letter(2, workflow="ü/ b")
    bury(first, second, reason="400 \u2028 nein")
    assert letters() == [
        (first, 422, "400 \u2028 nein", NAME, "srv"), (second, 422, "400 \u2028 nein", NAME, "srv"),
    ]  # fmt: skip


def test_half_a_surrogate_pair_costs_no_letter():
    """What UTF-8 cannot say is replaced, and the letter kept."""
    bury(letter(workflow="a\ud800"), reason="no \udc00")
    [(message, _, reason, _, _)] = letters()
    assert (message.workflow, reason) == ("a\ufffd", "no \ufffd")


def test_each_is_kept_once():
    """A message that is refused twice, for its answer was lost, is one letter."""
    bury(letter(1), letter(1))
    assert len(letters()) == 1


def test_they_outlive_a_kill():
    """What a killed process was refused is listed afterwards."""
    dies(lambda say: bury(letter(1), letter(2)))
    assert [one[0].n for one in letters()] == [1, 2]


def test_removed_is_gone():
    """What is removed is in no file any more; the others stay."""
    bury(*[letter(number) for number in (1, 2, 3)])
    dead_letters.remove(dead_letters.all_letters()[:2])
    assert [one[0].n for one in letters()] == [3]
    dead_letters.remove(dead_letters.all_letters())
    assert letters() == []


def test_none_where_there_is_no_folder():
    """A user who never had any has none, and to forget none is no fault."""
    assert dead_letters.all_letters() == []
    dead_letters.remove([])


def test_their_file_is_private():
    """Nobody else can read what a letter says."""
    bury(letter())
    found = [path for path in files_of_ours(files.folder()) if "dead" in path.name]
    assert found
    assert {path.stat().st_mode & 0o777 for path in found} == {0o600}


@pytest.mark.parametrize("what", ["damaged", "a folder"])
def test_a_file_that_cannot_be_written_costs_a_line(caplog, what):
    """The letter is lost, the delivery goes on, and a line says so."""
    path = files.make_folder() / dead_letters.FILE
    if what == "damaged":
        path.write_bytes(b"damaged" * 1000)
    else:
        path.mkdir()
    bury(letter())
    assert "cannot be kept" in caplog.text


def test_patches_of_a_record_that_was_refused(api):
    """What would change a record that was not made is dead too, and says why."""
    api.on("POST /workflows/.*/tasks", status(422, {"detail": "no name"}))
    server = ServerDefault(api.url, TOKEN)
    workflow = DotFlow(config=Config(server=server))
    workflow.task.add([one, one])
    workflow.start()
    assert server.flush(60).complete
    found = dead_letters.all_letters()
    assert sorted(one.message.kind.value for one in found) == [
        "task patch", "task patch", "task post", "task post",
    ]  # fmt: skip
    for letter in found:
        is_patch = letter.message.kind is Kind.TASK_PATCH
        assert ("its POST was refused" if is_patch else "no name") in letter.reason
    dead = server.close(1).dead
    assert not any(line.startswith("PATCH /tasks") for line in api.lines())
    assert dead == 4


# Sent again.


@pytest.fixture
def client(api):
    client = Client(Destination(api.url, TOKEN, Dialect.DEFAULT, 2.0))
    yield client
    client.close()


def test_a_revived_letter_arrives_under_its_own_id(api, client):
    """It is sent as it was, and is a letter no more; its PATCH goes by the id the server gives."""
    api.workflows["w"] = {"id": "w", "status": "New"}
    post = letter(1, 5, body=b'{"id": 5, "status": "Not started"}', kind=Kind.TASK_POST)
    bury(post, letter(2, 5))
    assert revive(dead_letters.all_letters(), client, 5) == 2
    assert [seen.key for seen in api.seen] == [post.id, letter(2, 5).id]
    assert api.tasks["w", 5]["status"] == "Failed"
    assert letters() == []


def test_what_is_refused_again_says_so(api, client):
    """It is a letter still, with the newer words."""
    api.on(".", status(422, {"detail": "still none"}))
    bury(letter(1))
    assert revive(dead_letters.all_letters(), client, 5) == 1
    [(_, _, reason, _, _)] = letters()
    assert "still none" in reason


def test_what_nobody_answers_stays(api, client):
    """A server that is away costs no letter."""
    api.on(".", status(503))
    bury(letter(1))
    assert revive(dead_letters.all_letters(), client, 1) == 0
    assert len(letters()) == 1


def test_an_update_on_the_way_sets_nothing_back(api, client):
    """An update whose end has arrived since is dropped; a workflow's loses its status."""
    running = b'{"status": "In progress"}'
    named = b'{"status": "In progress", "name": "etl"}'
    api.workflows["w"] = {"id": "w", "status": "Completed"}
    bury(letter(1, 5, body=running), letter(2, body=named))
    revive(dead_letters.all_letters(), client, 5)
    assert [seen.body for seen in api.seen] == [{"name": "etl"}]
    assert letters() == []
