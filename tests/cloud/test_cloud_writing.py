"""`dotflow cloud` writes its files, says what comes next, and spares what somebody changed."""

from __future__ import annotations

import shlex
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


@pytest.mark.parametrize("name", PLATFORMS)
def test_the_variables_of_the_default_dialect(name, capsys):
    """An id that is in the code needs the other pair, and nothing of the managed one is left."""
    words = (name, "-w", "etl:p", "--dialect", "default", "--resume", "--out", "there")
    assert cloud(*words) == 0
    texts = [path.read_text() for path in Path("there").rglob("*") if path.is_file()]
    said = "\n".join([*texts, capsys.readouterr().out])
    assert "DOTFLOW_USER_TOKEN" in said
    assert "DOTFLOW_SERVER_URL" in said
    assert "SERVER_BASE_URL" not in said
    assert "SERVER_USER_TOKEN" not in said


OURS = "# The public index has another package of this name"


def test_the_image_has_this_dotflow(capsys):
    """A wheel beside the files, unless it is said where pip gets it from; no bare name."""
    assert (
        cloud("compose", "-w", "etl:p", "--out", "one", "--with-api", "--schedule", "@daily") == 0
    )
    assert "pip wheel --no-deps --wheel-dir one CLONE" in capsys.readouterr().out
    for name, extra in (("Dockerfile", "scheduler"), ("Dockerfile.api", "postgres")):
        text = Path("one", name).read_text()
        assert OURS in text
        assert 'COPY ["one/dotflow-*.whl", "/tmp/"]' in text
        assert f'pip install "${{wheel}}[{extra}]"' in text
        assert "pip install dotflow" not in text
        assert "pip install 'dotflow" not in text


@pytest.mark.parametrize(
    ("given", "installed"),
    [
        ("dotflow==2.0.0", "dotflow[scheduler]==2.0.0"),
        ("dotflow", "dotflow[scheduler]"),
        ("dotflow[all]==2.0.0", "dotflow[all]==2.0.0"),
        ("dotflow @ https://h/dotflow-2.whl", "dotflow[scheduler] @ https://h/dotflow-2.whl"),
        ("git+ssh://git@h/dotflow", "dotflow[scheduler] @ git+ssh://git@h/dotflow"),
        ("./dotflow-2.0.0-py3-none-any.whl", "./dotflow-2.0.0-py3-none-any.whl[scheduler]"),
    ],
)
def test_what_is_installed_can_be_said(given, installed, capsys):
    """With the extra that the schedule needs, and with what the project names."""
    words = ("-w", "etl:p", "--schedule", "@daily", "--install", given)
    assert cloud("compose", *words, "--out", "one") == 0
    assert "pip wheel" not in capsys.readouterr().out
    assert shlex.join(["pip", "install", installed]) in Path("one/Dockerfile").read_text()
    Path("requirements.txt").write_text("")
    assert cloud("compose", *words, "--out", "two") == 0
    both = f"pip install {shlex.quote(installed)} -r requirements.txt"
    assert both in Path("two/Dockerfile").read_text()


@pytest.mark.parametrize(
    "given", ["--pre", "dotflow\nRUN evil", "dotflow @ https://me:secret@h/dotflow.whl"]
)
def test_what_pip_is_not_to_be_told(given, capsys):
    """A flag, another line, a password: refused, and not repeated where it is a secret."""
    assert cloud("compose", "-w", "etl:p", f"--install={given}") == 2
    assert "secret" not in capsys.readouterr().err
