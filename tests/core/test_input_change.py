"""on_input_change: what a resumed run does with another input; and fingerprints."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import json
import os
import re
import subprocess
import sys
import threading
import uuid
from collections import OrderedDict
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import pytest
from core_doubles import echo, recording_config
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from dotflow import Config, Context, DotFlow
from dotflow.core import digest
from dotflow.core.exception import InputChangedError
from dotflow.core.fingerprint import fingerprint_of, fp_key, read_fingerprint, write_fingerprint
from dotflow.core.workflow import Manager
from dotflow.providers import StorageDefault, StorageFile


@dataclasses.dataclass
class Point:
    x: object
    y: object


class Row(NamedTuple):
    a: int
    b: object


class Number(enum.IntEnum):
    ONE = 1


class Model(BaseModel):
    names: set[str]


class Slots:
    __slots__ = ("names",)

    def __init__(self, names):
        self.names = names


class Raising:
    """Raises an error as it is looked at, or waits for an event."""

    def __init__(self, what):
        self.what = what

    def __reduce_ex__(self, protocol):
        if isinstance(self.what, BaseException):
            raise self.what
        self.what.wait()
        return "Raising"


class Endless:
    def __reduce__(self):
        return list, (), None, (Point(number, {number}) for number in iter(int, 1))


def deep(value):
    for _ in range(100):
        value = [value]
    return value


@pytest.fixture(params=[StorageDefault, StorageFile])
def config(request, quiet):
    quiet.storage = request.param()
    return quiet


def start(config, value, **kwargs):
    flow = DotFlow(config=config, workflow_id="w")
    flow.task.add(echo, initial_context=value)
    flow.start(resume=True, **kwargs)
    return flow.result_storage()[0]


@pytest.mark.parametrize("policy", ["reuse", "reset", "raise"])
def test_the_first_run_writes_the_fingerprint(config, policy):
    """Where no fingerprint is stored every policy writes it and goes on."""
    assert start(config, "a", on_input_change=policy) == "a"
    assert read_fingerprint(config.storage, "w") == fingerprint_of(["a"])


@pytest.mark.parametrize("policy", ["reuse", "reset", "raise"])
def test_the_same_input_goes_on(config, policy):
    """The same input is restored under every policy."""
    start(config, "a")
    config.storage.post("w-1.json", Context("kept"))
    config.storage.post("w-1", Context("kept"))
    assert start(config, "a", on_input_change=policy) == "kept"


def test_reuse(config):
    """ "reuse" goes on with what is there, and the stored fingerprint stays."""
    start(config, "a")
    assert start(config, "b", on_input_change="reuse") == "a"
    assert read_fingerprint(config.storage, "w") == fingerprint_of(["a"])


def test_reset(config):
    """ "reset" forgets the workflow's checkpoints, and no other's, and writes the new input."""
    config.storage.post("other-1", Context("stays"))
    start(config, "a")
    assert start(config, "b", on_input_change="reset") == "b"
    assert read_fingerprint(config.storage, "w") == fingerprint_of(["b"])
    assert config.storage.get("other-1").storage == "stays"


def test_raise(record):
    """ "raise" refuses before anybody is told of the run, and the last results stay."""
    config = recording_config(record)
    flow = DotFlow(config=config, workflow_id="w")
    flow.task.add(echo, initial_context="a")
    flow.start(resume=True)
    flow.task.queue[0].initial_context = "b"
    record.clear()
    with pytest.raises(InputChangedError, match="'w'"):
        flow.start(resume=True, on_input_change="raise")
    assert record.starting("tracer", "metrics", "server", "notify") == []
    assert flow.result_storage() == ["a"]


def test_an_explicit_fingerprint_stands_for_the_input(config):
    """A fingerprint that is given is compared instead of the initial contexts."""
    start(config, "a", fingerprint="v1")
    assert read_fingerprint(config.storage, "w") == "v1"
    assert start(config, "b", fingerprint="v1", on_input_change="raise") == "a"
    with pytest.raises(InputChangedError):
        start(config, "a", fingerprint="v2", on_input_change="raise")


def test_without_resume_nothing_is_compared(config):
    """A run that is not resumed reads and writes no fingerprint."""
    flow = DotFlow(config=config, workflow_id="w")
    flow.task.add(echo, initial_context="a")
    flow.start(on_input_change="raise", fingerprint="x")
    assert read_fingerprint(config.storage, "w") is None


def test_without_a_config_nothing_is_compared(config):
    """A Manager without a Config compares nothing."""
    flow = DotFlow(config=config, workflow_id="w")
    flow.task.add(echo, initial_context="a")
    Manager(flow.task.queue, workflow_id="w", resume=True, on_input_change="raise")
    assert read_fingerprint(config.storage, "w") is None


class TestFingerprint:
    """The fingerprint functions."""

    def test_of_json(self):
        """It is the sha256 of the JSON text with sorted keys."""
        values = [{"b": 1, "a": [None, 1.5]}, "x"]
        text = json.dumps(values, sort_keys=True)
        assert fingerprint_of(values) == sha256(text.encode()).hexdigest()
        assert fingerprint_of([{"a": 1, "b": 2}]) == fingerprint_of([{"b": 2, "a": 1}])

    def test_of_what_json_cannot_express(self):
        """What JSON cannot express is compared by value: in any order, if it has none."""
        one = [
            {"a", "b", "c"},
            Point(1, {2}),
            {(1, 2): "x", "y": frozenset({3, 4})},
            Decimal("1.50"),
        ]
        other = [
            {"c", "b", "a"},
            Point(1, {2}),
            {"y": frozenset({4, 3}), (1, 2): "x"},
            Decimal("1.50"),
        ]
        assert fingerprint_of(one) == fingerprint_of(other)
        for number, changed in enumerate(
            [{"a", "b"}, Point(1, {3}), {(1, 2): "x"}, Decimal("1.5")]
        ):
            assert fingerprint_of(one) != fingerprint_of(
                [*one[:number], changed, *one[number + 1 :]]
            )

    @pytest.mark.parametrize(
        "make",
        [
            lambda: {1, "a", (2, b"3")},
            lambda: Point({"b", "a"}, [Point(None, dt.date(2026, 1, 2))]),
            lambda: {"a": Path("x"), "b": re.compile("x"), "c": uuid.UUID(int=5)},
            lambda: [Number.ONE, Row(1, {2}), 1 + 2j, 10**5000, "\ud800", range(3), ...],
            lambda: OrderedDict(a=[bytearray(b"x")]),
            lambda: (len, Point, json, Point(1, 2).__eq__),
            lambda: Model(names={"a", "b"}),
            lambda: Slots({"b", "a"}),
            lambda: [Context({"b", "a"}), {"a": Context(1, 2)}],
            lambda: [{"a", "b"}] * 3,
            lambda: deep({1}),
        ],
    )  # fmt: skip
    def test_equal_values(self, make, caplog):
        """Equal values have equal fingerprints; all of each is compared."""
        assert fingerprint_of([make()]) == fingerprint_of((make(),))
        assert fingerprint_of([make()]) != fingerprint_of([make(), None])
        assert caplog.messages == []

    def test_sharing_makes_no_difference(self):
        """Whether parts are equal or the same makes no difference."""
        row, rows = {"a": {1}}, [{"a": {1}}, {"a": {1}}]
        assert fingerprint_of([[row, row]]) == fingerprint_of([rows])
        plain = {"a": [1]}
        assert fingerprint_of([[plain] * 2]) == fingerprint_of([[{"a": [1]}, {"a": [1]}]])
        value = [0]
        for _ in range(60):
            value = [value, value]
        assert len(fingerprint_of([value])) == 64

    def test_in_every_process(self):
        """It is the same whatever seed a process has for its hashes."""
        program = (
            "import enum\n"
            "from dotflow.core.fingerprint import fingerprint_of\n"
            "class Source:\n"
            "    def __init__(self, **more): self.__dict__.update(more)\n"
            "value = Source(names={'a', 'b', 'c'}, by={frozenset('xyz'): {'k': {'p', 'q'}}})\n"
            "print(fingerprint_of([value, {'x', 'y', 'z'}, {'a': {'b', 'c'}}]))\n"
        )
        said = {
            subprocess.run(
                [sys.executable, "-c", program], capture_output=True, text=True, timeout=60,
                check=True, env={**os.environ, "PYTHONHASHSEED": str(seed)},
            ).stdout
            for seed in range(1, 6)
        }  # fmt: skip
        assert len(said) == 1

    def test_what_cannot_be_compared(self, caplog):
        """A lock is left out, with one line that names its type; the rest is compared."""
        prints = [fingerprint_of([{"a": one, "lock": threading.Lock()}]) for one in (1, 1, 2)]
        assert prints[0] == prints[1] != prints[2]
        assert len(caplog.messages) == 3
        assert "A part of the input cannot be compared (_thread.lock): " in caplog.messages[0]
        assert "fingerprint=" in caplog.messages[0]

    @pytest.mark.parametrize("error", [ValueError(), KeyboardInterrupt(), SystemExit()], ids=repr)
    def test_of_what_raises(self, caplog, error):
        """A value that raises anything as it is compared is left out."""
        prints = [fingerprint_of([[Raising(error), one]]) for one in (1, 1, 2)]
        assert prints[0] == prints[1] != prints[2]
        assert "(test_input_change.Raising)" in caplog.text

    def test_of_what_never_ends(self, caplog, monkeypatch):
        """A value that hangs, or has more and more in it, is left out; nobody waits for ever."""
        monkeypatch.setattr(digest, "PATIENCE", 0.2)
        monkeypatch.setattr(digest, "MOST_PARTS", 1000)
        go_on = threading.Event()
        assert len(fingerprint_of([Raising(go_on)])) == 64
        assert len(fingerprint_of([Endless()])) == 64
        assert [line.split(" (")[1].split(")")[0] for line in caplog.messages] == [
            "test_input_change.Raising", "test_input_change.Endless",
        ]  # fmt: skip
        go_on.set()
        for thread in threading.enumerate():
            if thread.name == "dotflow-value":
                thread.join(30)

    def test_of_frames(self):
        """Arrays and tables are compared by what they hold."""
        pd, np = pytest.importorskip("pandas"), pytest.importorskip("numpy")

        def frame(last):
            return pd.DataFrame({"a": np.arange(3), "b": ["x", "y", last]})

        assert fingerprint_of([frame("z")]) == fingerprint_of([frame("z")])
        assert fingerprint_of([frame("z")]) != fingerprint_of([frame("x")])

    def test_of_a_list_within_itself(self):
        """A list that contains itself has a fingerprint."""
        values = []
        values.append(values)
        assert len(fingerprint_of(values)) == 64

    @settings(max_examples=25, deadline=None, database=None)
    @given(st.lists(st.none() | st.integers() | st.text('aB é€😀"', max_size=5), max_size=4))
    def test_of_anything(self, values):
        """It is always 64 hex digits, and the same for the same values."""
        assert len(fingerprint_of(values)) == 64
        assert int(fingerprint_of(values), 16) >= 0
        assert fingerprint_of(values) == fingerprint_of(json.loads(json.dumps(values)))

    def test_key(self):
        """It is kept under the workflow's id and a suffix."""
        assert fp_key("w") == "w-_input_fp"

    @pytest.mark.parametrize("storage_class", [StorageDefault, StorageFile])
    def test_write_and_read(self, storage_class):
        """What was written is read; what is absent or no text is None."""
        storage = storage_class()
        assert read_fingerprint(storage, "w") is None
        write_fingerprint(storage, "w", "abc")
        assert read_fingerprint(storage, "w") == "abc"
        storage.post(fp_key("w"), Context([1]))
        assert read_fingerprint(storage, "w") is None

    def test_is_posted_as_a_context(self):
        """The fingerprint reaches the storage as a Context, so that any storage takes it."""
        config = Config()
        write_fingerprint(config.storage, "w", "abc")
        assert isinstance(config.storage.get("w-_input_fp"), Context)
