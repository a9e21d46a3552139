"""The exception of a failed attempt: kept in every mode, without what its frames would keep."""

from __future__ import annotations

import builtins
import copy
import copyreg
import gc
import os
import pickle
import signal
import sys
import traceback
import weakref

import pytest
from core_doubles import RecordingLog, RecordingTracer, echo, recording_config

from dotflow import DotFlow, action
from dotflow.core.exception import StepError
from dotflow.core.task_error import TaskError

MODES = ["sequential", "sequential_group", "background", "parallel"]
IN_PROCESS = ["sequential", "background"]
IN_CHILDREN = ["sequential_group", "parallel"]


def run(config, *steps, mode="sequential", **kwargs):
    flow = DotFlow(config=config)
    for step in steps:
        flow.task.add(step)
    manager = flow.start(mode=mode, keep_going=True, **kwargs)
    if mode == "background":
        manager.thread.join()
    return flow.result_task()


class OrderError(Exception):
    """One that says more than its message."""

    def __init__(self, message, order):
        super().__init__(message, order)
        self.order = order


@action(retry=2, retry_delay=0)
def refuse():
    raise OrderError("sold out", {"id": 7})


@pytest.mark.parametrize("mode", MODES)
def test_the_cause_is_the_exception(quiet, mode):
    """Each failed attempt has its exception: its class, what it says, what it holds."""
    (task,) = run(quiet, refuse, mode=mode)
    for error in task.errors:
        assert type(error.cause) is OrderError
        assert error.cause.args == ("sold out", {"id": 7})
        assert error.cause.order == {"id": 7}
        assert error.cause is error.cause
    assert [error.attempt for error in task.errors] == [1, None]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_from_every_kind_of_child(quiet, method):
    """It comes from a child however that was started."""
    (task,) = run(quiet, refuse, mode="parallel", start_method=method)
    assert type(task.errors[-1].cause) is OrderError


@pytest.mark.parametrize("mode", IN_PROCESS)
def test_in_this_process_it_is_the_very_exception(quiet, mode):
    """No copy is made where none has to be."""
    mine = ValueError("mine")

    @action
    def step():
        raise mine

    (task,) = run(quiet, step, mode=mode)
    assert task.errors[0].cause is mine


class Grumpy(Exception):
    """One that cannot be read back."""

    def __init__(self, one, two):
        super().__init__(f"{one} {two}")


class Leaves(Exception):
    """One that ends whoever pickles it, or reads it back."""

    def __reduce__(self):
        return (sys.exit, (3,)) if self.args[0] == "read" else sys.exit(3)


class Impostor(Exception):
    """One that comes back as something else."""

    def __reduce__(self):
        return str, ("no exception",)


@pytest.fixture
def bare(monkeypatch):
    """Exceptions pickle as they do by themselves, not as tblib has them, which Dask loads."""
    for kind in [kind for kind in copyreg.dispatch_table if issubclass(kind, BaseException)]:
        monkeypatch.delitem(copyreg.dispatch_table, kind)


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("mode", IN_CHILDREN)
@pytest.mark.parametrize(
    "error",
    [Grumpy("a", "b"), Leaves("pickle"), Leaves("read"), Impostor("x"), KeyError(lambda: 0)],
    ids=["grumpy", "pickle", "read", "impostor", "local"],
)
def test_one_that_cannot_be_pickled(quiet, mode, error):
    """It is a StepError with its type's name, its message and its traceback; others go on."""

    @action
    def step():
        raise error

    task, other = run(quiet, step, echo, mode=mode)
    assert (task.status, other.status) == ("Failed", "Completed")
    (failure,) = task.errors
    cause = failure.cause
    assert type(cause) is StepError
    assert (cause.exception, cause.message) == (type(error).__name__, failure.message)
    assert "in step" in cause.traceback
    assert str(cause).startswith(f"{cause.exception}: ")
    assert failure.cause is cause


@action
def killed():
    os.kill(os.getpid(), signal.SIGKILL)


def test_what_the_engine_says_itself(quiet):
    """A killed child, and a result that cannot be sent, have causes too."""

    @action
    def local():
        return lambda: 0

    first, second = run(quiet, killed, local, mode="parallel")
    assert type(first.errors[0].cause) is RuntimeError
    assert type(second.errors[0].cause) is pickle.PicklingError


