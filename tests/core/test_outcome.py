"""What a Manager says of its run, and how a failure is seen."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
import re
import threading
import traceback
from concurrent.futures import ProcessPoolExecutor

import pytest
from core_doubles import RecordingScheduler, RecordingServer, echo, fail, recording_config

import dotflow
from dotflow import Config, DotFlow, Task, WorkflowFailed, action
from dotflow.core.exception import ExecutionModeNotExist, InvalidOnInputChange, NotCallableObject
from dotflow.core.workflow import Manager
from dotflow.providers import LogDefault, StorageFile

MODES = ["sequential", "sequential_group", "background", "parallel"]


def run(flow, mode="sequential", **kwargs):
    manager = flow.start(mode=mode, **kwargs)
    assert manager.wait(60)
    return manager


@action
def lose(initial_context):
    raise KeyError(initial_context.storage)


@pytest.mark.parametrize("mode", MODES)
def test_a_run_that_completes(quiet, mode):
    """Its Manager says so, how long it took, and of what it is."""
    flow = DotFlow(config=quiet, name="etl")
    flow.task.add([echo, echo])
    manager = run(flow, mode)
    assert (manager.status, manager.ok, manager.failed_tasks) == ("Completed", True, [])
    assert manager.duration > 0
    assert manager.duration >= max(task.duration for task in flow.result_task())
    assert (manager.workflow_id, manager.trace_id) == (flow.workflow_id, None)
    assert manager.raise_for_failure() is None
    assert re.fullmatch(
        rf"<Manager of workflow etl \({flow.workflow_id}\): Completed, 2 tasks in \d+\.\d\d s>",
        repr(manager),
    )


@pytest.mark.parametrize("mode", MODES)
def test_a_run_that_fails(quiet, mode):
    """Its Manager names the tasks that failed, and raises on demand, from the first one's error."""
    flow = DotFlow(config=quiet, name="etl")
    flow.task.add(echo).add(lose, initial_context="rows").add(fail).add(echo)
    manager = run(flow, mode, keep_going=True)
    tasks = flow.result_task()
    assert (manager.status, manager.ok) == ("Failed", False)
    assert manager.failed_tasks == tasks[1:3]
    said = "task 2 (lose): KeyError: 'rows' (and 1 more)"
    assert "2 of 4 tasks failed in " in repr(manager)
    assert f"; {said}>" in repr(manager)
    with pytest.raises(WorkflowFailed) as raised:
        manager.raise_for_failure()
    error = raised.value
    assert str(error) == f"workflow etl ({flow.workflow_id}) failed: {said}"
    assert (error.workflow_id, error.failed_tasks) == (flow.workflow_id, tasks[1:3])
    assert type(error.__cause__) is KeyError
    assert error.__cause__.args == ("rows",)
    shown = "".join(traceback.format_exception(error))
    assert re.search(r'File ".*test_outcome.py", line \d+, in lose', shown)
    assert shown.index("in lose") < shown.index("WorkflowFailed")


@pytest.mark.parametrize("mode", MODES)
def test_raising_again_shows_the_same(quiet, mode):
    """A second call raises the same, and a traceback of the step is shown once."""
    flow = DotFlow(config=quiet)
    flow.task.add(lose)
    manager = run(flow, mode)
    shown = []
    for _ in range(2):
        with pytest.raises(WorkflowFailed) as raised:
            manager.raise_for_failure()
        shown.append("".join(traceback.format_exception(raised.value)))
    assert [one.count("in lose") for one in shown] == [1, 1]


@pytest.mark.parametrize("mode", ["sequential", "sequential_group", "parallel"])
def test_raise_on_failure(record, recorded, mode):
    """start() raises once all is reported and called back; a run that completes returns."""
    flow = DotFlow(config=recorded, workflow_id="w")
    flow.task.add(fail)
    told = []
    with pytest.raises(WorkflowFailed, match="task 1"):
        flow.start(mode=mode, raise_on_failure=True, on_failure=lambda tasks: told.append(1))
    assert record.calls[-1] == "server.update_workflow w Failed"
    assert told == [1]
    flow.task.queue[0].step = echo
    assert flow.start(mode=mode, raise_on_failure=True).ok


def test_a_failure_without_frames_is_shown_once(quiet):
    """A timeout comes from no line of a step: it is shown as what it is, and nothing before it."""

    over = threading.Event()

    @action(timeout=0.01)
    def stay():
        over.wait(60)

    flow = DotFlow(config=quiet)
    flow.task.add(stay)
    with pytest.raises(WorkflowFailed) as raised:
        flow.start(raise_on_failure=True)
    over.set()
    shown = "".join(traceback.format_exception(raised.value))
    assert "StepTraceback" not in shown
    assert shown.count("TimeoutError: timed out") == 2  # itself, and the last line


