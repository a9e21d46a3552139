"""`dotflow cloud` writes its files, says what comes next, and spares what somebody changed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dotflow.cli.setup import Command
from dotflow.cloud.platforms import PLATFORMS


def cloud(*words):
    return Command(["cloud", *words]).run()


@pytest.mark.parametrize("name", PLATFORMS)
def test_files(name, capsys):
    """Two options are enough; the same again changes nothing, and what is changed is kept."""
    words = (name, "--workflow", "etl:pipeline", "--out", "there")
    assert cloud(*words) == 0
    said = capsys.readouterr().out
    files = {path: path.read_text() for path in Path("there").rglob("*") if path.is_file()}
    assert files
    assert all(str(path) in said for path in files)
    assert "What comes next:" in said
    assert cloud(*words) == 0
    assert "(as it was)" in capsys.readouterr().out
    changed = next(iter(files))
    changed.write_text("mine")
    assert cloud(*words, "--grace", "77") == 1
    said = capsys.readouterr().err
    assert str(changed.relative_to("there")) in said
    assert "'--force'" in said
    assert changed.read_text() == "mine"
    assert cloud(*words, "--force") == 0
    assert {path: path.read_text() for path in files} == files


def test_wrong_words(capsys):
    """A wrong value is a fault of the words, and a folder that cannot be made is named."""
    assert cloud("compose", "-w", "etl") == 2
    assert "write 'module:name'" in capsys.readouterr().err
    assert cloud("compose", "-w", "etl:p", "--env", "A") == 2
    assert "write NAME=VALUE" in capsys.readouterr().err
    Path("taken").write_text("")
    assert cloud("compose", "-w", "etl:p", "--out", "taken/there") == 1
    assert "'--out taken/there' cannot be used" in capsys.readouterr().err
    assert list(Path().iterdir()) == [Path("taken")]


def test_what_is_missing(monkeypatch, capsys, caplog):
    """A module that is not here may be in the image, and is told of; without the extra the remedy
    is named."""
    assert cloud("compose", "-w", "etl.daily:p", "--out", "one") == 0
    assert "There is no module 'etl' in this folder" in caplog.text
    caplog.clear()
    Path("etl").mkdir()
    assert cloud("compose", "-w", "etl.daily:p", "--out", "two") == 0
    assert not caplog.text
    monkeypatch.setitem(sys.modules, "ruamel.yaml", None)
    assert cloud("compose", "-w", "etl:p", "--out", "three") == 1
    assert "pip install 'dotflow[cloud]'" in capsys.readouterr().err
    assert not Path("three").exists()


def test_packages_of_the_project():
    """The image installs what the project names."""
    Path("pyproject.toml").write_text("")
    cloud("compose", "-w", "etl:p", "--out", "one")
    assert "pip install .\n" in Path("one/Dockerfile").read_text()
    Path("requirements.txt").write_text("")
    cloud("compose", "-w", "etl:p", "--out", "two")
    assert "pip install -r requirements.txt\n" in Path("two/Dockerfile").read_text()