@pytest.mark.parametrize("mode", IN_CHILDREN)
def test_a_step_that_leaves(quiet, mode):
    """SystemExit in a child is the cause of its task's failure."""

    @action
    def step():
        sys.exit(5)

    (task,) = run(quiet, step, mode=mode)
    assert type(task.errors[0].cause) is SystemExit
    assert task.errors[0].cause.code == 5


class Held:
    """Something that a step has in its hands."""


@pytest.fixture
def no_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def _plain(held):
    raise ValueError("x")


def _chained(held):
    try:
        _plain(held)
    except ValueError as error:
        raise KeyError("y") from error


def _in_context(held):
    try:
        _plain(held)
    except ValueError:
        raise KeyError("y")  # noqa: B904


def _grouped(held):
    try:
        _plain(held)
    except ValueError as error:
        raise builtins.ExceptionGroup("z", [error])  # noqa: B904


GROUPS = [_grouped] if sys.version_info >= (3, 11) else []


@pytest.mark.slow
@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("mode", IN_PROCESS)
@pytest.mark.parametrize("options", [{}, {"retry": 3, "retry_delay": 0}, {"timeout": 60}])
@pytest.mark.parametrize("fails", [_plain, _chained, _in_context, *GROUPS])
def test_what_a_step_held_is_gone(quiet, mode, options, fails):
    """Nothing that a failed step held is kept, nor the workflow once its owner lets it go."""
    seen = []

    @action(**options)
    def step():
        held = Held()
        seen.append(weakref.ref(held))
        fails(held)

    flow = DotFlow(config=quiet)
    flow.task.add(step)
    manager = flow.start(mode=mode)
    if mode == "background":
        manager.thread.join()
    causes = [error.cause for error in flow.result_task()[0].errors]
    assert [type(cause) for cause in causes] == [type(causes[0])] * options.get("retry", 1)
    assert [one() for one in seen] == [None] * len(causes)
    gone = [weakref.ref(one) for one in (flow, flow.result_task()[0], manager)]
    del flow, manager, causes, step
    assert [one() for one in gone] == [None] * 3


@pytest.mark.parametrize("mode", IN_PROCESS)
def test_hooks_see_where_it_came_from(record, mode):
    """A provider that is told of a failure finds the exception, with its frames, where it looks."""
    seen = []

    class Tracer(RecordingTracer):
        def end_task(self, task):
            seen.append(traceback.format_exc())

    class Log(RecordingLog):
        def warning(self, **kwargs):
            seen.append(traceback.format_exc())

    config = recording_config(record, tracer=Tracer(record), log=Log(record))
    (task,) = run(config, refuse, mode=mode)
    assert ["in refuse" in one for one in seen] == [True, True]
    assert task.errors[1].cause.__traceback__ is None


def test_what_is_handled_around_a_run_keeps_its_frames(quiet):
    """An exception that the caller handles has nothing to do with a step's."""

    @action
    def step():
        raise ValueError("x")

    try:
        raise LookupError("around")
    except LookupError as error:
        around = error
        (task,) = run(quiet, step)
        assert around.__traceback__ is not None
    assert task.errors[0].cause.__context__ is None
    assert "around" in task.errors[0].traceback


def test_what_leaves_start_keeps_its_frames(quiet):
    """An exception that goes on is its caller's: the task keeps its words."""
    mine = KeyboardInterrupt()

    @action
    def step():
        raise mine

    flow = DotFlow(config=quiet)
    flow.task.add(step)
    with pytest.raises(KeyboardInterrupt) as raised:
        flow.start()
    assert raised.value is mine
    assert "in step" in "".join(traceback.format_tb(mine.__traceback__))
    assert type(flow.result_task()[0].errors[0].cause) is StepError


def test_a_task_error_by_hand():
    """One that is made of an exception has that; one of nothing has none."""
    error = ValueError("x")
    assert TaskError(error).cause is error
    assert TaskError().cause is None
    try:
        raise error
    except ValueError:
        made = TaskError(error)
    assert type(made.cause) is StepError
    assert str(made.cause) == "ValueError: x"


def test_a_task_error_can_be_pickled():
    """It comes back with its exception, or without it."""
    for error in (OrderError("x", 1), Leaves("pickle")):
        made = TaskError(error, 2)
        for back in (pickle.loads(pickle.dumps(made)), copy.copy(made)):
            assert (back.attempt, back.exception, back.message) == (2, made.exception, made.message)
            assert back.cause.args == (StepError(made.exception, made.message).args
                                       if type(error) is Leaves else error.args)  # fmt: skip
