"""Resume: checkpoints, in one object, in a fresh process, in managed runs."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from core_doubles import RecordingServer, RecordingStorage, echo, fail, increment, recording_config

from dotflow import Config, Context, DotFlow, action
from dotflow.abc.storage import Storage
from dotflow.providers import LogDefault, StorageFile

MODES = ["sequential", "sequential_group", "background"]
WID = "orders/2026-11"


def run(flow, mode="sequential", **kwargs):
    manager = flow.start(mode=mode, **kwargs)
    if mode == "background":
        manager.thread.join()
    return manager


def values(flow):
    return [
        [one.storage for one in value] if _contexts(value) else value
        for value in flow.result_storage()
    ]


def _contexts(value):
    return isinstance(value, list) and any(isinstance(one, Context) for one in value)


@action
def once(initial_context):
    """Fails unless the file is there; leaves a mark for each run."""
    with Path("runs").open("a") as file:
        file.write("x")
    if not Path("mended").exists():
        raise ValueError("broken")
    return initial_context.storage


def make(config, workflow_id=WID):
    flow = DotFlow(config=config, workflow_id=workflow_id)
    flow.task.add(echo, initial_context=1).add(once, initial_context=[1, 2]).add(increment)
    flow.task.queue[2].step = echo
    flow.task.queue[2].initial_context = {"a": (1,)}
    return flow


@pytest.fixture(params=["one storage object", "files, a new object each"])
def make_config(request):
    """What gives a Config whose storage has what earlier ones have kept."""
    kept = Config().storage

    def made():
        in_file = request.param.startswith("files")
        storage = StorageFile(path="out") if in_file else kept
        return Config(storage=storage, log=LogDefault(output="file", path="log"))

    return made


@pytest.mark.parametrize("mode", MODES)
def test_a_resumed_run_restores_what_is_there_and_runs_the_rest(make_config, mode):
    """Completed tasks are restored, failed and unreached ones run, values keep their shape."""
    flow = make(make_config())
    run(flow, mode)
    assert [task.status for task in flow.task.queue] == ["Completed", "Failed", "Not started"]
    Path("mended").touch()
    again = make(make_config())
    run(again, mode, resume=True)
    assert [task.status for task in again.task.queue] == ["Completed"] * 3
    assert [task.restored for task in again.task.queue] == [True, False, False]
    assert again.task.queue[1].previous_context.storage == 1
    assert again.task.queue[2].previous_context.storage == [1, 2]
    for _ in range(3):
        last = make(make_config())
        run(last, mode, resume=True)
        assert values(last)[:2] == [1, [1, 2]]
        assert list(values(last)[2]["a"]) == [1]
        assert all(task.restored for task in last.task.queue)
        assert last.task.queue[2].previous_context.storage == [1, 2]
    assert Path("runs").read_text() == "xx"


@pytest.mark.parametrize("mode", MODES)
def test_calls_of_a_restored_task(record, recorded, mode):
    """A restored task is told as Completed once; nothing is posted, traced or called back."""
    called = []

    def note(task):
        called.append(task)

    flow = DotFlow(config=recorded, workflow_id="w")
    flow.task.add(echo, callback=note, initial_context=1)
    run(flow, "sequential", resume=True)
    called.clear()
    record.clear()
    run(flow, mode, resume=True)
    assert record.of(1) == [
        "storage.key 1",
        "storage.get 1",
        "notify 1 Completed",
        "log.info 1 Completed",
        "metrics.task_completed 1 NoneType",
        "server.update_task 1 Completed",
    ]
    assert called == []
    task = flow.task.queue[0]
    assert (task.started_at, task.finished_at, task.duration) == (None, None, None)
    assert task.current_context.storage == 1


def test_a_result_of_none_runs_again(quiet):
    """A task that returned None has no checkpoint."""
    calls = []

    @action
    def step():
        calls.append(1)

    flow = DotFlow(config=quiet, workflow_id="w")
    flow.task.add(step)
    flow.start()
    flow.start(resume=True)
    assert len(calls) == 2


def test_falsy_results_are_restored(quiet):
    """Only None is no result: 0, "" and [] are restored."""
    flow = DotFlow(config=quiet, workflow_id="w")
    for value in (0, "", [], False):
        flow.task.add(echo, initial_context=value)
    flow.start()
    flow.start(resume=True)
    assert all(task.restored for task in flow.task.queue)
    assert flow.result_storage() == [0, "", [], False]


def test_parallel_ignores_resume(quiet):
    """In parallel every task runs again."""
    flow = DotFlow(config=quiet, workflow_id="w")
    flow.task.add(echo, initial_context=1)
    flow.start(mode="parallel")
    flow.start(mode="parallel", resume=True)
    assert flow.task.queue[0].restored is False
    assert flow.task.queue[0].duration is not None


def test_start_then_resume_on_one_object(quiet):
    """start() and then start(resume=True) on one object restores, and start() runs anew."""
    flow = DotFlow(config=quiet)
    flow.task.add([echo, increment], initial_context=1)
    flow.start()
    flow.start(resume=True)
    assert [task.restored for task in flow.task.queue] == [True, True]
    assert flow.result_storage() == [1, 2]
    flow.start()
    assert [task.restored for task in flow.task.queue] == [False, False]
    assert flow.result_storage() == [1, 2]


PROGRAM = """
import os, signal, sys
from dotflow import Config, DotFlow, action
from dotflow.providers import StorageFile

