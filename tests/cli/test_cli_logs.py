"""`dotflow logs`."""

from __future__ import annotations

import pytest

from dotflow.settings import Settings


@pytest.fixture
def log_file(tmp_path, monkeypatch):
    path = tmp_path / "flow.log"
    monkeypatch.setattr(Settings, "LOG_PATH", path)
    return path


def test_it_prints_the_file(command, capsys, log_file):
    """The file as it is, on standard output."""
    log_file.write_bytes("one\nzwei: ü\n".encode() + b"\xff\n")
    assert command("logs") == 0
    assert capsys.readouterr().out == "one\nzwei: ü\n�\n"


def test_without_a_file_it_says_how_to_get_one(command, capsys, log_file):
    """No file is status 1, with a line that says what writes one."""
    assert command("logs") == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "LogDefault(output='both')" in err


def test_a_folder_is_no_log(command, capsys, log_file):
    """What cannot be read is an error that says so."""
    log_file.mkdir()
    assert command("logs") == 1
    assert "cannot be read" in capsys.readouterr().err
