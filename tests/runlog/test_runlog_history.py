"""What nobody needs any more is kept where DOTFLOW_HISTORY says so: masked, bounded, apart."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from support import local_program
from support.run_logs import NAME, began, ended, line

from dotflow import Config, DotFlow, action
from dotflow.delivery.survey import survey
from dotflow.history.runs import LocalRuns
from dotflow.providers import LogDefault, ServerDefault
from dotflow.runlog import files, history, writer
from dotflow.runlog.keeping import gather, keeper


def kept():
    """The files that are kept, by name."""
    return {path.name: path for _, _, path in history.kept()}


def run_and_close(logs, *more):
    """A log with a run, of which its reader has read all."""
    one = logs(NAME)
    for text in (began(), *more, ended(900)):
        one.log.append(text)
    one.read()
    one.log.done(one.log.segments[-1], one.keys[0])
    segment = one.log.segments[-1].path
    one.log.close()
    assert not files.logs(), "a log that nobody needs is still there"
    return segment


@pytest.mark.parametrize(
    ("given", "size"),
    [("64MB", 64 * 2**20), (" 1 gb", 2**30), ("300", 300), ("2KiB", 2048), ("off", 0), ("", 0),
     ("-1", 0), ("lots", 0)],
)  # fmt: skip
def test_a_size_is_said_with_its_unit(given, size, monkeypatch, warnings):
    monkeypatch.setenv("DOTFLOW_HISTORY", given)
    history._bytes.cache_clear()
    assert history.wanted() == size
    assert bool(warnings()) == (given in ("-1", "lots"))


def test_nothing_is_kept_unless_it_is_asked_for(logs):
    run_and_close(logs)
    assert not kept()


def test_what_is_kept_is_masked_private_and_waits_for_nobody(logs, monkeypatch):
    monkeypatch.setenv("DOTFLOW_HISTORY", "1MB")
    result = {"rows": 3, "api_key": "k3y"}
    error = {"exception": "E", "message": "token=t0k3n is old", "traceback": ""}
    plain = line(3, kind="task ended", current={"rows": 4}, status="Completed")
    segment = run_and_close(
        logs, line(2, kind="task ended", current=result, error=error, status="Failed"), plain
    )
    [path] = kept().values()
    text = path.read_text()
    assert "k3y" not in text
    assert "t0k3n" not in text
    assert plain.decode() in text, "a line that says no credential is as it was"
    facts = [json.loads(one) for one in text.splitlines()]
    assert facts[3]["current"] == {"rows": 3, "api_key": "***"}
    assert facts[3]["error"]["message"] == "token=*** is old"
    assert path.name == segment.name
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert survey() == []
    [run] = LocalRuns().read()
    assert (run.status, run.is_lost) == ("Completed", False)


def test_a_file_that_says_nothing_of_a_run_is_not_kept(logs, monkeypatch):
    monkeypatch.setenv("DOTFLOW_HISTORY", "1MB")
    one = logs(NAME)
    one.log.append(b"\n")
    one.log.done(one.log.segments[-1], one.keys[0])
    one.log.close()
    assert not kept()


def test_the_oldest_goes_first(logs, monkeypatch):
    monkeypatch.setenv("DOTFLOW_HISTORY", "8KB")
    fill = line(2, kind="task ended", current="x" * 3000)
    first = run_and_close(logs, fill)
    os.utime(kept()[first.name], (1, 1))
    others = [run_and_close(logs, fill) for _ in range(2)]
    assert set(kept()) == {one.name for one in others}
    assert sum(path.stat().st_size for path in kept().values()) <= 8 * 1024


def test_a_dead_log_that_was_delivered_is_kept_whoever_delivers_it(logs, monkeypatch):
    monkeypatch.setenv("DOTFLOW_HISTORY", "1MB")
    one = logs(NAME)
    one.log.append(began())
    one.log.close()  # and its reader was not done with it
    [[path]] = files.logs().values()
    monkeypatch.delenv("DOTFLOW_HISTORY")
    files.delete_log(path.name[:32])
    assert list(kept()) == [path.name]
    assert not files.logs()


def test_a_kill_between_keeping_and_deleting_doubles_no_run(logs, monkeypatch):
    monkeypatch.setenv("DOTFLOW_HISTORY", "1MB")
    segment = run_and_close(logs)
    segment.write_bytes(kept()[segment.name].read_bytes())
    assert len(LocalRuns().read()) == 1
    files.delete_log(segment.name[:32])
    assert len(LocalRuns().read()) == 1
    assert not files.logs()


def test_a_copy_that_a_kill_has_left_is_no_history(logs, monkeypatch):
    monkeypatch.setenv("DOTFLOW_HISTORY", "1MB")
    run_and_close(logs)
    half = history.folder() / f"{'a' * 32}-000001-7-7.copy"
    half.write_bytes(began())
    monkeypatch.setattr(history, "COPY_AGE", -1.0)
    assert len(LocalRuns().read()) == 1
    run_and_close(logs)
    assert not half.exists()


def test_a_full_disk_costs_the_history_and_nothing_else(logs, monkeypatch):
    monkeypatch.setenv("DOTFLOW_HISTORY", "1MB")

    def full(fd, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(history, "write_all", full)
    run_and_close(logs)
    assert list(history.folder().iterdir()) == []


def test_a_long_run_that_nobody_reads_goes_on_in_other_files(monkeypatch):
    monkeypatch.setenv("DOTFLOW_HISTORY", "1MB")
    monkeypatch.setattr(writer, "SEGMENT_BYTES", 4000)
    seen = []

    @action
    def step():
        keeper._look()
        seen.append(LocalRuns().read()[0].status)

    config = Config(server=ServerDefault(), log=LogDefault(level="CRITICAL"))
    workflow = DotFlow(config=config, name="long", workflow_id="w")
    workflow.task.add([step] * 50)
    workflow.start()
    assert set(seen) == {"In progress"}
    in_use = [path for segments in files.logs().values() for path in segments]
    assert len(kept()) > 2 > len(in_use) > 0
    keeper.close()
    assert not files.logs()
    [run] = LocalRuns().read()
    assert (run.status, [task.status for task in run.all_tasks()]) == (
        "Completed", ["Completed"] * 50,
    )  # fmt: skip


class Alone:
    """A program that reports to nobody, and what is there of its runs."""

    def __init__(self, how):
        environment = {
            **os.environ, "PYTHONPATH": str(Path(local_program.__file__).parent.parent),
            "DOTFLOW_HISTORY": "1MB",
        }  # fmt: skip
        command = [sys.executable, "-m", "support.local_program", how]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe) as program:
            assert program.stdout.readline() == b"waiting\n"
            self.before = statuses()
            self.end(program)
            program.stdout.read()
        self.after = statuses()

    def end(self, program):
        program.stdin.close()


class Killed(Alone):
    """The same, killed in the midst of a run."""

    def end(self, program):
        program.kill()


def statuses():
    """How each run stands, by its workflow's name."""
    return {run.name: run.status for run in LocalRuns().read()}


def test_runs_of_a_program_that_reports_to_nobody_are_kept():
    alone = Alone("none")
    assert alone.before == {"nightly": "Completed", "broken": "Failed", "long": "In progress"}
    assert alone.after == {"nightly": "Completed", "broken": "Failed", "long": "Completed"}
    assert not files.logs()
    assert "hunter2" not in "".join(path.read_text() for path in kept().values())


def test_runs_of_such_a_program_are_kept_after_a_kill():
    killed = Killed("otel")
    assert killed.after == {"nightly": "Completed", "broken": "Failed", "long": "Failed"}
    assert survey() == []
    gather()
    assert not files.logs()
    assert statuses() == killed.after
    runs = LocalRuns(contexts=True).read()
    assert runs[0].is_lost
    assert all(len(run.trace_id) == 32 and len(run.span) == 16 for run in runs)
    assert runs[-1].all_tasks()[0].current == {"rows": 3, "password": "***"}
