"""The order of provider calls, and that each hook fires once an event in every mode."""

from __future__ import annotations

import os
from collections import Counter
from uuid import uuid4

import pytest
from core_doubles import RecordingServer, echo, fail, recording_config

from dotflow import Config, DotFlow, action
from dotflow.abc.notify import Notify
from dotflow.core import reporter
from dotflow.core.engine import TaskEngine
from dotflow.core.task import Task

MODES = ["sequential", "sequential_group", "background", "parallel"]


def run(config, *steps, **kwargs):
    flow = DotFlow(config=config, workflow_id="w")
    for step in steps:
        flow.task.add(step, initial_context="v")
    config.storage.record.clear()
    manager = flow.start(**kwargs)
    if hasattr(manager, "thread"):
        manager.thread.join()
    return flow


@action(retry=2, retry_delay=0)
def fails_twice():
    raise ValueError("x")


def test_one_successful_task(record, recorded):
    """The calls of one successful task, in the contract's order with the design's reports."""
    on_success = []
    flow = DotFlow(config=recorded, workflow_id="w")
    flow.task.add(echo, callback=lambda task: record("callback", task.task_id), initial_context="v")
    record.clear()

    def note(tasks):
        on_success.append(tasks)
        record("on_success")

    flow.start(on_success=note)
    before, calls = record.calls[:2], record.calls[2:]  # what its steps are, for a later resume
    assert [one.split(" {")[0] for one in before] == ["storage.get _steps", "storage.post _steps"]
    assert calls == [
        "tracer.start_workflow w mode=sequential tasks_count=1",
        "metrics.workflow_started w mode=sequential",
        "server.update_workflow w In progress",
        "tracer.start_task 1 Not started",
        "notify 1 In progress",
        "log.info 1 In progress",
        "server.update_task 1 In progress",
        "storage.key 1",
        "storage.post 1 'v'",
        "notify 1 Completed",
        "log.info 1 Completed timed",
        "metrics.task_completed 1 float",
        "tracer.end_task 1 Completed",
        "server.update_task 1 Completed",
        "callback 1",
        "tracer.end_workflow w failed=False",
        "metrics.workflow_completed w float",
        "server.update_workflow w Completed",
        "on_success",
    ]
    assert on_success == [flow.task.queue]


def test_one_failed_task(record, recorded):
    """A task that retries and fails: each turn is told, then the failure of the workflow."""
    run(recorded, fails_twice)
    assert record.calls[5:] == [
        "tracer.start_task 1 Not started",
        "notify 1 In progress",
        "log.info 1 In progress",
        "server.update_task 1 In progress",
        "notify 1 Retry",
        "log.warning 1 Retry",
        "metrics.task_retried 1",
        "server.update_task 1 Retry",
        "storage.key 1",
        "storage.post 1 None",
        "notify 1 Failed",
        "log.error 1 Failed timed",
        "metrics.task_failed 1 float",
        "tracer.end_task 1 Failed",
        "server.update_task 1 Failed",
        "tracer.end_workflow w failed=True",
        "metrics.workflow_failed w float",
        "server.update_workflow w Failed",
    ]


@pytest.mark.parametrize("mode", MODES)
def test_every_hook_fires_once_an_event_in_every_mode(record, recorded, mode):
    """Each task's calls are the same in every mode, and only this process makes them."""
    run(recorded, echo, fails_twice, mode=mode, keep_going=True)
    assert record.processes == {os.getpid()}
    for task_id, end in ((1, "Completed"), (2, "Failed")):
        calls = Counter(record.of(task_id))
        statuses = ["In progress", *(["Retry"] if task_id == 2 else []), end]
        for status in statuses:
            assert calls[f"notify {task_id} {status}"] == 1
            assert calls[f"server.update_task {task_id} {status}"] == 1
        ended = "task_completed" if end == "Completed" else "task_failed"
        assert calls[f"metrics.{ended} {task_id} float"] == 1
        assert calls[f"metrics.task_retried {task_id}"] == (1 if task_id == 2 else 0)
        assert calls[f"tracer.start_task {task_id} Not started"] == 1
        assert calls[f"tracer.end_task {task_id} {end}"] == 1
        value = "'v'" if task_id == 1 else "None"
        assert calls[f"storage.post {task_id} {value}"] == 1
        level = "info" if task_id == 1 else "error"
        assert calls[f"log.{level} {task_id} {end} timed"] == 1
        posts = [call for call in calls.elements() if call.startswith("storage.post")]
        assert len(posts) == 1
        assert sum(call.startswith("log.") for call in calls.elements()) == len(statuses)
    assert len(record.starting("tracer.start_workflow", "tracer.end_workflow")) == 2
    assert record.starting("server.update_workflow") == [
        "server.update_workflow w In progress",
        "server.update_workflow w Failed",
    ]
    assert len(record.starting("metrics.workflow_")) == 2


@pytest.mark.parametrize("mode", MODES)
def test_attempts_are_reported_in_every_mode(record, mode):
    """Each try of a task that may be tried again is told, with its number, error and time."""
    attempts = []

    class Server(RecordingServer):
        def start_attempt(self, task, attempt, time_ns):
            attempts.append((attempt, "start", None, time_ns))

        def end_attempt(self, task, attempt, error, time_ns):
            attempts.append((attempt, "end", error and (error.message, error.attempt), time_ns))

    flow = run(recording_config(record, server=Server(record)), fails_twice, echo, mode=mode)
    assert [entry[:3] for entry in attempts] == [
        (1, "start", None),
        (1, "end", ("x", 1)),
        (2, "start", None),
        (2, "end", ("x", None)),
    ]
    task = flow.task.queue[0]
    times = [task.started_ns, *(entry[3] for entry in attempts), task.finished_ns]
    assert times == sorted(times)


