"""The one door to delivery."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from dataclasses import replace

import pytest
import requests
from support.fault_server import TOKEN, hang, reset, status, trickle
from support.reports import put_workflow

from dotflow.delivery import channel as channel_module
from dotflow.delivery.channel import Channel
from dotflow.delivery.dialect import Destination, Dialect
from dotflow.delivery.errand import Errand
from dotflow.delivery.numbering import next_task_id
from dotflow.process import at_exit
from dotflow.runlog import leftovers


@pytest.fixture
def channels():
    """Makes channels, and closes them all."""
    made = []

    def make(destination):
        made.append(Channel(destination))
        return made[-1]

    yield make
    for channel in made:
        channel.close(0)


def relay_threads():
    started = [one for one in threading.enumerate() if one.name.startswith("dotflow-")]
    return [one for one in started if one.name != "dotflow-watch"]


def test_flush_says_what_became_of_it(api, default, channels):
    """A flush counts what was delivered, what waits and what is dead."""
    channel = channels(default)
    api.on("POST .*tasks", status(422))
    put_workflow(channel).added(1)
    result = channel.flush(3)
    assert (result.delivered, result.pending, result.dead, result.complete) == (1, 0, 1, True)


def test_flush_is_not_complete_while_something_waits(api, default, channels):
    """What is left is told."""
    channel = channels(default)
    api.on(".", status(503))
    put_workflow(channel)
    result = channel.flush(0.1)
    assert (result.delivered, result.pending, result.complete) == (0, 1, False)


def test_flush_is_not_complete_before_the_log_was_read(api, default, channels):
    """If time is over before anybody has looked, nobody says that nothing waits."""
    channel = channels(default)
    with channel._relay._worker.turn:  # whoever reads the log holds it
        put_workflow(channel)
        assert not channel.flush(0.1).complete
        assert not channel.deliver(0.1).complete
    assert channel.flush(60).complete


def test_close_is_not_complete_if_the_log_was_not_read(api, default, channels):
    """Nor is a second close, while the first one has not read it either."""
    channel = channels(default)
    with channel._relay._worker.turn:  # the thread that reads is in the midst of something long
        put_workflow(channel)
        assert not channel.close(0.1).complete
        assert channel._relay.close(0.1).pending


def test_an_errand_that_has_not_looked_is_not_complete(default):
    """Without time to look for what dead processes left, nobody says that they left nothing."""
    errand = Errand(default)
    with errand._relay._worker._starting:  # its thread is about to start
        errand.adopt()
        assert not errand.close(0).complete
    errand = Errand(default)
    errand.adopt()
    assert errand.close(60).complete


def looks(channel, monkeypatch):
    """A thread that looks for what others left, as the one that watches does."""
    monkeypatch.setattr(leftovers, "are_there", lambda key: True)
    return threading.Thread(target=channel._relay.look)


def test_a_look_in_between_keeps_no_relay(api, default, channels, monkeypatch):
    """A close ends the relay although somebody looks for what others left meanwhile."""
    channel = channels(default)
    looking = looks(channel, monkeypatch)
    with channel._relay._worker.turn:  # whoever reads the log holds it
        looking.start()
        api.wait_for(lambda: channel._relay._worker.flushes)
        channel.close(0.1)
    looking.join(60)
    assert channel._relay not in channel_module.relays()


def test_a_look_brings_no_older_token_back(api, default, channels, monkeypatch):
    """What was given last counts, also after a look for the destination as it was first named."""
    channel = channels(default)
    newer = channels(replace(default, token="newer"))
    looking = looks(channel, monkeypatch)
    looking.start()
    looking.join(60)
    put_workflow(newer)
    assert newer.flush(60).complete
    assert {seen.headers["x-user-token"] for seen in api.seen} == {"newer"}


def test_without_a_timeout_the_variable_counts(api, default, channels, monkeypatch):
    """DOTFLOW_FLUSH_TIMEOUT is how long a flush takes at most."""
    monkeypatch.setattr(at_exit, "DEFAULT_TIMEOUT", 60.0)
    monkeypatch.setenv("DOTFLOW_FLUSH_TIMEOUT", "0.1")
    channel = channels(default)
    api.on(".", hang)
    put_workflow(channel)
    started = time.monotonic()
    assert not channel.flush().complete
    assert not channel.close().complete
    assert time.monotonic() - started < 30


def test_channels_to_one_destination_share(api, default, channels):
    """A thousand channels to one place have the threads and connections of one."""
    for number in range(200):
        put_workflow(channels(default), f"w{number}")
    assert channels(default).flush(60).complete
    assert len(api.workflows) == 200
    assert len(relay_threads()) <= 9  # one that decides, eight that send
    assert api.connections <= 8


def test_each_destination_has_its_own(api, default, managed, channels):
    """Another dialect or token is another destination."""
    one, two = channels(default), channels(managed)
    put_workflow(one, "a")
    put_workflow(two, "b")
    assert one.flush(60).complete
    assert two.flush(60).complete
    assert {"x-user-token" in seen.headers for seen in api.seen} == {True, False}


def test_closing_one_leaves_the_others(api, default, channels):
    """The threads end with the last channel; the one that is closed first is flushed."""
    one, two = channels(default), channels(default)
    put_workflow(one, "a")
    assert one.close(60).complete
    put_workflow(two, "b")
    assert two.close(60).delivered == 2
    assert set(api.workflows) == {"a", "b"}
    api.wait_for(lambda: not relay_threads())


def test_counts_are_those_since_the_channel_was_made(api, default, channels):
    """A later channel does not count what an earlier one delivered."""
    first = channels(default)
    put_workflow(first, "a")
    first.flush(60)
    second = channels(default)
    put_workflow(second, "b")
    assert second.flush(60).delivered == 1


def test_a_closed_channel_does_not_keep_a_later_one_from_working(api, default, channels):
    """After the last channel is closed, a new one to the same place works."""
    channels(default).close(1)
    later = channels(default)
    put_workflow(later)
    assert later.flush(60).complete


def test_what_a_forgotten_channel_took_is_delivered(api, default):
    """A channel that nobody holds any more has its messages delivered all the same."""
    api.latency = 0.1
    channel = Channel(default)
    put_workflow(channel).added(1)
    gone = weakref.ref(channel)
    del channel
    gc.collect()
    assert gone() is None
    api.wait_for(lambda: api.tasks)
    Channel(default).close(3)


def test_plain_http_to_another_machine_is_warned_of_once(channels, caplog):
    """A token that would cross a network in clear text is worth one line."""
    destination = Destination("http://dotflow.example", TOKEN)
    channels(destination)
    channels(destination)
    assert caplog.text.count("plain http") == 1
    assert TOKEN not in caplog.text


def test_a_newer_token_takes_the_place_of_an_older_one(api, default, channels, caplog):
    """A record goes out once, and never to an account that it is not for by two roads."""
    first = channels(default)
    newer = channels(replace(default, token=f"{TOKEN}-2"))
    for channel, workflow in ((first, "a"), (newer, "b")):
        put_workflow(channel, workflow)
        channel.flush(60)
    posted = [seen for seen in api.seen if seen.method == "POST" and seen.path == "/workflows"]
    assert len(posted) == 2
    assert {seen.headers["x-user-token"] for seen in posted} == {f"{TOKEN}-2"}
    assert caplog.text.count("Two tokens") == 1
    assert "DOTFLOW_STATE_DIR of its own" in caplog.text
    assert TOKEN not in caplog.text


# The question for the next number.


def test_next_task_id_asks_again_until_there_is_an_answer(api, managed, channels):
    """Faults that pass are not the answer."""
    for fault in (status(503), reset(), status(429)):
        api.on("GET", fault, times=1)
    channel = channels(managed)
    assert channel.next_task_id("w") == 1
    assert len(api.seen) == 4


@pytest.mark.parametrize("fault", [hang, trickle, status(500), reset()])
def test_next_task_id_blocks_no_longer_than_it_may(api, channels, monkeypatch, fault):
    """The asker goes on after its time, whatever the server does."""
    monkeypatch.setattr(channel_module, "ASK_TIMEOUT", 60.0)
    monkeypatch.setenv("DOTFLOW_NEXT_ID_TIMEOUT", "0.3")
    api.on("GET", fault)
    channel = channels(Destination(api.url, TOKEN, Dialect.MANAGED, timeout=60))
    started = time.monotonic()
    with pytest.raises(requests.RequestException):
        channel.next_task_id("w")
    assert time.monotonic() - started < 30
    api.close()


def test_next_task_id_takes_a_no_for_an_answer(api, managed, channels):
    """A 404 is not asked for again."""
    api.on("GET", status(404))
    with pytest.raises(requests.HTTPError):
        channels(managed).next_task_id("w")
    assert len(api.seen) == 1


def test_next_task_id_keeps_no_connection(api, managed, channels):
    """The question leaves no connection open in the thread that asked it."""
    channel = channels(managed)
    channel.next_task_id("w")
    api.wait_for(lambda: api.open_connections == 0)


@pytest.mark.parametrize("value", ["", "soon", "nan"])
def test_a_limit_that_is_none_is_the_default(api, managed, channels, monkeypatch, value):
    """A variable without sense does no harm."""
    monkeypatch.setenv("DOTFLOW_NEXT_ID_TIMEOUT", value)
    assert channels(managed).next_task_id("w") == 1


def test_a_number_that_cannot_collide(api, managed, channels, monkeypatch, caplog):
    """Without an answer numbers begin where no earlier task can be, and a line says so."""
    monkeypatch.setenv("DOTFLOW_NEXT_ID_TIMEOUT", "0.05")
    api.on("GET", status(503))
    channel = channels(managed)
    first, second = next_task_id(channel, "w"), next_task_id(channel, "w")
    assert 10**15 < first < second < 2**53
    assert caplog.text.count("tasks are numbered from") == 2
    assert TOKEN not in caplog.text
