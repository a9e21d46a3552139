"""The runs of this machine, read from run logs that others write, keep or lose."""

from __future__ import annotations

import json
import os
import signal

import pytest
from support.processes import Doomed

from dotflow import Config, DotFlow, action
from dotflow.api.database import open_engine
from dotflow.api.reading import Reading, RunFilter
from dotflow.cli.local.records import LocalRecords
from dotflow.otel import ServerOtel
from dotflow.providers import LogDefault, ServerDefault, StorageFile
from dotflow.runlog import files

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def shown(tmp_path):
    """Reads what is new, and gives the runs as the page would have them."""
    database = f"sqlite:///{tmp_path}/page.db"
    engine = open_engine(database)
    with LocalRecords(database) as records:

        def look():
            list(records.refresh())
            look.reading = Reading(engine)
            return look.reading.runs(RunFilter()).items

        yield look
    engine.dispose()


@pytest.fixture
def otlp(monkeypatch):
    """Reports to an endpoint that is away, so that the log stays."""
    monkeypatch.setenv("DOTFLOW_FLUSH_TIMEOUT", "0.1")
    server = ServerOtel(endpoint=NOWHERE, set_global=False)
    yield server
    server.close(0)


@pytest.fixture
def dotflow_api(monkeypatch):
    """The same to a dotflow-api, without OpenTelemetry."""
    monkeypatch.setenv("DOTFLOW_FLUSH_TIMEOUT", "0.1")
    server = ServerDefault(NOWHERE, "t")
    yield server
    server.close(0)


def flow_of(server, *steps, storage=None, **more):
    quiet = LogDefault(level="CRITICAL")
    flow = DotFlow(config=Config(server=server, log=quiet, storage=storage), **more)
    flow.task.add(list(steps))
    return flow


@action
def fine():
    return {"rows": 3}


@action(retry=2, retry_delay=0)
def bad():
    raise ValueError("no luck")


@pytest.mark.parametrize("server", ["otlp", "dotflow_api"])
def test_a_run_is_shown_while_it_goes_on_and_after_it(server, shown, request):
    """Whoever it is reported to, nobody of whom is there: times, tries, errors and the plan."""
    seen = []

    @action
    def look():
        seen.extend(shown())
        seen.extend(shown.reading.rows(seen[0].id).items)

    flow = flow_of(request.getfixturevalue(server), fine, look, bad, fine, name="etl")
    run = flow.start()
    meanwhile, *rows = seen
    assert (meanwhile.name, meanwhile.status, meanwhile.planned) == ("etl", "In progress", 4)
    assert [row.status for row in rows] == [
        "Completed",
        "In progress",
        "Not started",
        "Not started",
    ]
    (after,) = shown()
    assert (after.id, after.status, after.opened) == (str(flow.workflow_id), "Failed", 1)
    assert after.trace_id == run.trace_id
    assert abs(after.started_at.timestamp() - run.started.timestamp()) < 1
    first, _, failed, last = shown.reading.rows(after.id).items
    assert (failed.last_error, failed.retry_count, len(failed.attempts)) == ("ValueError", 1, 2)
    assert (last.status, last.name) == ("Not started", "fine")
    task = flow.task.queue[0]
    assert abs(first.started_at.timestamp() - task.started_ns / 1e9) < 0.001
    assert shown.reading.task(after.id, 1).contexts["current_context"] == '{"rows":3}'


def test_what_a_killed_process_owes_is_shown_as_failed(shown):
    """Its run and its task have failed; what reads takes nothing from whoever delivers later."""

    def work(say):
        @action
        def hang():
            say()
            signal.pause()

        server = ServerOtel(endpoint=NOWHERE, set_global=False)
        flow_of(server, fine, hang, fine, name="doomed").start()

    Doomed(work).dies(after=1)
    before = {path: path.read_bytes() for path in files.folder().iterdir()}
    (run,) = shown()
    rows = shown.reading.rows(run.id).items
    assert run.status == "Failed"
    assert [row.status for row in rows] == ["Completed", "Failed", "Not started"]
    assert rows[1].last_error == "ProcessEnded"
    assert {path: path.read_bytes() for path in files.folder().iterdir()} == before