def test_the_server_learns_of_the_run(record, recorded):
    """describe_workflow tells the name at construction, and the plan when the run begins."""
    flow = DotFlow(config=recorded, name="nightly")
    flow.task.add([echo, echo])
    flow.start()
    (first_id, first), (_, second) = recorded.server.descriptions
    assert str(first_id) == str(flow.workflow_id)
    assert (first.name, first.managed, first.mode, tuple(first.tasks)) == (
        "nightly", False, None, (),
    )  # fmt: skip
    assert second.mode == "sequential"
    assert [one.task_id for one in second.tasks] == [one.task_id for one in flow.task.queue]


def test_a_step_sees_what_the_server_makes_current(record):
    """`activate` is entered around the step, and what the step raises does not pass through it."""
    seen = []

    class Span:
        def __enter__(self):
            seen.append("enter")

        def __exit__(self, *raised):
            seen.append(raised)

    class Server(RecordingServer):
        def activate(self, task):
            return Span()

    @action
    def step():
        seen.append("step")
        raise ValueError

    run(recording_config(record, server=Server(record)), step)
    assert seen == ["enter", "step", (None, None, None)]


def test_execute_is_one_attempt_within_the_span(record):
    """TaskEngine.execute runs the step once, without retry or limit, under the task's span."""
    seen = []

    class Server(RecordingServer):
        def activate(self, task):
            seen.append("activate")
            return super().activate(task)

    @action(retry=3, retry_delay=0, timeout=0.001)
    def step(previous_context):
        seen.append(previous_context.storage)
        raise ValueError("x")

    task = Task(1, step, config=recording_config(record, server=Server(record)))
    with TaskEngine(task, "w").start() as engine:
        engine.execute()
    assert seen == ["activate", None]
    assert (task.status, task.retry_count, task.workflow_id) == ("Failed", 0, "w")


def test_a_status_of_the_programs_own_stays():
    """A task becomes Completed only where it is In progress or Retry."""
    task = Task(1, echo)
    with TaskEngine(task, "w").start() as engine:
        engine.execute()
        task.status = "Paused"
    assert task.status == "Paused"
    assert task.duration is not None


def test_a_task_that_was_not_reached_is_told_of_no_more(record, recorded):
    """What a failure stops is announced when added, and never again."""
    run(recorded, fail, echo)
    assert record.of(2) == []


class EndNotify(Notify):
    def __init__(self):
        self.ends = []

    def hook_status_task(self, task):
        pass

    def hook_end_workflow(self, run):
        said = run.error and run.error.exception
        self.ends.append((os.getpid(), run.workflow_name, run.status, said, len(run.failed_tasks)))
        raise KeyError("a provider's fault")


@pytest.mark.parametrize("mode", MODES)
def test_a_notify_is_told_of_the_end_of_each_run_once(mode):
    """In this process, with what came of it; a Notify without that hook goes on as before."""
    notify = EndNotify()
    flow = DotFlow(config=Config(notify=notify), name="etl")
    flow.task.add([echo, fail], initial_context="v")
    manager = flow.start(mode=mode)
    assert manager.wait(60)
    assert notify.ends == [(os.getpid(), "etl", "Failed", manager.error.exception, 1)]
    assert flow.config.guard.failures["EndNotify.hook_end_workflow"] == 1
    assert not manager.is_rehearsed
    assert {task.run for task in flow.task.queue} == {manager.number}


def test_a_notify_is_told_of_a_run_that_was_interrupted():
    """Once, though the end is reported while the interrupt passes through."""

    @action
    def interrupted():
        raise KeyboardInterrupt

    notify = EndNotify()
    flow = DotFlow(config=Config(notify=notify), name="etl")
    flow.task.add(interrupted)
    with pytest.raises(KeyboardInterrupt):
        flow.start()
    assert [one[2:4] for one in notify.ends] == [("Failed", "KeyboardInterrupt")]


@pytest.mark.parametrize("mode", ["sequential", "background"])
def test_who_is_told_is_asked_once_a_run(monkeypatch, recorded, mode):
    """It is the same for each task of a run, and nothing of it is left when the run is over."""
    asked, listener = [], Config.listener
    flow = DotFlow(config=recorded)
    flow.task.add([echo, echo, echo])
    monkeypatch.setattr(Config, "listener", lambda *args: asked.append(args) or listener(*args))
    flow.start(mode=mode).wait(60)
    assert len(asked) == 1
    assert not reporter.listeners


def test_a_run_that_the_storage_fails_leaves_no_listener(monkeypatch, recorded):
    """Nor does one that is interrupted: both end by an exception."""

    def refuse(**_):
        raise OSError("full")

    flow = DotFlow(config=recorded)
    flow.task.add(echo)
    monkeypatch.setattr(recorded.storage, "post", refuse)
    with pytest.raises(OSError, match="full"):
        flow.start()
    assert not reporter.listeners


def test_notes_of_runs_that_go_on_side_by_side_are_under_their_own_ids(monkeypatch, recorded):
    """Each key begins with the id of its run, whoever's note was kept before."""
    monkeypatch.setattr(type(recorded.server), "keeps_notes", True, raising=False)
    monkeypatch.setattr(type(recorded.server), "note", lambda *_: {"a": "b"}, raising=False)
    kept = []
    monkeypatch.setattr(reporter, "keep_note", lambda _, key, *more: kept.append((key, more[0])))
    tasks = [Task(1, echo, config=recorded, workflow_id=one) for one in ("a", "b", uuid4())]
    for task in (*tasks, *tasks):
        reporter.keep(task, 1)
    assert [key for key, _ in kept] == [f"{one}-_note-1" for _, one in kept]
    assert len({key for key, _ in kept}) == 3
