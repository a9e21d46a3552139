"""StorageFile at an address: names, signatures, and what is refused. On memory://."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import fsspec
import pytest
from support.storage_values import Planted, Point

from dotflow import Config, Context, DotFlow, action
from dotflow.core.exception import ModuleNotFound, ValueNotKept
from dotflow.providers import StorageFile
from dotflow.providers.server_none import ServerNone
from dotflow.utils.masking import masked

KEY, OTHER_KEY = "k" * 40, "o" * 40
OBJECTS = "/bucket/orders/tasks/"


@pytest.fixture
def memory():
    files = fsspec.filesystem("memory")
    yield files
    files.store.clear()
    files.pseudo_dirs[:] = [""]


@pytest.fixture
def storage(memory):
    return StorageFile(path="memory://bucket/orders")


@pytest.fixture
def signed(storage, monkeypatch):
    monkeypatch.setenv("DOTFLOW_STORAGE_KEY", KEY)
    return storage


def read(storage, key):
    return storage.get(key).storage


def test_the_address(memory):
    """The objects are in `tasks` under the address; what is in memory does not last."""
    storage = StorageFile(path="memory://bucket/orders/")
    assert (storage.path, storage.lasts) == ("memory://bucket/orders/tasks", False)
    assert not list(Path().iterdir())


def test_the_address_of_the_environment(memory, monkeypatch):
    """DOTFLOW_STORAGE_PATH says where; it may be a folder as well; an argument wins."""
    monkeypatch.setenv("DOTFLOW_STORAGE_PATH", "memory://bucket/there")
    assert StorageFile().path == "memory://bucket/there/tasks"
    assert StorageFile(path="here").path == Path("here/tasks").absolute()
    monkeypatch.setenv("DOTFLOW_STORAGE_PATH", "there")
    assert StorageFile().path == Path("there/tasks").absolute()


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (Path("s3://bucket/x"), "write path='s3://BUCKET/FOLDER'"),
        ("http://bucket/x", "no address that begins with http://: a folder, s3://"),
        ("simplecache::s3://bucket/x", "a folder, s3://"),
        ("s3://bucket/simplecache::x", "in its path: a folder, s3://"),
        ("s3://ada:hunter2@bucket/x", r"s3://\*\*\*@... has credentials in it: take them out"),
        ("s3://bucket/x?token=hunter2", "cannot use an address of s3:// with"),
        ("s3://bucket/a*", "cannot use an address of s3:// with"),
        ("s3://bucket/../x", "cannot use an address of s3:// with"),
        ("s3://", "cannot use an address of s3:// with"),
    ],
)
def test_addresses_that_are_refused(path, words):
    """What cannot be an address is refused where it is given; no secret of it is said."""
    with pytest.raises(ValueError, match=words) as caught:
        StorageFile(path=path)
    assert "hunter2" not in str(caught.value)
    assert not list(Path().iterdir())


@pytest.mark.parametrize(
    ("package", "address", "extra"),
    [
        ("s3fs", "s3://bucket/x", "s3fs.*dotflow.remote"),
        ("gcsfs", "gs://bucket/x", "gcsfs.*dotflow.gcs"),
        ("fsspec", "memory://bucket/x", "fsspec.*dotflow.remote"),
    ],
)
def test_what_is_not_installed_is_named(monkeypatch, package, address, extra):
    """Without what reaches a bucket the error says what to install, before anything has run."""
    monkeypatch.setitem(sys.modules, package, None)
    known = sys.modules["fsspec.registry"]._registry
    monkeypatch.delitem(known, address.partition("://")[0], raising=False)
    with pytest.raises(ModuleNotFound, match=extra):
        StorageFile(path=address)


def test_what_an_object_holds(memory, storage):
    """An object is what a file would be; what is kept beside the value is its first line."""
    storage.post("k.json", Context({"foo": "bar"}))
    assert memory.cat(f"{OBJECTS}k.json") == b'["{\\"foo\\": \\"bar\\"}"]'
    storage.post("k.json", Context([1, Context(2, 1)]), fingerprint="f")
    first, body = memory.cat(f"{OBJECTS}k.json").split(b"\n")
    assert json.loads(first.removeprefix(b"dotflow meta "))["fingerprint"] == "f"
    assert json.loads(body) == ["1", "2"]
    assert [type(one) for one in read(storage, "k.json")] == [int, Context]
    assert memory.find("/") == [f"{OBJECTS}k.json"]


KEYS = ["a/b", "../../etc", "/abs", ".hidden", "..", "%2F", "%", "a\\b", "a\nb", "ü" * 100,
        "x" * 300, "/" * 255 + "-1.json", "nul\0", 'a"b', "a*b?", "a[bc]", "{a}", "half\udc80pair",
        "a b", " ", "#1", "x?versionId=1", "s3://b/k", "a::b", "ü" * 2000 + "-1"]  # fmt: skip


def test_any_text_is_a_key(memory, storage):
    """Any key is kept in an object of this folder, and is listed and deleted as it was given."""
    others = ["x" * 299, "a", "b/..", "ab", "aab", "ü" * 1999 + "-1"]
    for key in [*KEYS, *others]:
        storage.post(key, Context(key.encode("utf-8", "replace").decode()), ttl=1000)
    assert sorted(storage.list_keys("")) == sorted([*KEYS, *others])
    assert all(name.startswith(OBJECTS) for name in memory.find("/"))
    assert len(memory.find("/")) == len({name.lower() for name in memory.find("/")})
    for key in KEYS:
        assert read(storage, key) == key.encode("utf-8", "replace").decode()
        assert key in storage.list_keys(key)
        assert storage.delete(key)
    assert sorted(storage.list_keys("")) == sorted(others)


def test_long_names_are_told_apart(storage):
    """Ids that are too long for a name are found whole: listed by all of it, and cleared alone."""
    first, second, third = "ü" * 200, "ü" * 199 + "x", "ü" * 40
    for one in (first, second, third):
        storage.post(f"{one}-1.json", Context(1))
    assert storage.list_keys(first) == [f"{first}-1.json"]
    assert len(storage.list_keys("ü" * 41)) == 2
    storage.clear(first)
    assert sorted(storage.list_keys("")) == sorted([f"{second}-1.json", f"{third}-1.json"])


def test_what_others_put_there_is_left_alone(memory, storage):
    """Folders beside ours, and within, are no keys; and nobody deletes them."""
    strange = [f"{OBJECTS}deep/w-1", "/bucket/orders/tasks-2/w-1", "/bucket/orders/w-1"]
    for name in strange:
        memory.pipe(name, b"[]")
    storage.post("w-1", Context(1))
    assert storage.list_keys("") == ["w-1"]
    storage.clear("w")
    assert sorted(memory.find("/")) == sorted(strange)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b"dotflow meta ", b"dotflow meta {"])
def test_objects_of_other_hands(memory, storage, body):
    """An object that is no value of ours reads as absent, and can be overwritten and deleted."""
    memory.pipe(f"{OBJECTS}k", body)
    assert read(storage, "k") is None
    assert storage.list_keys("") == ["k"]
    storage.post("k", Context(1))
    assert read(storage, "k") == 1
    assert storage.delete("k")


class TestSignatures:
    """Nothing is unpickled that nobody with a key has signed."""

    @pytest.mark.parametrize(
        ("keys", "why"), [(None, "is not set"), ("short", "less than 32 characters"), (" ,", "not")]
    )
    def test_without_a_key(self, signed, monkeypatch, caplog, keys, why):
        """Without a key, a pickle is neither kept nor read; each line names the remedy."""
        signed.post("k", Context({1}))
        if keys is None:
            monkeypatch.delenv("DOTFLOW_STORAGE_KEY")
        else:
            monkeypatch.setenv("DOTFLOW_STORAGE_KEY", keys)
        with pytest.raises(ValueNotKept, match=f"{why}.*set DOTFLOW_STORAGE_KEY to one secret"):
            signed.post("other", Context({1}))
        assert read(signed, "k") is None
        [line] = caplog.messages
        assert why in line
        assert "set DOTFLOW_STORAGE_KEY to one secret" in line
        signed.post("k", Context([1]))
        assert read(signed, "k") == [1]

    def test_values_come_back(self, signed):
        """A signed value comes back as it was, also for another object of the same place."""
        value = [Point(1), {1, 2}, Context({3}, 1)]
        signed.post("k", Context(value))
        kept = read(StorageFile(path="memory://bucket/orders"), "k")
        assert kept[:2] == value[:2]
        assert kept[2].storage == {3}

    def test_keys_are_changed_in_turn(self, signed, monkeypatch):
        """The first key signs, and all verify: a new one is put before the old one."""
        signed.post("old", Context({1}))
        monkeypatch.setenv("DOTFLOW_STORAGE_KEY", f"{OTHER_KEY} {KEY}")
        signed.post("new", Context({2}))
        assert (read(signed, "old"), read(signed, "new")) == ({1}, {2})
        monkeypatch.setenv("DOTFLOW_STORAGE_KEY", OTHER_KEY)
        assert (read(signed, "old"), read(signed, "new")) == (None, {2})

    @pytest.mark.parametrize("how", ["unsigned", "bare", "another key", "moved", "half", "type"])
    def test_what_is_planted_is_not_unpickled(self, memory, signed, monkeypatch, caplog, how):
        """Whatever somebody else puts there, or moves there, is no result."""
        monkeypatch.setenv("DOTFLOW_STORAGE_KEY", OTHER_KEY if how == "another key" else KEY)
        signed.post("k", Context(Planted()))
        monkeypatch.setenv("DOTFLOW_STORAGE_KEY", KEY)
        head, _, payload = memory.cat(f"{OBJECTS}k").partition(b"\n")
        about = json.loads(head.removeprefix(b"dotflow pickle "))
        if how == "unsigned":
            del about["hmac"]
        elif how == "half":
            about["hmac"] = about["hmac"][:32]
        elif how == "type":
            about["hmac"] = 1
        body = b"dotflow pickle " + json.dumps(about).encode() + b"\n" + payload
        if how == "bare":
            body = pickle.dumps(Planted())
        key = "j" if how == "moved" else "k"
        memory.pipe(f"{OBJECTS}{key}", body)
        assert read(signed, key) is None
        [line] = caplog.messages
        assert "no JSON" in line if how == "bare" else "may be somebody else's" in line
        assert not Path("planted").exists()

    def test_the_key_is_masked(self):
        """No report says the key."""
        assert masked(f"DOTFLOW_STORAGE_KEY={KEY} x") == "DOTFLOW_STORAGE_KEY=*** x"


@action
def numbers():
    return {1, 2}


def run(storage, caplog):
    workflow = DotFlow(config=Config(storage=storage, server=ServerNone()), workflow_id="w")
    workflow.task.add(step=numbers)
    workflow.start(resume=True)
    return workflow.result_storage(), [line for line in caplog.messages if "not kept" in line]


def test_a_run_without_a_key_goes_on(storage, caplog, monkeypatch):
    """A value that is not kept for want of a key fails no step: one line says so."""
    result, lines = run(storage, caplog)
    assert result == [{1, 2}]
    assert len(lines) == 1
    assert "numbers" in lines[0]
    assert "DOTFLOW_STORAGE_KEY" in lines[0]
    caplog.clear()
    monkeypatch.setenv("DOTFLOW_STORAGE_KEY", KEY)
    assert run(storage, caplog) == ([{1, 2}], [])
    assert read(storage, "w-1.json") == {1, 2}


def test_a_forked_child_has_connections_of_its_own(storage):
    """A child uses the storage that its parent made, and does not wait for the parent's threads."""
    before = storage._place._files
    pid = os.fork()
    if pid == 0:
        is_another = storage._place._files is not before
        os._exit(0 if is_another and storage.get("k").storage is None else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert storage._place._files is before


def test_a_folder_loads_no_fsspec():
    """Who keeps results in a folder does not pay for buckets."""
    program = (
        "import sys\n"
        "from dotflow.providers import StorageFile\n"
        "StorageFile(path='out')\n"
        "print([name for name in ('fsspec', 's3fs', 'hmac') if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "[]\n"
