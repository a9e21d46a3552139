"""Calls that wait for a thread which sends: while all goes well it need not wait for the relay."""

from __future__ import annotations

import threading
import time

import pytest
from support.fault_server import status
from support.reports import put_run

from dotflow.delivery.relay import rounds


def senders():
    return [one for one in threading.enumerate() if one.name == "dotflow-sender"]


@pytest.fixture
def held(api, relays):
    """A relay that has handed over 24 calls, what has one answered, and which answers woke it."""
    relay, answers = relays(api, timeout=60), threading.Semaphore(0)
    woken, send = [], relay._rounds.send

    def note(job, may_begin):
        woken.append(send(job, may_begin))
        return woken[-1]

    relay._rounds.send = note

    def wait(handler, _seen):
        answers.acquire(timeout=60)
        handler.answer(200, {}, {})

    api.on("PATCH /tasks/", wait)
    put_run(relay, tasks=40)
    api.wait_for(lambda: sum(one.startswith("PATCH") for one in api.lines()) == 9, 60)
    api.wait_for(lambda: relay._rounds.under_way == 24 and not relay._rounds._answers, 60)
    woken.clear()
    yield relay, answers, woken
    answers.release(100)


def test_an_answer_wakes_the_relay_only_if_little_waits(api, held, monkeypatch):
    """Answers are noted together: the eighth of 24 calls wakes the relay's thread."""
    monkeypatch.setattr(rounds, "STALE", 60.0)
    relay, answers, woken = held
    with relay._worker.turn:
        monkeypatch.setattr(relay._rounds, "_looked_at", time.monotonic())
        for number in range(1, 9):
            answers.release()
            api.wait_for(lambda: len(woken) == number, 60)  # noqa: B023 - it is called at once
    assert woken == [False] * 7 + [True]
    answers.release(60)
    assert relay.flush(60).pending == 0
    assert len({one.connection for one in api.seen}) <= 8


def test_an_answer_is_noted_soon_if_no_other_comes(api, held, monkeypatch):
    """An answer that does not wake the relay's thread does not wait for other ones."""
    relay, answers, _ = held
    monkeypatch.setattr(rounds, "CARE_EVERY", 3600.0)
    before = relay.counts().delivered
    for number in range(1, 6):
        answers.release()
        api.wait_for(lambda: relay.counts().delivered == before + number, 60)  # noqa: B023


def test_nothing_begins_after_a_refusal(api, relays):
    """What was handed over before the server asked for a pause is not sent in it."""
    relay = relays(api, workers=1)
    api.latency = 0.005
    api.on("PATCH /tasks/", status(503, Retry_After="60"), times=1)
    put_run(relay, tasks=6)
    api.wait_for(lambda: relay._rounds.patience.resume_at > time.monotonic(), 60)
    api.wait_for(lambda: not relay._rounds.under_way and not relay._rounds._answers, 60)
    assert api.lines()[-1].startswith("PATCH /tasks/")
    assert sum(one.startswith("PATCH /tasks/") for one in api.lines()) == 1


def test_nothing_begins_after_the_end(api, relays):
    """Of what was handed over to a thread that waits for the server the close sends no more."""
    relay = relays(api, workers=1, timeout=60)
    begun, answer = threading.Event(), threading.Event()

    def wait(handler, _seen):
        begun.set()
        answer.wait(60)
        handler.answer(200, {}, {})

    api.on("PATCH /tasks/", wait)
    put_run(relay, tasks=6)
    assert begun.wait(60)
    api.wait_for(lambda: relay._rounds.under_way > 1, 60)
    relay.close(0.1)
    answer.set()
    api.wait_for(lambda: not senders(), 60)
    assert sum(one.startswith("PATCH /tasks/") for one in api.lines()) == 1
