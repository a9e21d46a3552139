"""A storage that fails: the task and the workflow are reported Failed, and start() raises it."""

from __future__ import annotations

import asyncio

import pytest
from core_doubles import RecordingStorage, echo, recording_config

from dotflow import DotFlow, action

MODES = ["sequential", "sequential_group", "parallel"]


class Failing(RecordingStorage):
    """Fails at one method, at those calls that `when` says."""

    def __init__(self, record, method, when=lambda *args: True, raises=OSError):
        super().__init__(record)
        self.method, self.when, self.raises = method, when, raises

    def _maybe(self, method, *args):
        if method == self.method and self.when(*args):
            raise self.raises(f"{method}: disk full")

    def post(self, key, context, ttl=None, fingerprint=None):
        self._maybe("post", context.storage)
        super().post(key, context, ttl, fingerprint)

    def get(self, key):
        self._maybe("get", key)
        return super().get(key)

    def key(self, task):
        self._maybe("key", task)
        return super().key(task)


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("method", ["post", "key"])
@pytest.mark.parametrize("keep_going", [False, True])
@pytest.mark.parametrize("raises", [OSError, asyncio.CancelledError])
def test_a_result_that_cannot_be_kept(record, mode, method, keep_going, raises):
    """A result that cannot be kept fails its task; start() raises after all was reported."""
    config = recording_config(record, storage=Failing(record, method, raises=raises))
    flow = DotFlow(config=config, workflow_id="w")
    flow.task.add(echo, initial_context=1)
    record.clear()
    with pytest.raises(raises, match=f"{method}: disk full"):
        flow.start(mode=mode, keep_going=keep_going)
    task = flow.task.queue[0]
    assert (task.status, task.current_context.storage) == ("Failed", None)
    assert [error.message for error in task.errors] == [f"{method}: disk full"]
    assert record.of(1)[-2:] == ["tracer.end_task 1 Failed", "server.update_task 1 Failed"]
    assert record.calls[-1] == "server.update_workflow w Failed"


@pytest.mark.parametrize("mode", MODES)
def test_also_where_the_empty_result_can_be_kept(record, mode):
    """A storage that has room for an empty result only is a failure that surfaces as well."""
    storage = Failing(record, "post", when=lambda value: value is not None)
    flow = DotFlow(config=recording_config(record, storage=storage))
    flow.task.add(echo, initial_context=1)
    with pytest.raises(OSError, match="disk full"):
        flow.start(mode=mode)
    assert flow.task.queue[0].status == "Failed"


def test_a_storage_that_fails_is_no_reason_to_do_the_work_again(record):
    """A step that has succeeded is not retried because its result could not be kept."""
    calls = []

    @action(retry=3, retry_delay=0)
    def step():
        calls.append(1)

    flow = DotFlow(config=recording_config(record, storage=Failing(record, "post")))
    flow.task.add(step)
    with pytest.raises(OSError, match="disk full"):
        flow.start()
    assert calls == [1]


@pytest.mark.parametrize("mode", ["sequential", "sequential_group"])
def test_a_run_does_not_read_back(record, mode):
    """Within a run the next task gets the very result: a storage that cannot be read is no harm."""
    config = recording_config(record, storage=Failing(record, "get"))
    flow = DotFlow(config=config, workflow_id="w")
    flow.task.add(echo, initial_context=(1, {2}))
    flow.task.add(next_of)
    flow.start(mode=mode)
    assert flow.result_storage() == [(1, {2}), [(1, {2})]]


@action
def next_of(previous_context):
    return [previous_context.storage]


@pytest.mark.parametrize("mode", ["sequential", "sequential_group"])
def test_a_checkpoint_that_cannot_be_read(record, mode):
    """Where a checkpoint cannot be read the task does not run a second time in silence."""
    storage = Failing(record, "get", when=lambda key: key.endswith("-1"))
    flow = DotFlow(config=recording_config(record, storage=storage))
    flow.task.add(echo)
    with pytest.raises(OSError, match="get: disk full"):
        flow.start(mode=mode, resume=True)
    assert flow.task.queue[0].status == "Not started"
    assert record.calls[-1] == f"server.update_workflow {flow.workflow_id} Failed"


def test_other_groups_end(record):
    """A storage error in one group lets the tasks of another that are under way end."""
    storage = Failing(record, "post", when=lambda value: value == "bad")
    flow = DotFlow(config=recording_config(record, storage=storage))
    flow.task.add(echo, initial_context="bad", group_name="a")
    flow.task.add(echo, initial_context="good", group_name="b")
    with pytest.raises(OSError, match="disk full"):
        flow.start(mode="sequential_group")
    assert [task.status for task in flow.task.queue] == ["Failed", "Completed"]
    assert flow.result_storage() == [None, "good"]


def test_a_storage_that_fails_while_an_interrupted_run_is_concluded(record):
    """A storage that fails once more, after Ctrl-C, leaves the run open nowhere."""

    class Interrupted(RecordingStorage):
        """Is interrupted as it keeps that there is no result, and fails from then on."""

        errors = iter((KeyboardInterrupt(), *[OSError("disk full")] * 9))

        def post(self, key, context, ttl=None, fingerprint=None):
            if not key.endswith("_steps"):
                raise next(self.errors)

    @action
    def step():
        raise ValueError("no")

    flow = DotFlow(config=recording_config(record, storage=Interrupted(record)), workflow_id="w")
    flow.task.add(step)
    with pytest.raises(KeyboardInterrupt):
        flow.start()
    assert flow.task.queue[0].status == "Failed"
    assert record.of(1)[-1] == "server.update_task 1 Failed"
    assert record.calls[-1] == "server.update_workflow w Failed"