@action
def first():
    open("ran", "a").write("first ")
    return {"rows": [1, 2]}

@action
def second(previous_context):
    open("ran", "a").write("second ")
    if sys.argv[1] == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    return sum(previous_context.storage["rows"])

flow = DotFlow(config=Config(storage=StorageFile(path="out")), workflow_id="nightly")
flow.task.add([first, second])
flow.start(resume=True)
print(flow.result_storage())
"""


def test_resume_in_a_fresh_process_after_kill_9():
    """A run that was killed goes on in another process where it was."""

    def start(how):
        return subprocess.run(
            [sys.executable, "-c", PROGRAM, how],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )

    assert start("die").returncode == -signal.SIGKILL
    assert start("live").stdout == "[{'rows': [1, 2]}, 3]\n"
    assert Path("ran").read_text() == "first second second "


class TestManaged:
    """A managed run's numbers go on; resumed, it is the tasks that it was."""

    @staticmethod
    def flow(record, storage, next_id, **kwargs):
        config = recording_config(
            record, storage=storage, server=RecordingServer(record, next_task_id=next_id)
        )
        flow = DotFlow(config=config, workflow_id="managed", **kwargs)
        flow.task.add(echo, initial_context="a").add(once, initial_context="b")
        return flow

    @pytest.mark.parametrize("first", [1, 5])
    @pytest.mark.parametrize("mode", MODES)
    def test_resume_finds_the_checkpoints_of_the_earlier_numbers(self, record, first, mode):
        """A resumed managed run takes up its former numbers, and reports the same tasks again."""
        storage = RecordingStorage(record)
        run(self.flow(record, storage, first), mode)
        Path("mended").touch()
        for next_id in (first + 2, first + 4):
            flow = self.flow(record, storage, next_id)
            assert [task.task_id for task in flow.task.queue] == [next_id, next_id + 1]
            record.clear()
            run(flow, mode, resume=True)
            assert [task.task_id for task in flow.task.queue] == [first, first + 1]
            assert flow.task.queue[0].restored
            assert flow.result_storage() == ["a", "b"]
            assert record.starting("server.update_task")[0] == (
                f"server.update_task {first} Completed"
            )
        assert Path("runs").read_text() == "xx"

    def test_without_resume_numbers_go_on(self, record):
        """A managed run that is not resumed keeps the numbers that the server gave."""
        storage = RecordingStorage(record)
        run(self.flow(record, storage, 1))
        flow = self.flow(record, storage, 3)
        run(flow)
        assert [task.task_id for task in flow.task.queue] == [3, 4]
        Path("mended").touch()
        resumed = self.flow(record, storage, 5)
        run(resumed, resume=True)
        assert [task.task_id for task in resumed.task.queue] == [3, 4]

    def test_a_resume_without_an_earlier_run_keeps_the_numbers(self, record):
        """Where nothing is kept a resumed managed run begins with the server's number."""
        flow = self.flow(record, RecordingStorage(record), 7)
        run(flow, resume=True)
        assert [task.task_id for task in flow.task.queue] == [7, 8]


class OldStorage(Storage):
    """A storage as written for upstream: two arguments, and none of the optional methods."""

    def __init__(self):
        self.kept = {}

    def post(self, key, context):
        self.kept[key] = context

    def get(self, key):
        return self.kept.get(key, Context())

    def key(self, task):
        return f"old-{task.task_id}"


def test_an_older_two_argument_storage_goes_on_working(quiet):
    """A storage whose post takes a key and a context only runs and resumes."""
    quiet.storage = OldStorage()
    flow = DotFlow(config=quiet, workflow_id="w")
    flow.task.add([echo, increment], initial_context=1)
    flow.start(mode="sequential_group")
    flow.start(resume=True, on_input_change="raise")
    assert flow.result_storage() == [1, 2]
    assert all(task.restored for task in flow.task.queue)


@pytest.mark.slow
@pytest.mark.parametrize("mode", [*MODES, "parallel"])
@pytest.mark.parametrize("workflow_id", ["a/b/../c", "x" * 255, ".hidden", "%2E", "ü €" * 60])
def test_odd_ids_with_files(mode, workflow_id):
    """Ids that are no file names are kept in files, and found again by another object."""
    for resume in (False, True):
        config = Config(storage=StorageFile(path="out"), log=LogDefault(level="ERROR"))
        flow = DotFlow(config=config, workflow_id=workflow_id)
        flow.task.add([echo, increment], initial_context=1)
        run(flow, mode, resume=resume)
        assert flow.result_storage() == [1, 1 if mode == "parallel" else 2]
        assert all(task.restored is (resume and mode != "parallel") for task in flow.task.queue)
    assert {file.parent.name for file in Path().rglob("*") if file.is_file()} <= {"tasks"}


def test_a_failure_is_not_restored(quiet):
    """The empty result of a failed task is no checkpoint."""
    flow = DotFlow(config=quiet, workflow_id="w")
    flow.task.add([fail, echo], initial_context=1)
    flow.start(keep_going=True)
    flow.start(resume=True, keep_going=True)
    assert [task.restored for task in flow.task.queue] == [False, True]
    assert flow.task.queue[0].status == "Failed"