def test_a_file_that_goes_meanwhile_is_read_to_its_end(shown, otlp):
    """Its owner deletes it once all has arrived, and that may be before anybody looks again."""

    @action
    def look():
        shown()
        segments.update(path for paths in files.logs().values() for path in paths)

    segments = set()
    flow_of(otlp, look, fine).start()
    for path in segments:
        path.unlink()
    (run,) = shown()
    assert (run.status, run.counts) == ("Completed", {"Completed": 2})


def test_what_a_next_file_repeats_changes_nothing(shown, otlp):
    """A file begins with the runs that were under way: one that is over by then stays over."""
    flow_of(otlp, fine, name="rolled").start()
    ((log, (segment,)),) = files.logs().items()
    lines = segment.read_bytes().splitlines(keepends=True)
    (began,) = (line for line in lines if line.startswith(b'{"f":"run began"'))
    again = began.rstrip(b"}\n") + b'},"carried":"' + log.encode() + b'"}\n'
    following = files.log_path(log, int(segment.stem.rpartition("-")[2]) + 1)
    following.write_bytes(lines[0] + again)
    following.chmod(0o600)
    (run,) = shown()
    assert (run.status, run.opened, run.counts) == ("Completed", 1, {"Completed": 1})


def test_a_run_that_nobody_is_told_of_is_shown_by_its_history(shown, monkeypatch):
    """It is there with its secrets masked, whether its file is still written or was kept."""
    monkeypatch.setenv("DOTFLOW_HISTORY", "1MB")

    @action
    def secret():
        return {"password": "hunter2hunter2", "rows": 3}

    def work(say):
        flow_of(None, secret, name="alone").start()
        say()

    Doomed(work).dies()
    (run,) = shown()
    assert (run.name, run.status, run.counts) == ("alone", "Completed", {"Completed": 1})
    kept = shown.reading.task(run.id, 1).contexts["current_context"]
    assert "hunter2" not in kept
    assert '"rows":3' in kept


def test_a_resumed_run_is_one_run(shown, otlp, tmp_path):
    """It was opened twice, and has the state of the later one."""
    mended = []

    @action
    def flaky():
        if not mended:
            raise ValueError("not yet")

    kept = StorageFile(path=str(tmp_path / "kept"))
    for _ in range(2):
        flow = flow_of(otlp, fine, flaky, workflow_id="orders/11", storage=kept)
        flow.start(resume=True)
        mended.append(True)
    (run,) = shown()
    assert (run.id, run.status, run.opened) == ("orders/11", "Completed", 2)
    assert run.counts == {"Completed": 2}


def test_damaged_logs_cost_the_others_nothing(shown, otlp, caplog):
    """Whatever stands in them: the sound lines, and the other logs, are shown."""
    flow_of(otlp, fine, name="sound").start()
    (sound,) = next(iter(files.logs().values()))
    odd = [b"\x00\xff", b"{}", b'{"f":"run began"}', b"[1]", b'{"f":"span","n":1,"said":5}']
    for line in sound.read_bytes().splitlines()[1:]:
        fact = json.loads(line)
        values = set(fact) - {"f", "n", "r", "w", "to", "t"}
        odd += [
            json.dumps({**fact, "w": f"odd {key}", key: value}).encode()
            for key in values for value in ({"odd": [None]}, [[]], "x", float("inf"))
        ]  # fmt: skip
    files.log_path("0" * 32, 1).write_bytes(b"\n".join([*odd, b'{"f":"task be']))
    os.chmod(files.log_path("0" * 32, 1), 0o600)  # noqa: PTH101
    assert "sound" in {run.name for run in shown()}
    assert "sound" in {run.name for run in shown()}
    assert "cannot be shown" not in caplog.text  # not even the damaged one is given up
