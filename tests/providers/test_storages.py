"""What StorageDefault and StorageFile, in a folder and at an address, have in common."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import fsspec
import pytest

from dotflow import Context, Task, action
from dotflow.abc.storage import Storage
from dotflow.providers import StorageDefault, StorageFile


@action
def step():
    return 1


@pytest.fixture(
    params=[(StorageDefault, "out"), (StorageFile, "out"), (StorageFile, "memory://out")]
)
def storage(request, monkeypatch):
    monkeypatch.setenv("DOTFLOW_STORAGE_KEY", "k" * 40)
    made, path = request.param
    yield made(path=path)
    fsspec.filesystem("memory").store.clear()


@pytest.fixture
def clock(monkeypatch):
    """Moves both clocks that storages look at."""
    now = [1000.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_is_a_storage(storage):
    """Both implement the contract, and ignore what else the command line passes."""
    assert isinstance(storage, Storage)


def test_what_is_absent_is_empty(storage):
    """An absent key reads as an empty Context."""
    assert isinstance(storage.get("none"), Context)
    assert storage.get("none").storage is None


def test_post_overwrites(storage):
    """A key holds what was posted last."""
    for value in (1, [1, 2], None, {"a": 1}):
        assert storage.post("k", Context(value)) is None
        assert storage.get("k").storage == value


def test_delete(storage):
    """delete() says whether the key was there."""
    storage.post("k", Context(1))
    assert storage.delete("k") is True
    assert storage.delete("k") is False
    assert storage.get("k").storage is None


def test_prefixes(storage):
    """list_keys() and delete_prefix() go by prefix; clear() by workflow."""
    for key in ("w-1", "w-2", "ww-1", "w%2F/-1"):
        storage.post(key, Context(1))
    assert sorted(storage.list_keys("w")) == ["w%2F/-1", "w-1", "w-2", "ww-1"]
    assert sorted(storage.list_keys("w%2F/")) == ["w%2F/-1"]
    assert storage.clear("w") is None
    assert sorted(storage.list_keys("")) == ["w%2F/-1", "ww-1"]
    assert storage.delete_prefix("w") == 2
    assert storage.delete_prefix("w") == 0
    assert list(storage.list_keys("")) == []


OF_ORDERS = ["orders-1", "orders-12.json", "orders--3", "orders-_input_fp", "orders-_first_task_id",
             "orders-_note", "orders-_note-3"]  # fmt: skip
OF_OTHERS = ["orders-2026-1", "orders-2026-1.json", "orders-1-2", "orders-2026-_input_fp", "orders",
             "orders-x", "orders-1x", "orders-_note-x", "orders-_notes-1", "order-1", "orders-",
             "my-orders-1", "orders-_input_fp-1", "orders-\uff11"]  # fmt: skip


def test_clear_touches_one_workflow(storage):
    """clear() forgets all that is kept of one workflow, and nothing of one that begins the same."""
    for key in (*OF_ORDERS, *OF_OTHERS):
        storage.post(key, Context(1), ttl=1000)
    storage.clear("orders")
    assert sorted(storage.list_keys("")) == sorted(OF_OTHERS)
    assert all(storage.get(key).storage == 1 for key in OF_OTHERS)
    if isinstance(getattr(storage, "path", None), Path):
        assert len(list(storage.path.iterdir())) == 2 * len(OF_OTHERS)


def test_clear_of_storages_that_cannot_list():
    """A storage of one's own that deletes by prefix only is asked to; another one says so."""

    class Own(Storage):
        def post(self, key, context):
            raise NotImplementedError

        get = key = post

    class ByPrefix(Own):
        def delete_prefix(self, prefix):
            self.deleted = prefix
            return 1

    storage = ByPrefix()
    storage.clear("orders")
    assert storage.deleted == "orders-"
    with pytest.raises(NotImplementedError, match="Own cannot delete keys by prefix"):
        Own().clear("orders")


@pytest.mark.parametrize(
    ("expected", "new", "done"),
    [("old", "new", True), ("other", "new", False), (None, "new", False), ("old", None, True)],
)
@pytest.mark.parametrize("wrap", [Context, lambda value: value])
def test_swap(storage, expected, new, done, wrap):
    """atomic_swap() replaces a value that equals the expected one, by a value or a Context."""
    storage.post("k", Context("old"))
    assert storage.atomic_swap("k", expected, wrap(new)) is done
    assert storage.get("k").storage == (new if done else "old")


def test_swap_of_an_absent_key(storage):
    """None stands for an absent key."""
    assert storage.atomic_swap("k", "old", "new") is False
    assert storage.atomic_swap("k", None, "new") is True
    assert storage.get("k").storage == "new"


def test_swap_is_atomic_among_threads(storage):
    """Of many threads that expect the same value one wins."""
    storage.post("k", Context(0))
    won, barrier = [], threading.Barrier(8)

    def swap(number):
        barrier.wait()
        if storage.atomic_swap("k", 0, number):
            won.append(number)

    threads = [threading.Thread(target=swap, args=(number,)) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [storage.get("k").storage] == won


class TestExpiry:
    """ttl: seconds after which a key reads as absent."""

    def test_an_expired_key_is_absent(self, storage, clock):
        """An expired key is absent to every method."""
        for key in ("a", "b", "c", "d"):
            storage.post(key, Context(1), ttl=10)
        clock[0] += 9
        assert storage.get("a").storage == 1
        assert sorted(storage.list_keys("")) == ["a", "b", "c", "d"]
        clock[0] += 2
        assert storage.get("a").storage is None
        assert list(storage.list_keys("")) == []
        assert storage.delete("b") is False
        assert storage.atomic_swap("c", 1, 2) is False
        assert storage.atomic_swap("c", None, 2) is True
        assert storage.delete_prefix("d") == 0

    @pytest.mark.parametrize("how", ["post", "swap"])
    def test_a_later_post_clears_it(self, storage, clock, how):
        """A post or swap without ttl keeps its value for good, whatever was there."""
        storage.post("k", Context(1), ttl=10, fingerprint="f")
        if how == "post":
            storage.post("k", Context(2))
        else:
            storage.atomic_swap("k", 1, 2)
        clock[0] += 1000
        assert storage.get("k").storage == 2

    def test_a_post_on_an_expired_key_begins_anew(self, storage, clock):
        """Nothing of an expired value is left in the next."""
        storage.post("k", Context([Context(1), Context(2)]), ttl=10)
        clock[0] += 11
        storage.post("k", Context("new"))
        assert storage.get("k").storage == "new"


@pytest.mark.parametrize("workflow_id", ["w", "a/b", 7])
def test_keys(storage, workflow_id):
    """The key is the workflow's id and the task's number."""
    task = Task(task_id=3, step=step, workflow_id=workflow_id)
    ending = ".json" if isinstance(storage, StorageFile) else ""
    assert storage.key(task) == storage.key(task=task) == f"{workflow_id}-3{ending}"


def test_memories_are_apart():
    """Each StorageDefault has a memory of its own, and gives back the very Context."""
    one, other = StorageDefault(), StorageDefault()
    context = Context(object())
    one.post("k", context)
    assert one.get("k") is context
    assert other.get("k").storage is None
