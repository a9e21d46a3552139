"""What many runs on one Config leave in memory."""

from __future__ import annotations

import gc
import tracemalloc

import pytest

from dotflow import Config, Context, DotFlow, action
from dotflow.providers import LogDefault, StorageDefault
from dotflow.providers.server_none import ServerNone
from dotflow.providers.storage_default import KEPT_WORKFLOWS


@action
def step():
    return "x" * 100


class Noting(ServerNone):
    keeps_notes = True

    def note(self, workflow, task=None):
        return {"traceparent": "y" * 55}


@pytest.fixture
def config():
    return Config(server=Noting(), log=LogDefault(level="ERROR"))


def run(config, **kwargs):
    flow = DotFlow(config=config, **kwargs)
    flow.task.add([step] * 10)
    flow.start()
    return str(flow.workflow_id)


def keys(config):
    return set(config.storage.list_keys(""))


@pytest.mark.slow
def test_memory_is_bounded(config):
    """Runs whose DotFlow is gone leave the results and notes of the last of them alone."""
    for _ in range(3 * KEPT_WORKFLOWS):
        run(config)
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(3 * KEPT_WORKFLOWS):
        run(config)
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert len(keys(config)) <= 2 * KEPT_WORKFLOWS * 21 + 21
    assert grown < KEPT_WORKFLOWS * 21 * 1000


def test_the_last_ones_can_be_resumed(config):
    """The results of the last workflows that are gone are there for who wrote their ids down."""
    ids = [run(config) for _ in range(3 * KEPT_WORKFLOWS)]
    for wid in ids[-KEPT_WORKFLOWS + 1 :]:
        assert f"{wid}-10" in keys(config)
    flow = DotFlow(config=config, workflow_id=ids[-5])
    flow.task.add([step] * 10)
    flow.start(resume=True)
    assert all(task.restored for task in flow.task.queue)


def test_what_can_be_named_stays(config):
    """The results of a DotFlow that lives, and of an id that the program gave, stay."""
    run(config, workflow_id="orders")
    kept = DotFlow(config=config)
    kept.task.add(step)
    kept.start()
    named = run(config)
    run(config, workflow_id=named)
    for _ in range(3 * KEPT_WORKFLOWS):
        run(config)
    assert {"orders-1", f"{kept.workflow_id}-1", f"{named}-1"} <= keys(config)


def test_nothing_else_holds_a_workflow(config):
    """A DotFlow is gone, by its last reference, when the program lets it go."""
    gc.disable()
    try:
        before = len(config.storage._gone)
        run(config)
        assert len(config.storage._gone) == before + 1
    finally:
        gc.enable()


def test_a_storage_that_is_released_in_any_way_keeps_others():
    """Only keys of workflows that are gone are forgotten, not those that begin alike."""
    storage = StorageDefault()
    wid = "0" * 36
    storage.post(f"{wid}-1", Context(1))
    storage.post(f"{wid}0-1", Context(2))
    for number in range(2 * KEPT_WORKFLOWS):
        storage.release(wid if number == 0 else f"{number:036d}")
    storage.post("other-1", Context(3))
    assert set(storage.list_keys("")) == {f"{wid}0-1", "other-1"}


def noted(text="y" * 55):
    return Context({"traceparent": text})


def test_a_note_takes_little():
    """A run of many tasks has as many notes: half of what a Context under a key takes is enough."""
    storage, count = StorageDefault(), 5000
    wid = "0" * 36
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(count):
            storage.post(key=f"{wid}-_note-{number}", context=noted(f"{number:055d}"))
        gc.collect()
        taken = (tracemalloc.get_traced_memory()[0] - before) / count
    finally:
        tracemalloc.stop()
    assert taken < 280, f"{taken:.0f} bytes a note"
    assert storage.get(f"{wid}-_note-7").storage == {"traceparent": f"{7:055d}"}


def test_notes_are_entries_as_others_are():
    """Notes are listed, replaced, deleted and cleared by their keys."""
    storage = StorageDefault()
    storage.post("a-_note-1", noted())
    storage.post("a-_note-2", Context({"traceparent": "t", "tracestate": "s"}))
    storage.post("a-_note-07", noted())
    storage.post("a-_note-3", Context("no note"))
    storage.post("b-_note-1", noted("b"))
    storage.post("a-_note", noted())
    assert storage.get("a-_note-2").storage == {"traceparent": "t", "tracestate": "s"}
    assert storage.get("a-_note-3").storage == "no note"
    assert storage.get("a-_note-7").storage is storage.get("a-_note-x").storage is None
    every = {"a-_note", "a-_note-1", "a-_note-2", "a-_note-07", "a-_note-3"}
    assert set(storage.list_keys("a-")) == every
    storage.post("a-_note-1", Context(5))
    storage.post("a-_note-3", noted("now"))
    assert (storage.get("a-_note-1").storage, storage.get("a-_note-3").storage) == (
        5, {"traceparent": "now"}
    )  # fmt: skip
    assert set(storage.list_keys("a-")) == every
    assert storage.delete("a-_note-2")
    assert not storage.delete("a-_note-2")
    storage.clear("a")
    assert list(storage.list_keys("")) == ["b-_note-1"]
    assert storage.delete_prefix("b") == 1
    assert list(storage.list_keys("")) == []


def test_a_note_that_expires_does():
    """A note with a time to live is gone after it, and does not hide an earlier one."""
    storage = StorageDefault()
    storage.post("a-_note-1", noted())
    storage.post("a-_note-1", noted("short"), ttl=0)
    assert storage.get("a-_note-1").storage is None
    assert list(storage.list_keys("")) == []


def test_a_key_of_any_type_is_a_key():
    """A storage that is made of this one may have keys that are no texts."""
    storage = StorageDefault()
    storage.post(7, Context(1))
    assert storage.get(7).storage == 1
    assert storage.delete(7)
    assert storage.get(7).storage is None
