"""Task: its fields, and who is told when they are set."""

from __future__ import annotations

import functools
import subprocess
import sys
from datetime import datetime

import pytest
from core_doubles import echo, fail, recording_config

from dotflow import Config, Context, DotFlow, Task, action
from dotflow.core.action import Action
from dotflow.core.exception import (
    ImportModuleError,
    MissingActionDecorator,
    NotCallableObject,
    UnknownParameter,
)
from dotflow.core.task import TaskBuilder, TaskError, TaskInstance
from dotflow.core.types import TypeStatus
from dotflow.utils import basic_callback


def plain():
    """A function that is no step."""


class Plain:
    """A class that is none."""


def test_fields_as_given(recorded):
    """A Task holds what it was made with."""
    task = Task(5, echo, print, {"a": 1}, "wid", recorded, "blue")
    assert isinstance(task, TaskInstance)
    assert (task.task_id, task.step, task.callback, task.workflow_id) == (5, echo, print, "wid")
    assert (task.config, task.group_name) == (recorded, "blue")
    assert task.initial_context.storage == {"a": 1}


def test_defaults():
    """A fresh Task has run nothing."""
    task = Task(task_id=1, step=echo)
    assert task.callback is basic_callback
    assert (task.workflow_id, task.group_name, task.status) == (None, "default", "Not started")
    assert (task.errors, task.duration, task.retry_count) == ([], None, 0)
    assert isinstance(task.created_at, datetime)
    assert task.created_at.tzinfo is None
    assert (task.started_at, task.finished_at) == (None, None)


def test_construction_tells_the_providers_in_order(record, recorded):
    """A new Task announces "Not started" to notify and log, then itself to the server."""
    Task(task_id=3, step=echo, config=recorded)
    assert record.calls == [
        "notify 3 Not started",
        "log.info 3 Not started",
        "server.create_task 3 Not started",
    ]


@pytest.mark.parametrize("step", [5, None, print, lambda: 1, object(), action()])
def test_a_step_without_the_decorator_is_refused(step, record, recorded):
    """What is not under @action is no step, and nobody is told of it."""
    with pytest.raises(MissingActionDecorator):
        Task(task_id=1, step=step, config=recorded)
    assert record.calls == []


@pytest.mark.parametrize("callback", [5, None, "core_doubles.OPTIONS_NOT_THERE"])
def test_a_callback_that_cannot_be_called_is_refused(callback):
    """A callback is a callable or the import string of one."""
    error = ImportModuleError if isinstance(callback, str) else NotCallableObject
    with pytest.raises(error, match=str(callback)):
        Task(task_id=1, step=echo, callback=callback)


@pytest.mark.parametrize(
    ("step", "named"),
    [
        (print, "builtin_function_or_method object"), (plain, "plain"), (Plain, "Plain"),
        (Plain(), "Plain object"), ("core_doubles.note_pid", "core_doubles.note_pid"),
    ],
)  # fmt: skip
def test_what_is_no_step_is_named(step, named):
    """Who adds a list of steps sees which of them lacks the decorator."""
    with pytest.raises(MissingActionDecorator, match=f"'{named}' is no step.*'@action'"):
        DotFlow().task.add([echo, step])


def takes_rows(rows):
    """A step that takes its context by another name."""


def takes_more(previous_context, *, rows):
    """The same, by name only."""


class TakesPath:
    """The same, a class."""

    def __init__(self, path, initial_context):
        pass

    def load(self, rows):
        pass

    def read(self, previous_context):
        pass


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (action(takes_rows), "'takes_rows' has a parameter 'rows'"),
        (action(retry=3)(takes_more), "'takes_more' has a parameter 'rows'"),
        (action(staticmethod(takes_rows)), "'takes_rows' has a parameter 'rows'"),
        (action(TakesPath), "'TakesPath' has a parameter 'path'"),
        (action(TakesPath.load).__get__(TakesPath(1, 2)), "'load' has a parameter 'rows'"),
        (action(TakesPath.read), "'read' has a parameter 'self'.*of an instance"),
    ],
)
def test_a_parameter_that_is_no_context_is_refused(step, words, quiet):
    """Where the task is added, with the step's name, the parameter's and the remedy."""
    builder = TaskBuilder(config=quiet)
    for _ in range(2):  # what was refused once is not taken for checked
        with pytest.raises(UnknownParameter, match=words):
            builder.add(step=step)
    assert builder.count() == 0


def filling(func):
    """A decorator that passes what the step does not get of a run."""

    @functools.wraps(func)
    def filled(**contexts):
        return func([1], **contexts)

    return filled


def filled_by(rows, previous_context):
    return rows


class Calling(Action):
    """An action with a call of its own."""

    def __call__(self, **contexts):
        return Context(self.func(2))


@pytest.mark.parametrize(
    "step",
    [
        action(filling(filled_by)),
        action(functools.partial(takes_rows, rows=1)),
        action(lambda rows=1, *args, **more: rows),
        Calling(takes_rows),
        action(TakesPath.read).__get__(TakesPath(1, 2)),
    ],
)
def test_a_parameter_that_something_else_fills_is_taken(step, quiet):
    """A decorator, a partial, a default, a call of a subclass: such steps run."""
    flow = DotFlow(config=quiet)
    flow.task.add(step=step)
    assert flow.start().ok


