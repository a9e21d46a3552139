"""A full outbox: what is only on the way goes first, ends go last, and nothing goes in silence."""

from __future__ import annotations

import json

import pytest
from support.outbox_contract import drain, message, task_post, workflow_patch, workflow_post

from dotflow.delivery.message import Kind, Message
from dotflow.delivery.outbox import Outbox, open_outbox
from dotflow.delivery.relay import Relay

NAME = "a destination"


class Nobody:
    """A destination that is never reached."""

    name = "nobody"
    timeout = 1.0

    def send(self, message, server_id, timeout):
        raise AssertionError("no thread is to be there")

    def close(self):
        pass


def patch(task, final=False, size=0):
    body = json.dumps({"n": task, "pad": "x" * size}).encode()
    return Message(Kind.TASK_PATCH, "w", task, body, final, not final)


@pytest.mark.parametrize("name", [None, NAME])
def test_interim_updates_give_way_first(name):
    """A full outbox drops updates on the way to a later one, for what makes or ends a record."""
    outbox = Outbox(name, max_messages=4)
    for one in (task_post(1), patch(2), patch(3), task_post(4)):
        assert outbox.put(one)
    assert not outbox.put(patch(5))
    assert outbox.put(task_post(6))
    assert outbox.put(patch(7, final=True))
    assert {(one.kind, one.task) for one in drain(outbox)} == {
        (Kind.TASK_POST, 1), (Kind.TASK_PATCH, 3), (Kind.TASK_POST, 4), (Kind.TASK_POST, 6),
        (Kind.TASK_PATCH, 7),
    }  # fmt: skip
    outbox.close()


@pytest.mark.parametrize("limit", [{"max_messages": 8}, {"max_bytes": 800}])
def test_ends_have_a_reserve(limit):
    """Over the limit only ends are taken, to a quarter of it; each one beyond is counted."""
    outbox = Outbox(**limit)
    for task in range(8):
        assert outbox.put(Message(Kind.TASK_POST, "w", task, b"x" * 100))
    assert not outbox.put(Message(Kind.TASK_POST, "w", 8, b"x" * 100))
    ends = [Message(Kind.TASK_PATCH, "w", task, b"x" * 100, True) for task in range(4)]
    assert [outbox.put(one) for one in ends] == [True, True, False, False]
    assert (outbox.counts().pending, outbox.counts().dead) == (10, 3)


def test_each_end_that_is_lost_is_said(caplog):
    """For each end beyond the reserve there is a line; for all the rest together there is one."""
    relay = Relay(Outbox(max_messages=4), Nobody(), workers=0)
    for task in range(4):
        relay.put(task_post(task))
    for task in (5, 6):
        relay.put(task_post(task))
        relay.put(patch(task))
    for task in (1, 2, 3):
        relay.put(patch(task, final=True))
    relay.put(workflow_patch("w", True, status="Completed"))
    lines = [one.getMessage() for one in caplog.records]
    relay._outbox.close()
    relay.close(0)
    assert [line for line in lines if "is lost" in line] == [
        "The outbox is full: the end of task 2 of workflow w is lost.",
        "The outbox is full: the end of task 3 of workflow w is lost.",
        "The outbox is full: the end of workflow w is lost.",
    ]
    assert sum("reports are lost, counted" in line for line in lines) == 1


def test_a_dropped_update_is_in_no_file():
    """What gave way comes back neither here nor with a later process."""
    outbox = Outbox(NAME, max_messages=1)
    outbox.put(Message(Kind.TASK_PATCH, "w", 1, b"{}"))
    outbox.put(task_post(2))
    outbox.close()
    later = Outbox(NAME)
    later.care()
    assert [one.task for one in drain(later)] == [2]
    later.close()


def test_what_is_under_way_does_not_give_way():
    """A claimed update is not dropped, however full it is."""
    outbox = Outbox(max_messages=1)
    outbox.put(patch(1))
    assert outbox.claim()
    assert not outbox.put(task_post(2))


def test_one_body_larger_than_all_the_room():
    """A body that can never fit is refused, and costs the others nothing but their updates."""
    outbox = Outbox(max_bytes=1000)
    outbox.put(workflow_post())
    assert not outbox.put(patch(1, final=True, size=5000))
    assert outbox.put(patch(1, final=True))
    assert outbox.counts().pending == 2


def test_memory_by_choice(monkeypatch, caplog):
    """DOTFLOW_OUTBOX=memory keeps it from the disk, and warns of nothing."""
    monkeypatch.setenv("DOTFLOW_OUTBOX", " Memory ")
    outbox = open_outbox(NAME)
    assert outbox.put(task_post(1))
    assert outbox.place is None
    assert outbox.close() == 1
    assert not caplog.records


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DOTFLOW_OUTBOX", "tape"), ("DOTFLOW_OUTBOX_MAX_MESSAGES", "-1"),
        ("DOTFLOW_OUTBOX_MAX_MESSAGES", "0"), ("DOTFLOW_OUTBOX_MAX_BYTES", "1e6"),
        ("DOTFLOW_OUTBOX_MAX_BYTES", "٣"),
    ],
)  # fmt: skip
def test_wrong_settings(monkeypatch, caplog, variable, value):
    """A setting that cannot be used is named in one line, and the default holds."""
    monkeypatch.setenv(variable, value)
    outbox = open_outbox(NAME)
    assert outbox.put(task_post(1))
    assert outbox.place is not None
    drain(outbox)
    outbox.close()
    assert [variable in one.getMessage() for one in caplog.records] == [True]


def test_a_number_that_is_none_any_more(monkeypatch):
    """A limit of five thousand digits is no limit, and no fault."""
    monkeypatch.setenv("DOTFLOW_OUTBOX_MAX_BYTES", "9" * 5000)
    assert open_outbox(NAME)


def test_limits_from_the_environment(monkeypatch):
    """DOTFLOW_OUTBOX_MAX_MESSAGES and DOTFLOW_OUTBOX_MAX_BYTES bound what waits."""
    monkeypatch.setenv("DOTFLOW_OUTBOX_MAX_MESSAGES", "2")
    monkeypatch.setenv("DOTFLOW_OUTBOX_MAX_BYTES", "50")
    outbox = open_outbox(NAME)
    assert outbox.put(task_post(1))
    assert not outbox.put(message(Kind.TASK_POST, task=2, pad="x" * 50))
    assert outbox.put(task_post(3))
    assert not outbox.put(task_post(4))
    drain(outbox)
    outbox.close()