def test_raise_on_failure_in_the_background(quiet):
    """wait() raises what start() has returned before."""
    flow = DotFlow(config=quiet)
    flow.task.add(fail)
    manager = flow.start(mode="background", raise_on_failure=True)
    for _ in range(2):
        with pytest.raises(WorkflowFailed, match="ValueError: on purpose"):
            manager.wait(60)


def test_a_background_run_that_goes_on(quiet):
    """Until its end it is in progress; wait() says whether it has ended."""
    go = threading.Event()

    @action
    def stay():
        assert go.wait(60)

    flow = DotFlow(config=quiet)
    flow.task.add([echo, stay, fail])
    manager = flow.start(mode="background", raise_on_failure=True)
    assert (manager.status, manager.ok, manager.duration) == ("In progress", False, None)
    assert manager.failed_tasks == []
    assert re.search(r"In progress, [01] of 3 tasks ended>", repr(manager))
    assert manager.wait(0.01) is False
    assert manager.wait(0) is False
    with pytest.raises(RuntimeError, match=r"call wait\(\) before"):
        manager.raise_for_failure()
    go.set()
    with pytest.raises(WorkflowFailed):
        manager.wait()
    assert manager.status == "Failed"
    assert not manager.thread.is_alive()


def test_a_run_cannot_wait_for_itself(quiet):
    """A callback in the run's own thread is told so, rather than hang."""
    said, begun, found = [], threading.Event(), []

    def wait(task):
        begun.wait(60)
        try:
            found[0].wait()
        except RuntimeError as error:
            said.append(str(error))

    flow = DotFlow(config=quiet)
    flow.task.add(echo, callback=wait)
    found.append(flow.start(mode="background"))
    begun.set()
    assert found[0].wait(60)
    assert said == ["wait() is called by the run itself: only another thread can wait for it"]


def test_a_second_start_leaves_the_first_outcome(quiet):
    """Each Manager says what came of its own run."""
    flow = DotFlow(config=quiet)
    flow.task.add(lose)
    first = flow.start()
    flow.task.queue[0].step = echo
    second = flow.start()
    assert (first.status, second.status) == ("Failed", "Completed")
    assert first.failed_tasks == flow.result_task()
    with pytest.raises(WorkflowFailed, match="KeyError"):
        first.raise_for_failure()


def test_restored_tasks_have_completed():
    """A resumed run in which nothing was left to do has completed."""
    flow = DotFlow(config=Config(storage=StorageFile(path="out")), workflow_id="nightly")
    flow.task.add([echo, echo], initial_context=1)
    flow.start()
    manager = flow.start(resume=True)
    assert all(task.restored for task in flow.result_task())
    assert (manager.ok, manager.failed_tasks) == (True, [])


@pytest.mark.parametrize("config", [True, False])
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupted_run_has_failed(quiet, monkeypatch, config, error):
    """Whoever holds the Manager of an interrupted run sees that it failed."""
    made = []
    before = Manager._run
    monkeypatch.setattr(
        Manager, "_run", lambda self, *given: (made.append(self), before(self, *given))
    )

    @action
    def step():
        raise error

    tasks = [Task(1, step, config=quiet), Task(2, echo, config=quiet)]
    with pytest.raises(error):
        Manager(tasks, config=quiet if config else None)
    [manager] = made
    assert (manager.status, manager.failed_tasks) == ("Failed", tasks[:1])
    with pytest.raises(WorkflowFailed, match=error.__name__):
        manager.raise_for_failure()


def test_a_run_that_no_task_failed(quiet, monkeypatch):
    """What the storage raises in a background run is what the run failed by."""
    monkeypatch.setattr(threading, "excepthook", lambda _: None)

    def refuse(key):
        if key == "w-1":
            raise OSError("no disk")
        return get(key)

    get = quiet.storage.get
    monkeypatch.setattr(quiet.storage, "get", refuse)
    flow = DotFlow(config=quiet, workflow_id="w")
    flow.task.add(echo)
    manager = flow.start(mode="background", resume=True)
    assert manager.wait(60)
    assert (manager.status, manager.failed_tasks) == ("Failed", [])
    with pytest.raises(WorkflowFailed, match=r"^workflow w failed: OSError: no disk$") as raised:
        manager.raise_for_failure()
    assert str(raised.value.__cause__) == "OSError: no disk"


