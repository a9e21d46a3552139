"""A value that the storage cannot keep is the storage's affair: the run has it, and goes on."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from core_doubles import RecordingStorage, echo, recording_config
from support import storage_values
from support.storage_values import (
    Changing,
    Endless,
    Hanging,
    Odd,
    Raising,
    twofold,
    within_itself,
)

from dotflow import Context, DotFlow, action
from dotflow.abc.storage import Storage
from dotflow.core.exception import ValueNotKept
from dotflow.providers import StorageDefault, StorageFile, storage_pickle

MODES = ["sequential", "background", "sequential_group", "parallel"]


@pytest.fixture
def team():
    """A storage in a folder that others can write to: it keeps no pickles."""
    storage = StorageFile(path="out")
    storage.path.chmod(0o777)
    return storage


@action
def give():
    with Path("runs").open("a") as file:
        file.write("x")
    return {"a": (1, {2})}


@action
def take(previous_context):
    return [type(previous_context.storage).__name__, repr(previous_context.storage)]


def run(config, steps, mode="sequential", **kwargs):
    flow = DotFlow(config=config, workflow_id="w")
    flow.task.add(steps)
    manager = flow.start(mode=mode, **kwargs)
    if mode == "background":
        manager.thread.join()
    return flow


def lines(caplog):
    return [line for line in caplog.messages if " is not kept: " in line]


@pytest.mark.parametrize("mode", MODES)
def test_the_run_goes_on(record, team, caplog, mode):
    """The step is Completed, the next one gets the value, and one line names step, type, remedy."""
    said = []
    config = recording_config(record, storage=team)
    flow = run(config, [give, take], mode, on_success=lambda tasks: said.append(len(tasks)))
    assert [task.status for task in flow.task.queue] == ["Completed", "Completed"]
    assert said == [2]
    assert flow.result_storage()[0] == {"a": (1, {2})}
    if mode != "parallel":
        assert flow.result_storage()[1] == ["dict", "{'a': (1, {2})}"]
    [line] = lines(caplog)
    assert line == (
        "Task 1 ('give') of workflow w: A value of type dict is not kept: it is no JSON, and a "
        f"pickle is not safe in this folder: others can write to {team.path}. To have it kept, "
        "give StorageFile a folder that nobody else can write to (chmod go-w). The next step has "
        "the value; a resumed run runs the step again."
    )
    assert config.guard.failures == {"StorageFile.post": 1}


@pytest.mark.parametrize("mode", ["sequential", "background", "sequential_group"])
def test_a_resumed_run_runs_the_step_again(record, team, mode):
    """What was not kept is made again; what was kept is restored."""
    for runs in ("x", "xx"):
        flow = run(recording_config(record, storage=team), [give, take], mode, resume=True)
        assert Path("runs").read_text() == runs
        assert [task.restored for task in flow.task.queue] == [False, runs == "xx"]
    team.path.chmod(0o700)
    for runs in ("xxx", "xxx"):
        flow = run(recording_config(record, storage=team), [give, take], mode, resume=True)
        assert Path("runs").read_text() == runs
    assert flow.task.queue[0].restored
    assert flow.result_storage()[0] == {"a": (1, {2})}


def test_what_was_kept_before_is_not_taken_for_it(record, team):
    """A result that is not kept takes the place of the one that an earlier run has kept."""
    values = iter(["first", ("second",)])

    @action
    def step():
        return next(values, "third")

    config = recording_config(record, storage=team)
    run(config, step)
    assert team.get("w-1.json").storage == "first"
    run(config, step)
    assert team.get("w-1.json").storage is None
    assert run(config, step, resume=True).result_storage() == ["third"]


@pytest.mark.parametrize(
    ("make", "is_kept"),
    [(threading.Lock, False), (lambda: (one for one in [1]), False), (lambda: print, True)],
    ids=["a lock", "a generator", "a function"],
)
def test_values_that_no_file_can_hold(record, make, is_kept):
    """A lock, an iterator or the like is the next step's all the same, the very one."""
    value, got = make(), []

    @action
    def give():
        return value

    @action
    def take(previous_context):
        got.append(previous_context.storage)

    config = recording_config(record, storage=StorageFile(path="out"))
    flow = run(config, [give, take])
    assert got[0] is value
    assert [task.status for task in flow.task.queue] == ["Completed"] * 2
    assert config.guard.failures["StorageFile.post"] == (0 if is_kept else 1)


def test_the_same_loss_is_said_once(record, team, caplog):
    """Each loss is counted; the line about the same one is written once."""
    config = recording_config(record, storage=team)
    for _ in range(3):
        run(config, [give, give])
    assert len(lines(caplog)) == 2
    assert config.guard.failures == {"StorageFile.post": 6}


