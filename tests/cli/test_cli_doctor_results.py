"""`dotflow doctor`: where results are kept, and whether that bucket takes what a run does."""

from __future__ import annotations

import json

import fsspec
import pytest
from support.aws import CREDENTIALS, answering, begin_threads

from dotflow.cli.setup import Command

KEY = "k" * 40
PROGRAM = """
from dotflow import Config, DotFlow
from dotflow.providers import StorageFile

def pipeline():
    return DotFlow(config=Config(storage=StorageFile(path="memory://bucket/of-the-code")))
"""


@pytest.fixture
def doctor(capsys, monkeypatch):
    """Runs `dotflow doctor --json` with variables; what it found of results."""

    def run(*words, **variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        Command(["doctor", "--json", *words]).run()
        said = capsys.readouterr()
        assert KEY not in said.out + said.err
        found = json.loads(said.out)
        return (
            {one["variable"]: one["value"] for one in found["settings"]},
            [one for one in found["destinations"] if one["kind"] == "results"],
            [one for one in [*found["faults"], *found["notes"]] if "results" in one["about"]],
        )

    return run


def test_a_folder_is_no_destination(doctor):
    """Results in a folder of this machine are said, and not tried."""
    settings, tried, findings = doctor()
    assert settings["DOTFLOW_STORAGE_PATH"] == ".output"
    assert (tried, findings) == ([], [])


def test_a_bucket_is_tried(doctor, tmp_path, monkeypatch):
    """An object is written, read, listed and deleted; a program's Config wins over the variable."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "of_the_code.py").write_text(PROGRAM)
    there = {"DOTFLOW_STORAGE_PATH": "memory://bucket/orders"}
    settings, [tried], [note] = doctor(**there)
    assert settings["DOTFLOW_STORAGE_PATH"] == "memory://bucket/orders"
    assert tried["destination"] == "results in memory://bucket/orders/tasks"
    assert (tried["ok"], tried["did"]) == (True, "an object was written, read, listed and deleted")
    assert "values that are no JSON are not kept there" in note["problem"]
    assert "set DOTFLOW_STORAGE_KEY" in note["remedy"]
    settings, [tried], findings = doctor("-w", "of_the_code.pipeline", DOTFLOW_STORAGE_KEY=KEY)
    assert settings["DOTFLOW_STORAGE_PATH"] == "memory://bucket/of-the-code/tasks"
    assert settings["DOTFLOW_STORAGE_KEY"] == "1"
    assert (tried["ok"], findings) == (True, [])
    assert fsspec.filesystem("memory").find("/") == []


@pytest.fixture(scope="module")
def threads():
    begin_threads()


@pytest.mark.slow
def test_a_bucket_that_takes_nothing(threads, doctor):
    """What is wrong is named, with what mends it."""
    with answering(*[(403, "AccessDenied")] * 20) as server:
        _, [tried], [fault] = doctor(
            **CREDENTIALS,
            AWS_ENDPOINT_URL=server.url,
            DOTFLOW_STORAGE_PATH="s3://bucket/orders",
            DOTFLOW_STORAGE_KEY=KEY,
        )
    assert tried["ok"] is False
    assert fault["problem"] == "PermissionError: AccessDenied"
    assert fault["remedy"] == "Let these credentials read, write, list and delete there"


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"DOTFLOW_STORAGE_PATH": "ftp://host/x"}, "no address that begins with ftp://"),
        ({"DOTFLOW_STORAGE_PATH": "s3://ada:hunter2@bucket"}, "has credentials in it"),
        ({"DOTFLOW_STORAGE_KEY": "short"}, "less than 32 characters"),
    ],
)
def test_variables_that_are_wrong(doctor, variables, words):
    """What a run would refuse is a fault."""
    settings, tried, [fault] = doctor(**variables)
    assert words in fault["problem"]
    assert "hunter2" not in str((settings, fault))
    assert fault["remedy"]
    assert tried == []
