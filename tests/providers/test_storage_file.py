"""StorageFile: what its files hold, and what a crash leaves."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dotflow import Context
from dotflow.providers import StorageFile
from dotflow.settings import Settings


@pytest.fixture
def storage():
    return StorageFile(path="out")


def run_program(program):
    return subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
    )


def read(storage, key):
    return storage.get(key).storage


def plain(value):
    """A value with its Contexts shown as ("ctx", task_id, value)."""
    if isinstance(value, Context):
        return ("ctx", value.task_id, plain(value.storage))
    return [plain(one) for one in value] if isinstance(value, list) else value


def test_the_folder(storage):
    """The files are in `tasks` under the path, which is made at once; START_PATH by default."""
    assert storage.path == Path("out/tasks").absolute()
    assert storage.path.is_dir()
    assert StorageFile().path == Settings.START_PATH.absolute() / "tasks"


def test_what_a_file_holds(storage):
    """A file is named by its key, and is a JSON list of strings, each the JSON of a value."""
    storage.post("k.json", Context({"foo": "bar"}))
    assert (storage.path / "k.json").read_text() == '["{\\"foo\\": \\"bar\\"}"]'
    storage.post("k.json", Context([Context(1, 0), Context("x", 1)]))
    assert json.loads((storage.path / "k.json").read_text()) == ["1", '"x"']
    assert [file.name for file in storage.path.iterdir()] == ["k.json"]


@pytest.mark.parametrize(
    ("value", "back"),
    [
        (None, None),
        (False, False),
        ("5", "5"),
        ("", ""),
        ("null", "null"),
        ([], []),
        ([1, 2], [1, 2]),
        ([[1], []], [[1], []]),
        ("\ud800", "\ud800"),
        ([Context(1, 7)], [("ctx", 7, 1)]),
        ([Context(1, 0)], [("ctx", 0, 1)]),
        ([Context(1, 0), Context("2", 1)], [("ctx", 0, 1), ("ctx", 1, "2")]),
        ([1, Context([2], 1), "x"], [1, ("ctx", 1, [2]), "x"]),
        ([Context([1, 2])], [("ctx", 0, [1, 2])]),
        ([Context({1}, 0), Context(1, 1)], [("ctx", 0, {1}), ("ctx", 1, 1)]),
    ],
    ids=repr,
)
def test_shapes(storage, value, back):
    """A value comes back in its shape, and Contexts in it with their numbers."""
    for _ in range(2):
        storage.post("k", Context(value))
        assert plain(read(StorageFile(path="out"), "k")) == back


TEXT = st.text('aB é€😀"\\\n\ud800', max_size=4)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner),
    max_leaves=5,
)


@settings(max_examples=60, deadline=None, database=None)
@given(value=JSON, before=JSON)
def test_any_json_value_comes_back(value, before):
    """Whatever JSON expresses comes back as it was, whatever was there before."""
    storage = StorageFile(path="out")
    storage.post("k", Context(before))
    storage.post("k", Context(value))
    assert read(storage, "k") == value


@pytest.mark.parametrize("content", ["", "{", "{}", "[]", "5", "null", b"\xff\xfe\x00"])
def test_corrupt_files_are_empty(storage, content):
    """A file that is no JSON list counts as empty, and can be overwritten."""
    file = storage.path / "k"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert read(storage, "k") is None
    storage.post("k", Context(1))
    assert read(storage, "k") == 1


@pytest.mark.parametrize(
    ("content", "value"),
    [
        ('["no json"]', "no json"),
        ('["1", "\\"x\\""]', [("ctx", 0, 1), ("ctx", 1, "x")]),
        ("[5]", 5),
    ],
)
def test_files_of_other_hands(storage, content, value):
    """Files as upstream writes them are read: one value, or several as a list of Contexts."""
    (storage.path / "k").write_text(content)
    assert plain(read(storage, "k")) == value


def test_a_name_of_other_hands(storage):
    """A file whose name is no key of ours is listed by it, and stands in nobody's way."""
    storage.post("w-1", Context(1))
    (storage.path / "w-%C3").write_text("[]")
    assert list(storage.list_keys("w")) == ["w-%C3", "w-1"]
    storage.clear("w")
    assert list(storage.list_keys("")) == ["w-%C3"]


@pytest.mark.parametrize("content", ["", "[]", "{", b"\xff"])
def test_a_corrupt_meta_file_is_left_out(storage, content):
    """A meta file that cannot be read does not hide the value."""
    storage.post("k", Context(1), ttl=1000)
    (storage.path / "k.meta").write_bytes(
        content if isinstance(content, bytes) else content.encode()
    )
    assert read(storage, "k") == 1


