"""on_input_change: what a resumed run does with another input; and fingerprints."""

from __future__ import annotations

import json
from hashlib import sha256

import pytest
from core_doubles import echo, recording_config
from hypothesis import given, settings
from hypothesis import strategies as st

from dotflow import Config, Context, DotFlow
from dotflow.core.exception import InputChangedError
from dotflow.core.fingerprint import fingerprint_of, fp_key, read_fingerprint, write_fingerprint
from dotflow.core.workflow import Manager
from dotflow.providers import StorageDefault, StorageFile


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
        """It is the sha256 of the repr where JSON cannot express the values."""
        values = [{1, 2}]
        assert fingerprint_of(values) == sha256(repr(values).encode()).hexdigest()

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