def test_a_task_shows_what_it_is(quiet):
    """Printed, a task says number, step and status."""
    flow = DotFlow(config=quiet)
    flow.task.add(echo)
    assert repr(flow.task.queue) == "[<task 1 (echo): Not started>]"
    flow.start()
    assert repr(flow.task.queue) == "[<task 1 (echo): Completed>]"


def test_step_before_callback():
    """The step is checked before the callback."""
    with pytest.raises(MissingActionDecorator):
        Task(task_id=1, step=None, callback=None)


@pytest.mark.parametrize("separator", [".", ":"])
def test_import_strings(separator):
    """Step and callback may be import strings."""
    task = Task(1, f"core_doubles{separator}echo", f"core_doubles{separator}note_pid")
    assert task.step is echo
    assert task.callback.__name__ == "note_pid"


def test_an_import_string_of_a_plain_function_is_no_step():
    """The decorator is asked for behind an import string too."""
    with pytest.raises(MissingActionDecorator):
        Task(1, "core_doubles.note_pid")


@pytest.mark.parametrize("name", ["initial_context", "previous_context", "current_context"])
def test_contexts_are_wrapped(name):
    """A context reads as an empty Context when unset, and wraps what it is set to."""
    task = Task(task_id=4, step=echo, workflow_id="orders")
    assert isinstance(getattr(task, name), Context)
    assert getattr(task, name).storage is None
    setattr(task, name, [1])
    assert getattr(task, name).storage == [1]


def test_current_context_is_kept(record, recorded):
    """Setting current_context posts it under the storage's key, with the task's ids."""
    task = Task(task_id=4, step=echo, workflow_id="orders", config=recorded)
    record.clear()
    task.current_context = "value"
    assert record.calls == ["storage.key 4", "storage.post 4 'value'"]
    assert (task.current_context.task_id, task.current_context.workflow_id) == (4, "orders")
    assert recorded.storage.get("orders-4") is task.current_context


@pytest.mark.parametrize(
    ("status", "calls"),
    [
        ("In progress", ["notify 1 In progress", "log.info 1 In progress"]),
        ("Paused", ["notify 1 Paused", "log.info 1 Paused"]),
        ("Retry", ["notify 1 Retry", "log.warning 1 Retry", "metrics.task_retried 1"]),
        ("Failed", ["notify 1 Failed", "log.error 1 Failed", "metrics.task_failed 1 NoneType"]),
        (
            "Completed",
            ["notify 1 Completed", "log.info 1 Completed", "metrics.task_completed 1 NoneType"],
        ),
    ],
)
def test_status_hooks(record, recorded, status, calls):
    """A status that is set is told to notify, then log, then metrics."""
    task = Task(task_id=1, step=echo, config=recorded)
    record.clear()
    task.status = status
    assert task.status == status
    assert record.calls == calls


def test_errors_take_lists_and_append_exceptions():
    """A list replaces the errors, an exception or a TaskError is appended, the rest ignored."""
    task = Task(task_id=1, step=echo)
    task.errors = ValueError("one")
    task.errors = TaskError(KeyError("two"), attempt=2)
    task.errors = "three"
    task.errors = None
    assert [(one.exception, one.attempt) for one in task.errors] == [
        ("ValueError", None),
        ("KeyError", 2),
    ]
    task.errors = []
    assert task.errors == []


def test_error_is_deprecated():
    """`error` warns, reads as the last error or an empty one, and appends."""
    task = Task(task_id=1, step=echo)
    with pytest.warns(DeprecationWarning, match="errors"):
        assert task.error.exception == ""
    with pytest.warns(DeprecationWarning, match="errors"):
        task.error = ValueError("one")
    with pytest.warns(DeprecationWarning, match="errors"):
        assert task.error.message == "one"
    assert len(task.errors) == 1


def test_dates_can_be_set():
    """The dates and the duration are settable."""
    task = Task(task_id=1, step=echo)
    when = datetime(2026, 11, 22, 0, 30, 38, 190513)
    task.started_at = task.finished_at = when
    task.duration = 1.5
    assert (task.started_at, task.finished_at, task.duration) == (when, when, 1.5)
    task.started_at = None
    assert task.started_at is None


def test_without_a_config_the_storage_lasts():
    """A Task without a Config keeps one of its own, so that what it stores is found again."""
    task = Task(task_id=1, step=echo, workflow_id="w")
    assert task.config is task.config
    task.current_context = 5
    assert task.config.storage.get(task.config.storage.key(task)).storage == 5