def test_the_trace_id(record):
    """It is what the Server says once the run has begun; None where it says none, or fails."""

    class Server(RecordingServer):
        answer = "ab" * 16

        def trace_id(self, workflow):
            self.record("trace_id", workflow)
            if self.answer is None:
                raise LookupError
            return self.answer

    config = recording_config(record, server=Server(record))
    flow = DotFlow(config=config, workflow_id="w")
    assert flow.start().trace_id == "ab" * 16
    began = record.calls.index("server.update_workflow w In progress")
    assert record.calls[began + 1] == "trace_id w"
    config.server.answer = None
    assert flow.start().trace_id is None
    assert config.guard.failures == {"Server.trace_id": 1}


class TestWorkflowFailed:
    """The exception on its way to another process."""

    @pytest.fixture
    def error(self, quiet):
        flow = DotFlow(config=quiet, name="etl")

        @action(retry=2, retry_delay=0)
        def local():
            raise LookupError("gone")

        flow.task.add(local, initial_context=threading.Lock(), callback=lambda task: None)
        manager = flow.start()
        flow.result_task()[0].mine = threading.Lock()
        with pytest.raises(WorkflowFailed) as raised:
            manager.raise_for_failure()
        return raised.value

    @pytest.mark.parametrize("again", [lambda one: pickle.loads(pickle.dumps(one)), copy.copy])
    def test_survives_pickle(self, error, again):
        """It comes back with its words, its cause, and what became of its tasks."""
        back = again(error)
        assert (type(back), str(back)) == (WorkflowFailed, str(error))
        [task], [before] = back.failed_tasks, error.failed_tasks
        assert isinstance(task, Task)
        assert (task.task_id, task.status, task.retry_count) == (1, "Failed", 1)
        assert (task.step.name, task.step.retry, task.duration) == ("local", 2, before.duration)
        assert [one.message for one in task.errors] == [one.message for one in before.errors]
        assert (type(back.__cause__), back.__cause__.args) == (LookupError, ("gone",))
        assert str(pickle.loads(pickle.dumps(back))) == str(back)

    def test_leaves_a_pool(self):
        """A worker whose workflow failed tells who waits for it."""
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            error = pool.submit(run_in_a_worker).exception(60)
        assert type(error) is WorkflowFailed
        assert "task 1 (lose): KeyError" in str(error)
        assert error.failed_tasks[0].errors[-1].exception == "KeyError"

    def test_is_the_cause_of_an_outer_run(self, quiet):
        """A step in a child that runs a workflow fails with it."""

        @action
        def outer():
            run_in_a_worker()

        flow = DotFlow(config=quiet)
        flow.task.add(outer)
        manager = flow.start(mode="parallel")
        assert type(manager.failed_tasks[0].errors[-1].cause) is WorkflowFailed


def run_in_a_worker():
    flow = DotFlow(config=Config(log=LogDefault(level="ERROR", output="file", path="inner.log")))
    flow.task.add(lose, initial_context="rows")
    flow.start(raise_on_failure=True)


class TestArguments:
    """Signatures are written out, and wrong values are refused where they are given."""

    @pytest.mark.parametrize("call", ["start", "schedule"])
    @pytest.mark.parametrize(
        ("given", "error", "allowed"),
        [
            ({"mod": "parallel"}, TypeError, "mod"),
            ({"mode": "paralel"}, ExecutionModeNotExist, "'parallel'"),
            ({"on_input_change": "restart"}, InvalidOnInputChange, "'reset'"),
            ({"start_method": "thread"}, ValueError, "'spawn'"),
            ({"on_success": "notify"}, NotCallableObject, "on_success"),
            ({"on_failure": None}, NotCallableObject, "on_failure"),
        ],
    )
    def test_refused(self, record, call, given, error, allowed):
        """Nobody is told of a run, nor is a scheduler, that was asked for with a wrong value."""
        config = recording_config(record, scheduler=RecordingScheduler())
        flow = DotFlow(config=config)
        record.clear()
        with pytest.raises(error, match=allowed):
            getattr(flow, call)(**given)
        assert record.calls == []
        assert not hasattr(config.scheduler, "runs")

    def test_schedule_hands_on_what_was_said(self, record):
        """The scheduler gets the arguments that differ from the defaults, and no others."""
        seen = []

        class Scheduler(RecordingScheduler):
            def start(self, workflow, **kwargs):
                seen.append((workflow, kwargs))

        flow = DotFlow(config=recording_config(record, scheduler=Scheduler()))
        flow.schedule()
        flow.schedule(mode="parallel", resume=True, fingerprint="x")
        assert seen == [
            (flow.start, {}),
            (flow.start, {"mode": "parallel", "resume": True, "fingerprint": "x"}),
        ]


def test_it_is_a_name_of_dotflow():
    """Who catches it imports it from dotflow."""
    assert "WorkflowFailed" in dotflow.__all__
