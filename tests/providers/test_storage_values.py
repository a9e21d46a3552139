"""StorageFile: a value comes back as it was, of the same type, or is refused in words."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import storage_values
from support.storage_values import (
    JSON,
    NO_JSON,
    Changing,
    Endless,
    Hanging,
    Odd,
    Planted,
    Point,
    Raising,
    same,
    twofold,
    within_itself,
)

from dotflow import Context
from dotflow.core.exception import ValueNotKept
from dotflow.core.fingerprint import fingerprint_of
from dotflow.providers import StorageFile, storage_pickle
from dotflow.providers.storage_pickle import MAGIC


def label(value):
    """A name that is the same in every process: no address, and sets in no order of their own."""
    text = "" if isinstance(value, (int, set, frozenset)) else ascii(value).partition(" at 0x")[0]
    return f"{type(value).__name__} {text[:30]}"


@pytest.fixture
def storage():
    return StorageFile(path="out")


@pytest.fixture
def impatient(monkeypatch):
    """Nobody waits long, and what hangs goes on at the end."""
    monkeypatch.setattr(storage_pickle, "PATIENCE", 0.2)
    storage_values.go_on.clear()
    yield
    storage_values.go_on.set()
    for thread in threading.enumerate():
        if thread.name == "dotflow-value":
            thread.join(30)


def there_and_back(storage, value):
    storage.post("k", Context(value))
    return StorageFile(path=storage.path.parent).get("k").storage


def is_pickle(storage):
    return (storage.path / "k").read_bytes().startswith(MAGIC)


@pytest.mark.parametrize("value", NO_JSON, ids=label)
def test_what_json_does_not_say(storage, value):
    """What JSON does not say exactly comes back equal, with the same types all the way down."""
    assert same(there_and_back(storage, value), value)
    assert is_pickle(storage)


@pytest.mark.parametrize("value", JSON, ids=label)
def test_what_json_says(storage, value):
    """What JSON says exactly is JSON, and comes back as it was."""
    assert same(there_and_back(storage, value), value)
    [text] = json.loads((storage.path / "k").read_text())
    assert same(json.loads(text), value)


LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.binary(max_size=2)
    | st.text('aé😀"\ud83d\ude00', max_size=3) | st.sampled_from(["x" * 1000, 10**50])
    | st.decimals(allow_nan=False) | st.dates() | st.sampled_from(list(storage_values.Word))
)  # fmt: skip
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text("aé\ud83d\ude00", max_size=2) | st.integers(), inner, max_size=3)
    ),
    max_leaves=6,
)


@pytest.mark.slow
@settings(max_examples=150, deadline=None, database=None)
@given(VALUES)
def test_any_value(value):
    """Whatever a value is made of, it comes back as it was."""
    assert same(there_and_back(StorageFile(path="out"), value), value)


def test_shared_and_endless_ones(storage):
    """What is in itself, or in itself very often, costs no more than what it holds."""
    value = there_and_back(storage, within_itself())
    assert value[1] is value
    value = there_and_back(storage, twofold(60))
    for _ in range(60):
        assert value[0] is value[1]
        value = value[0]
    assert value == [0]
    there_and_back(storage, ["x" * 2**20] * 5000)
    assert (storage.path / "k").stat().st_size < 2**21


def test_what_is_deep(storage):
    """A value is kept however deep it is, or refused; what is kept is read again."""
    for depth in (100, 250, 290, 310, 500, 900, 5000):
        value = depth
        for _ in range(depth):
            value = [value]
        try:
            back = there_and_back(storage, value)
        except ValueNotKept as error:
            assert depth > 300
            assert "RecursionError" in str(error)  # noqa: PT017
            continue
        for _ in range(depth):
            [back] = back
        assert back == depth


@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: [x], lambda x: {"a": x}, lambda x: (x, 1)])
def test_a_value_that_must_not_be_asked(storage, wrap):
    """A value is kept, or refused, without asking it or its class anything that it may answer."""
    try:
        storage.post("k", Context(wrap(Odd())))
    except ValueNotKept as error:
        assert "KeyboardInterrupt" in str(error)  # noqa: PT017 - of pickle, which asks its class
    assert len(fingerprint_of([wrap(Odd())])) == 64


class TestOfLibraries:
    """Values of libraries that dotflow does not need."""

    def test_numpy(self, storage):
        """An array and a number of numpy come back as they were."""
        np = pytest.importorskip("numpy")
        value = there_and_back(storage, np.arange(6, dtype="int16").reshape(2, 3))
        assert value.dtype == "int16"
        assert value.tolist() == [[0, 1, 2], [3, 4, 5]]
        assert type(there_and_back(storage, np.float64(1.5))) is np.float64
        assert type(there_and_back(storage, {"a": [np.int32(1)]})["a"][0]) is np.int32

    def test_pandas(self, storage):
        """A DataFrame comes back as it was."""
        pd = pytest.importorskip("pandas")
        frame = pd.DataFrame({"a": [1, 2], "b": ["x", None]}, index=[3, 4])
        pd.testing.assert_frame_equal(there_and_back(storage, frame), frame)
        assert there_and_back(storage, [frame.a])[0].equals(frame.a)


REFUSED = [
    (threading.Lock(), "_thread.lock", "cannot pickle"),
    ((number for number in range(3)), "generator", "cannot pickle"),
    (lambda: 1, "function", "<lambda>"),
    ({"a": [threading.Lock()]}, "dict", "_thread.lock"),
    (Raising(ValueError("no")), "support.storage_values.Raising", "ValueError: no"),
    (Raising(KeyboardInterrupt()), "support.storage_values.Raising", "KeyboardInterrupt"),
    (Raising(SystemExit(3)), "support.storage_values.Raising", "SystemExit: 3"),
    ([Raising(GeneratorExit())], "list", "GeneratorExit"),
]


@pytest.mark.parametrize(("value", "kind", "why"), REFUSED, ids=label)
def test_what_cannot_be_pickled(storage, value, kind, why):
    """It is refused with its type, the reason and a remedy; what was kept before is untouched."""
    storage.post("k", Context("before"))
    with pytest.raises(ValueNotKept) as raised:
        storage.post("k", Context(value))
    said = str(raised.value)
    assert said.startswith(f"A value of type {kind} is not kept: it cannot be pickled (")
    assert why in said
    assert said.endswith(
        "return data that can be pickled, or write it to a file and return its path."
    )
    assert storage.get("k").storage == "before"
    assert [file.name for file in storage.path.iterdir()] == ["k"]


def test_what_never_ends(storage, impatient, monkeypatch):
    """A value that hangs as it is pickled, or has no end, is refused: nobody waits for ever."""
    with pytest.raises(ValueNotKept, match=r"Hanging is not kept: .*took more than 0.2 s"):
        storage.post("k", Context(Hanging()))
    monkeypatch.setattr(storage_pickle, "LARGEST", 100_000)
    with pytest.raises(ValueNotKept, match="more than 100,000 bytes"):
        storage.post("k", Context(Endless()))


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (Raising(ValueError("no"), "read"), "ValueError: no"),
        (Raising(KeyboardInterrupt(), "read"), "KeyboardInterrupt"),
        (Raising(SystemExit(3), "read"), "SystemExit: 3"),
        (Hanging("read"), "took more than 0.2 s"),
        (Changing(), "it was of type support.storage_values.Changing, and pickle makes list of it"),
    ],
    ids=label,
)
def test_what_cannot_be_read_again(storage, impatient, caplog, value, why):
    """It reads as absent, with one line that says why: nobody gets another value in its place."""
    assert there_and_back(storage, value) is None
    [line] = caplog.messages
    assert line.startswith(f"The result kept as 'k' in {storage.path} cannot be restored")
    assert why in line


@pytest.mark.parametrize("change", ["a module less", "a class less"])
def test_a_class_that_has_moved(storage, caplog, monkeypatch, change):
    """Where the class of a value is no longer to be found it reads as absent, with one line."""
    storage.post("k", Context([Point(1)]))
    if change == "a class less":
        monkeypatch.delattr(storage_values, "Point")
    else:
        monkeypatch.setitem(sys.modules, "support.storage_values", None)
    assert storage.get("k").storage is None
    [line] = caplog.messages
    assert "it is of type list, which cannot be unpickled here: " in line
    assert "Error" in line


def test_a_file_that_is_not_whole(storage, caplog):
    """A file that is cut short or changed anywhere reads as absent: nothing of it is unpickled."""
    storage.post("k", Context(Planted()))
    file = storage.path / "k"
    whole = file.read_bytes()
    for number in range(len(whole)):
        file.write_bytes(whole[:number])
        assert storage.get("k").storage is None
        file.write_bytes(whole[:number] + bytes([whole[number] ^ 1]) + whole[number + 1 :])
        storage.get("k")
        assert number < len(MAGIC) or storage.get("k").storage is None
    assert not Path("planted").exists()
    assert len(caplog.messages) >= 2 * len(whole)


def test_another_program():
    """A class of the program itself is found by that program, and by no other."""
    program = (
        "import sys\n"
        "from dotflow import Context\n"
        "from dotflow.providers import StorageFile\n"
        "class Own:\n"
        "    def __eq__(self, other): return True\n"
        "storage = StorageFile(path='out')\n"
        "if sys.argv[1] == 'write': storage.post('k', Context(Own()))\n"
        "print(type(storage.get('k').storage).__name__)\n"
    )
    Path("one.py").write_text(program)
    Path("other.py").write_text(program.replace("class Own", "class Other").replace("Own()", "1"))
    said = [
        subprocess.run(
            [sys.executable, *arguments], capture_output=True, text=True, timeout=60, check=True
        )
        for arguments in (("one.py", "write"), ("one.py", "read"), ("other.py", "read"))
    ]
    assert [one.stdout for one in said] == ["Own\n", "Own\n", "NoneType\n"]
    assert [one.stderr.count("\n") for one in said] == [0, 0, 1]
    assert "type __main__.Own, which cannot be unpickled here: AttributeError" in said[2].stderr