def test_a_task_without_a_config_reports_nowhere(monkeypatch):
    """A Task on its own makes no server from the environment."""
    monkeypatch.setenv("SERVER_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("SERVER_USER_TOKEN", "token")
    assert type(Task(task_id=1, step=echo).config.server).__name__ == "ServerNone"


class TestBuilder:
    """TaskBuilder: the queue and its numbers."""

    def test_ids_are_consecutive_and_add_returns_the_builder(self, quiet):
        """Tasks are numbered from the initial id, and add() can be chained."""
        builder = TaskBuilder(config=quiet, workflow_id="w", initial_task_id=4)
        assert builder.add(echo).add(step=fail, group_name="g") is builder
        assert [task.task_id for task in builder.queue] == [4, 5]
        assert [task.group_name for task in builder.queue] == ["default", "g"]
        assert all(task.workflow_id == "w" for task in builder.queue)
        assert all(task.config is quiet for task in builder.queue)
        assert builder.count() == 2

    def test_lists_are_added_one_by_one(self, quiet):
        """Each step of a list, which may nest, becomes a task with the same options."""
        builder = TaskBuilder(config=quiet)
        builder.add([echo, ["core_doubles.fail", [echo]]], print, 5, "g")
        assert [task.step for task in builder.queue] == [echo, fail, echo]
        assert {task.callback for task in builder.queue} == {print}
        assert [task.initial_context.storage for task in builder.queue] == [5] * 3
        assert {task.group_name for task in builder.queue} == {"g"}

    @pytest.mark.parametrize(
        "arguments",
        [
            {"step": None},
            {"step": [echo, None]},
            {"step": [echo, "no.such.step"]},
            {"step": echo, "callback": 5},
        ],
    )
    def test_a_failed_add_uses_no_number(self, record, arguments):
        """An add that is refused adds nothing, tells nobody and uses up no number."""
        builder = TaskBuilder(config=recording_config(record))
        with pytest.raises((MissingActionDecorator, ImportModuleError, NotCallableObject)):
            builder.add(**arguments)
        assert (builder.count(), record.calls) == (0, [])
        assert builder.add(echo).queue[0].task_id == 1

    def test_clear_and_reverse_keep_numbers(self, quiet):
        """clear() does not restart the numbers, reverse() does not change them."""
        builder = TaskBuilder(config=quiet)
        builder.add([echo, echo]).clear()
        builder.add([echo, echo]).reverse()
        assert [task.task_id for task in builder.queue] == [4, 3]

    def test_schema_and_result(self, quiet):
        """The builder's schema and result hold the workflow and its tasks."""
        builder = TaskBuilder(config=quiet, workflow_id="w", workflow_name="nightly")
        builder.add(echo, initial_context=1)
        result = builder.result()
        assert (result["workflow_id"], result["id"]) == ("w", "w")
        assert (result["workflow_name"], result["name"]) == ("nightly", "nightly")
        assert [task["task_id"] for task in result["tasks"]] == [1]
        assert builder.schema().tasks[0].task_id == 1


class TestError:
    """TaskError: a failed attempt as text."""

    def test_empty(self):
        """Without an error all is empty."""
        error = TaskError()
        assert (error.attempt, error.exception, error.message, error.traceback) == (
            None, "", "", "",
        )  # fmt: skip

    def test_of_an_exception_outside_its_except_block(self):
        """The class name, message and traceback of an exception."""
        try:
            raise KeyError("lost")
        except KeyError as raised:
            kept = raised
        error = TaskError(kept, attempt=2)
        assert (error.attempt, error.exception, error.message) == (
            2,
            "KeyError",
            "KeyError: 'lost'",
        )
        assert "Traceback" in error.traceback
        assert "test_of_an_exception_outside" in error.traceback
        assert error.error_type == "KeyError"

    def test_of_an_exception_whose_message_raises(self):
        """An exception that cannot be printed is still an error."""

        class AwkwardError(Exception):
            def __str__(self):
                raise RuntimeError("no words")

        error = TaskError(AwkwardError())
        assert error.exception == "AwkwardError"
        assert "AwkwardError" in error.message
        assert error.error_type.endswith("AwkwardError")


def test_attempts_of_three_failures(quiet):
    """Three failures of retry=3 are the attempts 1, 2 and None, and two retries."""

    @action(retry=3, retry_delay=0)
    def step():
        raise ValueError("x")

    flow = DotFlow(config=quiet)
    flow.task.add(step)
    flow.start()
    task = flow.task.queue[0]
    assert [error.attempt for error in task.errors] == [1, 2, None]
    assert (task.retry_count, task.status) == (2, TypeStatus.FAILED)


def test_config_slots_keep_identity(recorded):
    """A Task of a workflow has the workflow's Config, not one of its own."""
    assert isinstance(recorded, Config)
    flow = DotFlow(config=recorded)
    flow.task.add(echo)
    assert flow.task.queue[0].config is recorded


@pytest.mark.skipif(sys.version_info < (3, 11), reason="each object has a dict before Python 3.11")
def test_a_task_that_ran_has_no_dict_of_its_own():
    """In a program's first run too, Python keeps what a task holds without a dict: 266 bytes."""
    program = (
        "import gc\n"
        "from dotflow import DotFlow, action\n"
        "flow = DotFlow()\n"
        "flow.task.add([action(lambda: 1)] * 100)\n"
        "flow.start()\n"
        "assert flow.result_storage() == [1] * 100\n"
        "held = [one for task in flow.task.queue for one in gc.get_referents(task)]\n"
        "print(sum(type(one) is dict for one in held))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "0\n"
