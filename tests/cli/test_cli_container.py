"""The command in a container: a user whom nobody knows, without a home, in a folder of root's."""

import json
import os

import pytest

from dotflow.cli.commands import demo
from dotflow.cli.setup import Command
from dotflow.runlog import folder


@pytest.fixture
def nobody(monkeypatch):
    """This process is of a user who is in no list and has no home."""
    pwd = pytest.importorskip("pwd")

    def unknown(uid):
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.setattr(folder, "_found", {})
    for name in ("HOME", "DOTFLOW_STATE_DIR", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("nobody")
def test_doctor_names_the_folder_that_there_is_not(capsys, monkeypatch):
    """It goes through to its end; the one fault is the state folder, and the remedy a variable."""
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    assert Command(["doctor", "--json"]).run() == 1
    [fault] = json.loads(capsys.readouterr().out)["faults"]
    assert fault["about"] == "state folder none: this user has no home"
    assert "DOTFLOW_STATE_DIR" in fault["remedy"]
    assert os.devnull not in json.dumps(fault)


@pytest.mark.usefixtures("nobody")
@pytest.mark.parametrize("action", ["status", "flush"])
def test_an_outbox_that_is_nowhere_is_one_clear_line(action, capsys):
    """The message names the variable."""
    assert Command(["outbox", action]).run() == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("Error: There is no folder for the outbox")
    assert line.endswith("Set DOTFLOW_STATE_DIR.")


def test_a_demo_without_a_place_is_one_clear_line(capsys, monkeypatch, tmp_path):
    """Its folder cannot be made, and the message names the variable."""
    (tmp_path / "file").touch()
    monkeypatch.setattr(demo, "DATABASE", tmp_path / "file" / "inside" / "demo.db")
    assert Command(["demo", "--json"]).run() == 1
    [line] = capsys.readouterr().err.splitlines()
    assert "DOTFLOW_OUTPUT_PATH" in line