def test_a_storage_of_ones_own(record, caplog):
    """A storage of two arguments says so by the same exception; what else it raises surfaces."""

    class Own(Storage):
        def __init__(self):
            self.kept = {}

        def post(self, key, context):
            if isinstance(context.storage, bytes):
                raise ValueNotKept("bytes", "is too large", "return a path")
            if context.storage == "full":
                raise OSError("disk full")
            self.kept[key] = context

        def get(self, key):
            return self.kept.get(key, Context())

        def key(self, task):
            return f"own-{task.task_id}"

    config = recording_config(record, storage=Own())
    flow = DotFlow(config=config, workflow_id="w")
    flow.task.add(echo, initial_context=b"1").add(take).add(echo, initial_context="full")
    with pytest.raises(OSError, match="disk full"):
        flow.start()
    assert [task.status for task in flow.task.queue] == ["Completed", "Completed", "Failed"]
    assert flow.result_storage() == [b"1", ["bytes", "b'1'"], None]
    [line] = lines(caplog)
    assert (
        "A value of type bytes is not kept: it is too large. To have it kept, return a path."
        in line
    )
    assert config.storage.kept["own-1"].storage is None


def test_a_disk_that_is_full_then(record):
    """Where not even that can be noted the storage's error surfaces."""

    class Full(RecordingStorage):
        def post(self, key, context, ttl=None, fingerprint=None):
            if context.storage is None:
                raise OSError("disk full")
            raise ValueNotKept("int", "is odd", "return an even one")

    flow = DotFlow(config=recording_config(record, storage=Full(record)))
    flow.task.add(echo, initial_context=1)
    with pytest.raises(OSError, match="disk full"):
        flow.start()
    assert flow.task.queue[0].status == "Failed"


def test_the_line_says_no_credential(record, caplog):
    """What a value says as it is refused is masked as all that is said of a run."""

    class Session:
        def __getstate__(self):
            raise ValueError("no copy of api_key=s3cr3t-hunter2")

    @action
    def give():
        return Session()

    run(recording_config(record, storage=StorageFile(path="out")), give)
    [line] = lines(caplog)
    assert "Session is not kept: it cannot be pickled (ValueError: no copy of api_key=***" in line
    assert "hunter2" not in caplog.text


HOSTILE = {
    "raises as it is written": Raising(KeyboardInterrupt()),
    "raises as it is read": Raising(SystemExit(3), "read"),
    "hangs as it is written": Hanging(),
    "hangs as it is read": Hanging("read"),
    "has no end": Endless(),
    "is pickled as another": Changing(),
    "must not be asked": Odd(),
    "holds what must not be asked": [{"a": Odd()}],
    "is a lock": threading.Lock(),
    "is within itself": within_itself(),
    "is in itself very often": twofold(60),
}
KEPT = {"is within itself", "is in itself very often"}


@pytest.fixture
def impatient(monkeypatch):
    """Nobody waits long, and what hangs goes on at the end."""
    monkeypatch.setattr(storage_pickle, "PATIENCE", 0.2)
    monkeypatch.setattr(storage_pickle, "LARGEST", 1_000_000)
    storage_values.go_on.clear()
    yield
    storage_values.go_on.set()
    for thread in threading.enumerate():
        if thread.name == "dotflow-value":
            thread.join(30)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["sequential", "background"])
@pytest.mark.parametrize("kind", HOSTILE)
def test_whatever_a_value_does(record, impatient, kind, mode):
    """Whatever a value does as it is kept or read, the run is as with a storage in memory."""
    value, got = HOSTILE[kind], []

    @action
    def give():
        return value

    @action
    def take(previous_context):
        got.append(previous_context.storage)
        return len(got)

    for storage in (StorageDefault(), StorageFile(path="out")):
        flow = run(recording_config(record, storage=storage), [give, take], mode)
        assert [task.status for task in flow.task.queue] == ["Completed"] * 2
        assert got.pop() is value
    flow = run(recording_config(record, storage=StorageFile(path="out")), [give, take], resume=True)
    assert [task.status for task in flow.task.queue] == ["Completed"] * 2
    assert [task.restored for task in flow.task.queue] == [kind in KEPT, True]


@action
class Steps:
    @action
    def first(self):
        return 1

    @action
    def second(self):
        return "two"


def test_contexts_of_a_class_step(record):
    """The Contexts of a class step come back with their numbers and their workflow."""
    storage = StorageFile(path="out")
    seen = []
    for resume in (False, True):
        flow = run(recording_config(record, storage=storage), Steps, resume=resume)
        results = flow.result_storage()[0]
        seen.append([(one.task_id, one.workflow_id, one.storage) for one in results])
    assert flow.task.queue[0].restored
    assert seen == [[(0, "w", 1), (1, "w", "two")]] * 2
