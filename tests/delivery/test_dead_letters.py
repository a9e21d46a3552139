"""What was refused for good is kept, with the server's words, until somebody forgets it."""

from __future__ import annotations

import json

import pytest
from support.outbox_contract import task_patch, task_post, workflow_post
from support.processes import left_by

from dotflow.delivery import dead_letters, disk
from dotflow.delivery.message import Delivered, Kind, Message, Refused
from dotflow.delivery.outbox import Outbox

NAME = "a destination"


@pytest.fixture
def outbox():
    outbox = Outbox(NAME)
    yield outbox
    outbox.close()


def refuse(outbox, *messages, reason="422 no such field"):
    for one in messages:
        outbox.put(one)
    while claimed := outbox.claim():
        outbox.settle(claimed[0], Refused(422, reason))


def letters():
    return [
        (one.message, one.status, one.reason, one.destination) for one in dead_letters.all_letters()
    ]


def test_they_are_the_same_alive_closed_and_dead(outbox):
    """Body, id and the server's words are the same before and after the end of the process."""
    odd = Message(Kind.WORKFLOW_PATCH, "a/\ud800 b", None, b"\x00 {}", True, True)
    first = workflow_post("ü")
    refuse(outbox, first, odd, reason="400 \u2028 nein")
    expected = [(one, 422, "400 \u2028 nein", NAME) for one in (first, odd)]
    assert letters() == expected
    outbox.close()
    assert letters() == expected
    adopter = Outbox(NAME)
    adopter.care()
    adopter.close()
    assert letters() == expected


def test_those_of_a_killed_process(outbox):
    """What a killed process was refused is listed before and after somebody adopts its file."""
    post, other = task_post(1), task_post(2)
    left_by(NAME, post, other, refused=1)
    assert letters() == [(post, 422, "no, thank you", NAME)]
    outbox.care()
    assert letters() == [(post, 422, "no, thank you", NAME)]
    assert outbox.claim() == [other]


def test_patches_of_a_record_that_was_refused(outbox):
    """What would change a record that was not made is dead too, and says why."""
    post, patch, late = task_post(1), task_patch(1, status="Retry"), task_patch(1, status="Failed")
    outbox.put(post)
    outbox.put(patch)
    [claimed] = outbox.claim()
    outbox.settle(claimed, Refused(422, "no name"))
    outbox.put(late)
    assert outbox.claim(9) == []
    assert outbox.counts().dead == 3
    found = letters()
    assert [one[0] for one in found] == [post, patch, late]
    assert [one[1] for one in found] == [422, 422, 0]
    assert "no name" in found[1][2]


@pytest.mark.parametrize("is_alive", [True, False])
def test_removed_is_gone(outbox, is_alive):
    """What is removed is in no file any more; the others stay."""
    messages = [task_post(task) for task in range(3)]
    refuse(outbox, *messages)
    if not is_alive:
        outbox.close()
    dead_letters.remove(dead_letters.all_letters()[:2])
    assert [one[0] for one in letters()] == messages[2:]
    outbox.close()
    assert [one[0] for one in letters()] == messages[2:]
    dead_letters.remove(dead_letters.all_letters())
    assert letters() == []


def test_they_do_not_hold_up_what_waits(outbox):
    """A removal while the owner works changes nothing of what it has to send."""
    refuse(outbox, task_post(1))
    post = task_post(2)
    outbox.put(post)
    dead_letters.remove(dead_letters.all_letters())
    assert outbox.claim() == [post]
    outbox.settle(post, Delivered())
    assert outbox.counts().pending == 0


def test_no_more_than_a_person_would_read(outbox, monkeypatch, caplog):
    """Beyond a number they are only counted, with one line."""
    monkeypatch.setattr(disk, "MOST_DEAD", 3)
    refuse(outbox, *[task_post(task) for task in range(6)])
    assert outbox.counts().dead == 6
    assert len(letters()) == 3
    assert sum("not kept" in one.getMessage() for one in caplog.records) == 1


def test_none_where_there_is_no_folder():
    """A user who never had any has none, and to forget none is no fault."""
    assert dead_letters.all_letters() == []
    dead_letters.remove([])


def test_a_damaged_file_of_one_process_hides_no_others(outbox):
    """What can be read is listed; what cannot be is passed over, also by a removal."""
    refuse(outbox, task_post(1))
    [bad] = left_by(NAME, task_post(2), refused=1)
    bad.write_bytes(b"no database" * 1000)
    assert [one[0].task for one in letters()] == [1]
    dead_letters.remove(dead_letters.all_letters())
    assert letters() == []


def test_order_is_that_of_the_process(outbox):
    """They are listed as they were put, also across processes."""
    refuse(outbox, *[task_post(task) for task in (3, 1, 2)])
    outbox.close()
    assert [one[0].task for one in letters()] == [3, 1, 2]
    assert json.loads(letters()[0][0].body) == {"id": 3}
