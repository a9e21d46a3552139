"""The `dotflow` command."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time

import pytest
import requests
from support.messages import workflow_post

import dotflow
from dotflow.cli.setup import Command
from dotflow.delivery.dead_letters import bury
from dotflow.delivery.message import Refused
from dotflow.main import main


def test_alone_it_prints_the_description(capsys):
    """Without a command it says what it is and what there is."""
    assert Command([]).run() == 0
    text = " ".join(capsys.readouterr().out.split())
    assert dotflow.__description__ in text
    assert "demo" in text


@pytest.mark.parametrize("flag", ["-v", "--version"])
def test_version(flag, capsys):
    """-v prints the version."""
    with pytest.raises(SystemExit) as ended:
        Command([flag]).run()
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"dotflow=={dotflow.__version__}\n"


def test_an_unknown_command_is_an_error(capsys):
    """argparse's 2 for words that are off."""
    with pytest.raises(SystemExit) as ended:
        Command(["fly"]).run()
    assert ended.value.code == 2
    assert "fly" in capsys.readouterr().err


def test_main_exits_with_the_status(monkeypatch):
    """The console script's exit status is the command's."""
    monkeypatch.setattr(sys, "argv", ["dotflow"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0


@pytest.mark.parametrize("command", ["api", "demo"])
def test_without_the_extra_the_remedy_is_named(command, monkeypatch, capsys):
    """What is not installed is said in one line, with the command that installs it."""
    monkeypatch.setitem(sys.modules, "dotflow.api", None)
    monkeypatch.delitem(sys.modules, "dotflow.api.server", raising=False)
    assert Command([command]).run() == 1
    said = capsys.readouterr().err
    assert "pip install 'dotflow[api]'" in " ".join(said.split())
    assert "Traceback" not in said


def test_a_database_that_is_none_is_one_clear_line(capsys):
    """A bad URL is an error at the border."""
    assert Command(["api", "--database", "nonsense"]).run() == 1
    said = capsys.readouterr().err
    assert "Error:" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--host", "0.0.0.0"], "without a token everybody who reaches 0.0.0.0 could"),
        (["--database", "sqlite:////dotflow-of-nobody/x.db"], "mkdir /dotflow-of-nobody"),
        (["--keep", "soon"], "give an age (12h, 30d, 8w) or a number (1000)"),
        (["--keep-keys", "1000"], "give an age (12h, 7d, 8w)"),
        (["--workers", "2"], "give --database postgresql://"),
        (["--workers", "9", "--connections", "9"], "give 27 or more (--connections)"),
    ],
)
def test_api_refuses_what_would_surprise(words, said, capsys):
    """Nobody else is let in without a token, and no folder is made at the root: one clear line."""
    assert Command(["api", "--port", "0", *words]).run() == 1
    err = capsys.readouterr().err
    assert err.startswith("Error: ")
    assert said in err
    assert err.count("\n") == 1


def test_a_port_that_is_taken_is_one_clear_line(tmp_path, capsys):
    """It is named, and what to do about it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        database = f"sqlite:///{tmp_path}/records.db"
        assert Command(["api", "--port", port, "--database", database]).run() == 1
    said = capsys.readouterr().err
    assert said.startswith(f"Error: cannot listen on 127.0.0.1:{port}: ")
    assert "give another port" in said
    assert said.count("\n") == 1


def test_api_serves_until_it_is_interrupted(tmp_path):
    """`dotflow api` answers, with the token, and ends at Ctrl-C."""
    script = "from dotflow.main import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", script, "api", "--port", "0",
         "--database", f"sqlite:///{tmp_path}/records.db"],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "DOTFLOW_API_TOKEN": "t"},
    )  # fmt: skip
    with process:
        line = process.stdout.readline()
        url = next(word for word in line.split() if word.startswith("http"))
        assert requests.get(f"{url}/healthz", timeout=60).status_code == 200
        assert requests.get(f"{url}/workflows", timeout=60).status_code == 401
        allowed = requests.get(f"{url}/workflows", headers={"X-User-Token": "t"}, timeout=60)
        assert allowed.json()["workflows"] == []
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) in (0, 130)
    assert (tmp_path / "records.db").exists()


def test_what_was_refused_commands_no_terminal(capsys):
    """The outbox and errors show the control characters of an id, which may be a stranger's."""
    bury("dotflow-api at http://h", workflow_post("w\x1b[2J"), Refused(422, "no"), None)
    assert Command(["outbox", "status"]).run() == 0
    assert r"w\x1b[2J: 422 no" in capsys.readouterr().out
    assert Command(["trace", "w\x1b[2J"]).run() == 1
    assert "\x1b[2J" not in capsys.readouterr().err
