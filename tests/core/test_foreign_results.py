"""Results, inputs and errors that raise anything, or never end, when they cross to a process."""

from __future__ import annotations

import threading

import pytest

from dotflow import action
from dotflow.core.children import result
from dotflow.core.exception import Interrupted
from dotflow.core.task_error import TaskError
from dotflow.process import within as within_module
from dotflow.process.within import Failed, TookTooLongError, within


class Sudden(BaseException):
    """What only a bare `except` catches."""


ENDINGS = [KeyboardInterrupt, SystemExit, GeneratorExit, Sudden, MemoryError, RecursionError]


def explode(kind):
    raise kind("now")


over = threading.Event()
"""Set at the end of a test: what goes on for ever in a thread of this process ends then."""


@pytest.fixture
def ending():
    over.clear()
    yield
    over.set()


def wait_for_ever():
    over.wait(3600)


class Unreadable:
    """Reading it raises."""

    def __init__(self, kind):
        self.kind = kind

    def __reduce__(self):
        return explode, (self.kind,)


class Unwritable:
    """Writing it raises."""

    def __init__(self, kind):
        self.kind = kind

    def __reduce__(self):
        raise self.kind("now")


class Endless:
    """Reading it never ends."""

    def __reduce__(self):
        return wait_for_ever, ()


class EndlessToWrite:
    def __reduce__(self):
        wait_for_ever()


@action
def give(initial_context):
    """Return a fresh value of the class that is named."""
    cls, *arguments = initial_context.storage
    return cls(*arguments)


@action
def fine():
    return "fine"


def outcomes(flow):
    return {task.task_id: task.status for task in flow.task.queue}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ENDINGS)
@pytest.mark.parametrize("cls", [Unreadable, Unwritable])
def test_a_result_that_raises_fails_its_task_alone(flow, cls, kind):
    """Whatever pickle raises is the error of the task; the run and the other lanes go on."""
    flow.task.add(give, initial_context=(cls, kind))
    flow.task.add([fine, fine])
    flow.start(mode="parallel", keep_going=True)
    assert outcomes(flow) == {1: "Failed", 2: "Completed", 3: "Completed"}
    error = flow.result_task()[0].errors[-1]
    assert error.exception == "PicklingError"
    assert kind.__name__ in error.message
    assert "step 'give'" in error.message


@pytest.mark.slow
@pytest.mark.usefixtures("ending")
@pytest.mark.parametrize("cls", [Endless, EndlessToWrite])
def test_a_result_that_never_ends_holds_up_no_other_lane(flow, monkeypatch, cls):
    """Its task fails when time is over; lanes beside it end before."""
    monkeypatch.setattr(result, "PATIENCE", 3.0)
    monkeypatch.setattr("dotflow.core.children.child.PATIENCE", 3.0)
    ended = []
    flow.task.add(give, initial_context=(cls,), callback=lambda task: None)
    for _ in range(3):
        flow.task.add(fine)
    monkeypatch.setattr(
        "dotflow.core.reporter.TaskReporter.end",
        _noting(ended, __import__("dotflow.core.reporter", fromlist=["x"]).TaskReporter.end),
    )
    flow.start(mode="parallel", keep_going=True)
    assert outcomes(flow) == {1: "Failed", 2: "Completed", 3: "Completed", 4: "Completed"}
    assert ended[-1] == 1
    assert "TookTooLongError: it took more than 3" in flow.result_task()[0].errors[-1].message


def _noting(ended, end):
    def noted(self, failure, finished_ns):
        ended.append(self.task.task_id)
        end(self, failure, finished_ns)

    return noted


def test_a_result_of_another_class_arrives_as_it_is(flow):
    """A class of the program's own is read in a thread, and is the value of the task."""
    flow.task.add(give, initial_context=(dict, [("a", Point(1))]))
    flow.task.add(give, initial_context=(Point, 2), group_name="b")
    flow.start(mode="sequential_group")
    assert flow.result_storage() == [{"a": Point(1)}, Point(2)]


class Point:
    def __init__(self, x):
        self.x = x

    def __eq__(self, other):
        return type(other) is Point and other.x == self.x

    __hash__ = None


def test_an_input_that_raises_fails_its_task_alone(flow):
    """What cannot be sent to a spawned process, whatever it raises, fails the task with a name."""
    flow.task.add(fine, initial_context=Unwritable(SystemExit))
    flow.task.add(fine, group_name="b")
    flow.start(mode="sequential_group", keep_going=True, start_method="spawn")
    assert outcomes(flow) == {1: "Failed", 2: "Completed"}
    assert "the initial context of step 'fine'" in flow.result_task()[0].errors[-1].message


def test_within_gives_what_came_of_it():
    """A result, an error of any class, or that time is over; context variables come along."""
    assert within(60, lambda: 1) == 1
    failed = within(60, lambda: explode(KeyboardInterrupt))
    assert isinstance(failed, Failed)
    assert type(failed.error) is KeyboardInterrupt
    go = threading.Event()
    late = within(0.01, lambda: go.wait(60))
    go.set()
    assert type(late.error) is TookTooLongError


