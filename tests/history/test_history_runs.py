"""The runs of this machine, read from its logs: while they go on, and after a kill."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import local_program

from dotflow.cli.local.traces import spans_of
from dotflow.history.drawing import bars_of
from dotflow.history.runs import LocalRuns
from dotflow.waterfall.spans import ERROR

NOBODY = "http://127.0.0.1:9"


class Seen:
    """What was read while a program ran, and after it was killed."""

    def __init__(self, state):
        environment = {
            **os.environ, "PYTHONPATH": str(Path(local_program.__file__).parent.parent),
            "DOTFLOW_STATE_DIR": str(state), "DOTFLOW_HISTORY": "",
        }  # fmt: skip
        command = [sys.executable, "-m", "support.local_program", NOBODY]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe) as program:
            assert program.stdout.readline() == b"waiting\n"
            self.reader = LocalRuns(contexts=True)
            self.alive = {run.name: run for run in self.reader.read()}
            self.bars_alive = bars_of(self.alive["long"])
            self.status_alive = self.alive["long"].status
            program.kill()
        self.order = [run.name for run in self.reader.read()]
        self.dead = {run.name: run for run in self.reader.read()}


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        state = tmp_path_factory.mktemp("state")
        patch.setenv("DOTFLOW_STATE_DIR", str(state))
        yield Seen(state)


def test_runs_are_read_the_newest_first(seen):
    assert seen.order == ["long", "broken", "nightly"]


def test_a_run_that_has_ended_is_as_it_was(seen):
    run = seen.alive["nightly"]
    assert (run.workflow, run.status, run.mode) == ("nightly-1", "Completed", "sequential_group")
    assert run.ended_at - run.began_at == pytest.approx(run.duration * 1e9, abs=5e8)
    assert [(task.name, task.group, task.status) for task in run.all_tasks()] == [
        ("extract", "in", "Completed"), ("load", "out", "Completed"),
    ]  # fmt: skip
    assert list(run.tasks.values())[1].retries == 2


def test_what_a_credential_is_beside_is_read_masked(seen):
    extract, load = seen.alive["nightly"].all_tasks()
    assert extract.current == {"rows": 3, "password": "***"}
    assert {one["message"] for one in load.errors.values()} == {"password=*** is wrong"}


def test_a_task_that_was_not_begun_is_there(seen):
    statuses = [task.status for task in seen.alive["broken"].all_tasks()]
    assert statuses == ["Completed", "Failed", "Not started"]


def test_a_run_goes_on_while_its_process_lives(seen):
    assert seen.status_alive == "In progress"
    assert [(bar.name, bar.status, bar.end is None) for bar in seen.bars_alive] == [
        ("long", "In progress", True), ("extract", "Completed", False),
        ("wait", "In progress", True), ("load", "Not started", True),
    ]  # fmt: skip


def test_a_run_whose_process_was_killed_has_failed(seen):
    run = seen.dead["long"]
    assert (run.status, run.is_lost) == ("Failed", True)
    wait = run.all_tasks()[1]
    assert wait.status == "Failed"
    assert wait.ended_at >= wait.began_at
    assert [one["exception"] for one in wait.errors.values()] == ["ProcessEnded"]
    assert seen.dead["nightly"].status == "Completed"


def test_bars_show_groups_attempts_and_what_failed(seen):
    bars = bars_of(seen.dead["nightly"])
    assert [(bar.name, bar.kind, bar.depth, bar.group) for bar in bars] == [
        ("nightly", "workflow", 0, ""), ("extract", "task", 1, "in"), ("load", "task", 1, "out"),
        ("attempt 1", "attempt", 2, ""), ("attempt 2", "attempt", 2, ""),
        ("attempt 3", "attempt", 2, ""),
    ]  # fmt: skip
    assert [(bar.status, bar.note) for bar in bars[3:]] == [
        ("Failed", "ConnectionError"), ("Failed", "ConnectionError"), ("Completed", ""),
    ]  # fmt: skip
    for bar in bars[3:]:
        assert bars[2].start <= bar.start <= bar.end <= bars[2].end
    failed = next(
        bar for bar in bars_of(seen.dead["broken"]) if bar.status == "Failed" and bar.depth
    )
    assert (failed.name, failed.note, failed.task) == ("fail", "LookupError", 2)


def test_of_a_run_whose_beginning_is_gone_the_rest_is_there(tmp_path, monkeypatch):
    monkeypatch.setenv("DOTFLOW_STATE_DIR", str(tmp_path))
    folder = tmp_path / "history"
    folder.mkdir()
    lines = [
        {"f": "log", "v": 1, "id": "a" * 32, "segment": 2, "at": 900},
        {"f": "task began", "n": 8, "t": 7, "at": 1000, "name": "load", "group": "g"},
        {"f": "task ended", "n": 9, "t": 7, "at": 3000, "status": "Completed", "duration": 2e-6},
        {"f": "task began", "n": 10, "t": 8, "at": 4000, "name": "tell", "group": "g"},
    ]  # fmt: skip
    text = "".join(json.dumps({**one, "w": "w", "r": 4, "to": {}}) + "\n" for one in lines)
    (folder / f"{'a' * 32}-000002.log").write_text(text)
    [run] = LocalRuns().read()
    assert (run.workflow, run.status, run.is_lost, run.began_at) == ("w", "Failed", True, 1000)
    assert [(task.name, task.status) for task in run.all_tasks()] == [
        ("load", "Completed"), ("tell", "Failed"),
    ]  # fmt: skip


def test_the_attempt_that_failed_a_task_has_failed(tmp_path, monkeypatch):
    """Also as an exported span: its error is the task's own, which names no attempt."""
    monkeypatch.setenv("DOTFLOW_STATE_DIR", str(tmp_path))
    folder = tmp_path / "history"
    folder.mkdir()
    first, last = (
        {"attempt": number, "exception": name, "message": "no", "traceback": ""}
        for number, name in ((1, "OSError"), (None, "ValueError"))
    )
    of_task = {"t": 1, "w": "w", "r": 2, "to": {}}
    lines = [
        {"f": "log", "v": 1, "id": "a" * 32, "segment": 1, "at": 900},
        {"f": "task began", "n": 3, "at": 1000, "name": "load", "group": "default", **of_task},
        {"f": "attempt began", "n": 4, "at": 1000, "attempt": 1, **of_task},
        {"f": "attempt ended", "n": 5, "at": 2000, "attempt": 1, "error": first, **of_task},
        {"f": "task retried", "n": 6, "at": 2000, "retries": 1, "error": first, **of_task},
        {"f": "attempt began", "n": 7, "at": 3000, "attempt": 2, **of_task},
        {"f": "attempt ended", "n": 8, "at": 4000, "attempt": 2, "error": last, **of_task},
        {"f": "task ended", "n": 9, "at": 4000, "status": "Failed", "duration": 3e-6,
         "retries": 1, "error": last, **of_task},
    ]  # fmt: skip
    (folder / f"{'a' * 32}-000001.log").write_text("".join(json.dumps(one) + "\n" for one in lines))
    [run] = LocalRuns().read()
    notes = [(bar.name, bar.note) for bar in bars_of(run) if bar.kind == "attempt"]
    assert notes == [("attempt 1", "OSError"), ("attempt 2", "ValueError")]
    attempts = [span for span in spans_of(run, {}, 5000) if span.name == "attempt"]
    assert [(span.outcome, span.message) for span in attempts] == [
        (ERROR, "OSError: no"), (ERROR, "ValueError: no"),
    ]  # fmt: skip