def test_meta(storage):
    """ttl and fingerprint are in `<key>.meta`, which is no key and goes with its file."""
    storage.post("k", Context(1), ttl=1000, fingerprint="f")
    meta = json.loads((storage.path / "k.meta").read_text())
    assert meta["fingerprint"] == "f"
    assert meta["expires_at"] > 1_700_000_000
    assert list(storage.list_keys("")) == ["k"]
    storage.post("k", Context(1), fingerprint="f")
    assert json.loads((storage.path / "k.meta").read_text())["expires_at"] is None
    storage.post("k", Context(2))
    assert [file.name for file in storage.path.iterdir()] == ["k"]
    storage.post("k", Context(1), ttl=1000)
    assert storage.delete("k")
    assert list(storage.path.iterdir()) == []


def test_a_shape_belongs_to_its_value(storage):
    """The shape of a value that was replaced by other hands is not taken for the new one's."""
    storage.post("k", Context([Context(1)]))
    (storage.path / "k").write_text('["7"]')
    assert read(storage, "k") == 7


@pytest.mark.parametrize(
    "key",
    ["a/b", "../../etc", "/abs", ".hidden", "..", "%2F", "%", "a\\b", "a\nb", "ü" * 100, "x" * 300,
     "/" * 255 + "-1.json", "nul\0", 'a"b', "a*b?", "half\udc80pair", "k.json"],
)  # fmt: skip
def test_any_text_is_a_key(storage, key):
    """Any key is kept in a file of this folder, and is listed and deleted as it was given."""
    others = ["x" * 299, "a", "b/.."]
    for other in others:
        storage.post(other, Context("other"))
    storage.post(key, Context(1), ttl=1000)
    assert read(StorageFile(path="out"), key) == 1
    assert sorted(storage.list_keys("")) == sorted([*others, key])
    assert all(file.parent == Path("out/tasks") for file in Path().rglob("*") if file.is_file())
    assert storage.delete_prefix(key) == 1
    assert sorted(storage.list_keys("")) == sorted(others)
    storage.post(key, Context(1))
    assert storage.delete(key)


@pytest.mark.parametrize("value", ["new", {"new"}], ids=["JSON", "a pickle"])
@pytest.mark.parametrize("moment", ["write", "replace"])
def test_a_failed_write_leaves_the_old_value(storage, monkeypatch, moment, value):
    """Where a write fails the error surfaces, the old value is whole, and nothing is left over."""
    storage.post("k", Context("old"))

    def refuse(*args, **kwargs):
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(*((os, "open", refuse) if moment == "write" else (Path, "replace", refuse)))
        with pytest.raises(OSError, match="disk full"):
            storage.post("k", Context(value))
    (found,) = Path().rglob("k")
    assert found.read_text() == '["\\"old\\""]'
    assert [file.name for file in found.parent.iterdir()] == ["k"]


@pytest.mark.parametrize("value", ["'x' * 100_000", "{'x' * 100_000}"], ids=["JSON", "a pickle"])
def test_a_full_disk_leaves_the_old_value(value):
    """A file that cannot be written whole is no file: the error surfaces, and the old one stays."""
    program = (
        "from support.full_disk import limit_files\n"
        "from dotflow import Context\n"
        "from dotflow.providers import StorageFile\n"
        "storage = StorageFile(path='out')\n"
        "storage.post('k', Context('old'))\n"
        "limit_files(20_000)\n"
        f"try: storage.post('k', Context({value}))\n"
        "except OSError as error: print(error.errno, storage.get('k').storage)\n"
    )
    done = run_program(program)
    assert (done.stdout, done.stderr) == (f"{errno.EFBIG} old\n", "")
    assert [file.name for file in Path("out/tasks").iterdir()] == ["k"]


def test_kill_9_in_the_middle_of_a_write():
    """A process that is killed while it writes leaves the old value whole, and no key more."""
    program = (
        "import os, signal\n"
        "from pathlib import Path\n"
        "from dotflow import Context\n"
        "from dotflow.providers import StorageFile\n"
        "storage = StorageFile(path='out')\n"
        "storage.post('k', Context('old'))\n"
        "Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "storage.post('k', Context('new'))\n"
    )
    assert run_program(program).returncode == -signal.SIGKILL
    storage = StorageFile(path="out")
    assert len(list(storage.path.iterdir())) == 2
    assert read(storage, "k") == "old"
    assert list(storage.list_keys("")) == ["k"]


def test_a_file_that_cannot_be_read_is_an_error(storage):
    """What is there and cannot be read is an error, not an absent value."""
    (storage.path / "k").mkdir()
    with pytest.raises(OSError, match="directory"):
        storage.get("k")