def test_within_needs_no_thread_if_there_is_none(monkeypatch):
    """At the end of the interpreter no thread starts: then it is done here."""

    def refuse(_self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert within_module.within(60, threading.get_ident) == threading.get_ident()
    assert type(within(60, lambda: explode(Sudden)).error) is Sudden


# Exceptions that are hostile.


class Loud(Exception):
    def __str__(self):
        raise SystemExit("no words")


class Odd(str):
    def __str__(self):
        return "odd"

    __slots__ = ()


class SaysOdd(Exception):
    def __str__(self):
        return Odd("said")


class Asks(Exception):
    """Each of its properties raises."""

    __cause__ = __context__ = __traceback__ = args = property(lambda _self: explode(Sudden))

    def __getattribute__(self, name):
        raise KeyboardInterrupt(name)


class Meta(type):
    def __getattribute__(cls, name):
        raise Sudden(name)


def of_meta(*arguments):
    # Made here, for pytest asks all classes of a module what they have.
    return Meta("OfMeta", (Exception,), {"__module__": __name__})(*arguments)


class Silent(Exception):
    def __str__(self):
        wait_for_ever()
        return "at last"


def caught(error, **chain):
    try:
        raise error
    except BaseException as raised:
        return raised


@pytest.mark.parametrize(
    ("make", "message", "error_type"),
    [
        (Loud, "<Loud whose message raises>", "Loud"),
        (SaysOdd, "said", "SaysOdd"),
        (lambda: ValueError(Loud()), "<ValueError whose message raises>", "ValueError"),
        (Asks, "Asks", "Asks"),
        (lambda: of_meta("x"), "x", "OfMeta"),
        (lambda: KeyError("k"), "KeyError: 'k'", "KeyError"),
        (lambda: Interrupted(15), "interrupted by SIGTERM", "Interrupted"),
    ],
)
def test_the_words_of_any_exception(make, message, error_type):
    """To put an exception in words raises nothing, and gives what can be had."""
    made = TaskError(caught(make()), 1)
    assert made.exception == error_type
    assert made.message == message
    assert type(made.message) is str
    assert made.error_type.endswith(error_type)
    assert "test_foreign_results.py" in made.traceback
    assert made.traceback.rstrip().splitlines()[-1].startswith(("    ", made.error_type))


@pytest.mark.usefixtures("ending")
def test_the_words_of_an_exception_that_never_says_them(monkeypatch):
    """They are waited for so long; where it was raised is told all the same."""
    monkeypatch.setattr("dotflow.core.task_error.PATIENCE", 0.2)
    made = TaskError(caught(Silent()))
    assert made.message == "<Silent whose message takes more than 0.2 s>"
    assert "raise error" in made.traceback
    assert made.error_type.endswith("Silent")


@pytest.mark.parametrize("make", [Loud, Asks, of_meta, SaysOdd])
def test_a_step_that_raises_it_fails_as_any_other(flow, make):
    """It is retried, and fails the task, in this process and in another."""

    def fail():
        raise make()

    flow.task.add(action(retry=2, retry_delay=0)(fail))
    flow.task.add(fine)
    flow.start(keep_going=True)
    assert outcomes(flow) == {1: "Failed", 2: "Completed"}
    assert len(flow.result_task()[0].errors) == 2
    flow.start(mode="parallel", keep_going=True)
    assert outcomes(flow) == {1: "Failed", 2: "Completed"}


# Results that are hostile to whoever looks at them.


class Looked:
    """Whatever is asked of it beside its type raises."""

    __class__ = property(lambda _self: explode(Sudden))

    def _refuse(self, *_):
        raise Sudden

    __eq__ = __hash__ = __bool__ = __len__ = __iter__ = __getattr__ = __format__ = _refuse
    __str__ = __repr__ = __contains__ = __call__ = _refuse


class Slotted:
    __slots__ = ("a",)

    def __getattr__(self, name):
        raise Sudden(name)


class LookedMeta(type):
    def __getattribute__(cls, name):
        raise Sudden(name)


@pytest.mark.parametrize("kind", ["looked", "slotted", "of a metaclass"])
def test_a_result_is_asked_nothing(flow, kind):
    """A result that must not be looked at is the result, and the next step gets it."""
    classes = {"looked": Looked, "slotted": Slotted}
    value = object.__new__(classes.get(kind) or LookedMeta("Of", (), {}))
    got = []

    def take(previous_context):
        got.append(previous_context.storage)
        return 1

    flow.task.add(action(lambda: value))
    flow.task.add(action(take), initial_context=value)
    flow.start()
    assert outcomes(flow) == {1: "Completed", 2: "Completed"}
    assert got[0] is value
