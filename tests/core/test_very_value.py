"""The next step of a run gets the very value that the one before returned, in every mode."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from core_doubles import fail, recording_config

from dotflow import DotFlow, action
from dotflow.providers import StorageFile

MODES = ["sequential", "background", "sequential_group"]
METHODS = [None, "spawn", "forkserver"]


class Changing:
    """Is something else once it was pickled."""

    def __reduce__(self):
        return list, ()


made = []


@action
def give():
    made.append(Changing())
    return made[-1]


@action
def take(previous_context):
    value = previous_context.storage
    made.append(value)
    Path("taken").write_text(f"{type(value).__name__} {value is made[-2]}")
    return value


@action
def take_again(previous_context):
    with Path("taken").open("a") as file:
        file.write(f", {type(previous_context.storage).__name__}")
    return "end"


@action
def plain():
    return 1, {2: {3}}


@action
def die():
    os.kill(os.getpid(), signal.SIGKILL)


@action
def show(previous_context):
    return repr(previous_context.storage)


def run(record, steps, mode, **kwargs):
    config = recording_config(record, storage=StorageFile(path="out"))
    flow = DotFlow(config=config, workflow_id="w")
    flow.task.add(steps)
    manager = flow.start(mode=mode, **kwargs)
    if mode == "background":
        manager.thread.join()
    return flow


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("mode", MODES)
def test_the_very_value(record, mode, method):
    """What pickle would make something else of goes on as it is, whatever the storage."""
    flow = run(record, [give, take, take_again], mode, start_method=method)
    assert [task.status for task in flow.task.queue] == ["Completed"] * 3
    assert Path("taken").read_text() == "Changing True, Changing"


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("mode", ["sequential_group", "parallel"])
def test_what_pickle_makes_something_else_of(record, caplog, mode, method):
    """What comes from a process as another type is not kept, and one line says so."""
    flow = run(record, [give, plain], mode, start_method=method)
    assert [task.status for task in flow.task.queue] == ["Completed"] * 2
    [line] = [line for line in caplog.messages if "is not kept" in line]
    assert "Task 1 ('give') of workflow w: A value of type test_very_value.Changing is not" in line
    assert (
        "it is of type list once it was pickled. To have it kept, return what pickle gives" in line
    )
    assert flow.config.storage.get("w-1.json").storage is None
    assert flow.config.storage.get("w-2.json").storage == (1, {2: {3}})
    assert flow.config.guard.failures == {"StorageFile.post": 1}


@pytest.mark.parametrize("method", METHODS)
def test_a_process_that_is_gone(record, method):
    """After a step whose process died, or that failed, the next one gets what there is: nothing."""
    steps = [give, die, show, fail, show, show]
    flow = run(record, steps, "sequential_group", keep_going=True, start_method=method)
    said = [task.status for task in flow.task.queue]
    assert said == ["Completed", "Failed", "Completed", "Failed", "Completed", "Completed"]
    assert flow.result_storage()[2:] == ["None", None, "None", "'None'"]


def test_between_what_is_restored(record):
    """A step after restored ones gets what the storage gave, and the next what that one made."""
    flow = run(record, [show, give, show], "sequential_group")
    flow.config.storage.delete("w-2.json")
    again = run(record, [show, give, take], "sequential_group", resume=True)
    assert [task.restored for task in again.task.queue] == [True, False, False]
    assert Path("taken").read_text() == "Changing True"
