"""A damaged disk may change anything: what is left of a log is shown, and no command fails."""

from __future__ import annotations

import json
import random

import pytest

from dotflow import Config, DotFlow, action
from dotflow.cli.setup import Command
from dotflow.otel import ServerOtel
from dotflow.providers import LogDefault
from dotflow.runlog import history
from dotflow.runlog.writer import run_log

ODD = [None, "x", {}, [], -1, 0, 10**30, 1e300, True, "1" * 300, {"exception": 7}, [[1]], [None]]

COMMANDS = [("runs",), ("runs", "--json"), ("trace", "last"), ("trace", "last", "--json"),
            ("trace", "last", "--perfetto"), ("trace", "last", "--svg")]  # fmt: skip


@action(retry=2, retry_delay=0)
def flaky():
    raise ConnectionError("away")


@pytest.fixture
def kept(monkeypatch):
    """The file of a run that is kept, and its lines."""
    monkeypatch.setenv("DOTFLOW_HISTORY", "1MB")
    config = Config(server=ServerOtel(), log=LogDefault(level="CRITICAL"))
    workflow = DotFlow(config=config, name="nightly", workflow_id="w")
    workflow.task.add([flaky, flaky])
    workflow.start()
    run_log.close()
    [(_, _, path)] = history.kept()
    return path, path.read_bytes().splitlines()


def shown(capsys):
    """All that the commands print of it; none of them ends with an error that nobody expected."""
    for words in COMMANDS:
        status = Command(words).run()
        said = capsys.readouterr()
        assert status == 0 or "There is no run" in said.err, said.err


def test_any_value_may_be_odd(kept, capsys):
    path, lines = kept
    rng = random.Random(5)
    for _ in range(25):
        changed = [json.loads(line) for line in lines]
        for _ in range(rng.randint(1, 4)):
            fact = rng.choice(changed)
            fact[rng.choice([*fact, "carried", "owing"])] = rng.choice(ODD)
        path.write_text("".join(f"{json.dumps(fact)}\n" for fact in changed))
        shown(capsys)


def test_any_byte_may_be_another(kept, capsys):
    path, lines = kept
    rng = random.Random(6)
    whole = b"\n".join([*lines, b""])
    for _ in range(8):
        damaged = bytearray(whole)
        for _ in range(rng.randint(1, 20)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        path.write_bytes(damaged)
        shown(capsys)
