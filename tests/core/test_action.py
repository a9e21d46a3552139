"""@action on functions, coroutines and other callables."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import datetime as dt
import fractions
import functools
import pickle
from decimal import Decimal
from uuid import uuid4

import pytest
from core_doubles import echo

from dotflow import Context, Task, action
from dotflow.core.action import Action


def _task(step, **values):
    return Task(task_id=7, step=step, workflow_id=values.pop("workflow_id", uuid4()), **values)


def test_bare_decorator_gives_an_action_with_the_function():
    """`@action` gives an Action that keeps the function and has the default options."""

    def step():
        return 1

    made = action(step)
    assert isinstance(made, Action)
    assert made.func is step
    assert (made.retry, made.timeout, made.retry_delay, made.backoff) == (1, 0, 1, False)


def test_call_returns_a_context_with_the_ids_of_the_task():
    """The result of a step holds the ids of the task that is passed, which the function is not."""
    task = _task(echo)
    context = echo(initial_context=5, task=task)
    assert isinstance(context, Context)
    assert (context.storage, context.task_id) == (5, 7)
    assert context.workflow_id == task.workflow_id


def test_call_with_no_task_in_it_gives_a_context_without_ids():
    """With `task=None` the result is a Context without ids."""
    context = echo(initial_context=5, task=None)
    assert (context.storage, context.task_id, context.workflow_id) == (5, None, None)


@action(retry=3)
def add(n, more=1):
    return n + more


@action
async def add_later(n):
    return n + 1


@action
class Counter:
    def __init__(self, start=0):
        self.start = start

    @action
    def count(self, previous_context):
        return self.start + previous_context.storage


def test_without_a_task_a_step_is_its_function():
    """A step that is called like a function is one: its arguments, and its own value."""
    assert (add(3), add(3, more=2), add(n=4)) == (4, 5, 5)
    with pytest.raises(TypeError, match="argument"):
        add()
    assert asyncio.run(add_later(3)) == 4
    assert type(Counter(5)) is Counter.func
    assert Counter(5).count(previous_context=2) == 7


@pytest.mark.parametrize("given", [3, Context(3)])
def test_without_a_task_contexts_may_be_values(given):
    """What is given as a context, by name, reaches the function as a Context."""
    assert echo(initial_context=given) == 3
    with pytest.raises(TypeError, match="previous_context"):
        echo(initial_context=3, previous_context=4)


@pytest.mark.parametrize("given", [3, Context(3)])
def test_without_a_task_contexts_may_be_given_by_place(given):
    """What stands in the place of a context reaches the function as one; the rest as it is."""

    @action
    def last(first, /, previous_context, *more):
        return (first, previous_context.storage, *more)

    class Steps:
        @action
        def method(self, initial_context):
            return initial_context.storage

    assert echo(given) == 3
    assert last(1, given) == (1, 3)
    assert last(1, given, 4, given) == (1, 3, 4, given)
    assert Steps().method(given) == Steps.method(Steps(), given) == 3
    with pytest.raises(TypeError, match="argument"):
        echo(given, 4)


def test_call_runs_once_and_raises_through():
    """Action itself neither retries nor catches."""
    calls = []

    @action(retry=3, timeout=1)
    def step():
        calls.append(1)
        raise ValueError("once")

    for arguments in ({}, {"task": _task(echo)}):
        with pytest.raises(ValueError, match="once"):
            step(**arguments)
    assert calls == [1, 1]


@action
def none():
    return ()


@action
def only_initial(initial_context):
    return (initial_context,)


@action
def only_previous(*, previous_context):
    return (previous_context,)


@action
def both_positional_only(previous_context, initial_context, /):
    return (initial_context, previous_context)


@action
def with_defaults(initial_context=None, previous_context=None):
    return (initial_context, previous_context)


@pytest.mark.parametrize(
    ("step", "values"),
    [
        (none, ()),
        (only_initial, ("i",)),
        (only_previous, ("p",)),
        (both_positional_only, ("i", "p")),
        (with_defaults, ("i", "p")),
    ],
)
@pytest.mark.parametrize("wrap", [lambda value: value, Context])
def test_contexts_go_where_the_signature_asks(step, values, wrap):
    """A function gets the contexts that it has parameters for, always as a Context."""
    result = step(initial_context=wrap("i"), previous_context=wrap("p"), task=_task(step)).storage
    assert all(isinstance(one, Context) for one in result)
    assert tuple(one.storage for one in result) == values


def _plain(initial_context, factor=1):
    return initial_context.storage * factor


@functools.wraps(_plain)
def _wrapped(*args, **kwargs):
    return _plain(*args, **kwargs)


class _Callable:
    def __call__(self, initial_context):
        return initial_context.storage


class _Meta(type):
    def __call__(cls, *args, **kwargs):
        made = super().__call__(*args, **kwargs)
        made.by_meta = True
        return made


class _WithMeta(metaclass=_Meta):
    def __init__(self, initial_context):
        self.value = initial_context.storage


class _InheritsWithMeta(_WithMeta):
    pass


@pytest.mark.parametrize(
    ("func", "expected"),
    [
        (functools.partial(_plain, factor=2), 6),
        (_wrapped, 3),
        (functools.partial(_wrapped, factor=3), 9),
        (_Callable(), 3),
        (_Callable().__call__, 3),
        (action(_plain), 3),
    ],
    ids=["partial", "wraps", "partial-of-wraps", "callable-object", "bound-method", "action"],
)
def test_contexts_reach_every_kind_of_callable(func, expected):
    """Partials, wrapped functions, callable objects and steps get their contexts too."""
    step = action(func)
    assert step(initial_context=3, task=_task(step)).storage == expected


@pytest.mark.parametrize("cls", [_WithMeta, _InheritsWithMeta])
def test_contexts_reach_a_class_with_a_metaclass(cls):
    """A class whose metaclass has its own __call__ gets contexts by its constructor's names."""
    made = action(cls)(initial_context=3, task=None).storage
    assert (made.value, made.by_meta) == (3, True)


def test_a_builtin_without_signature_can_be_a_step():
    """A callable that says nothing of its parameters gets no contexts."""
    assert action(dict)(initial_context=3, task=None).storage == {}


def test_further_arguments_are_passed_on():
    """What a direct call passes beside the contexts reaches the function."""
    assert action(_plain)(initial_context=3, factor=4, task=None).storage == 12


def test_a_returned_context_is_unwrapped():
    """A Context that is returned gives its value and its ids to the result."""
    workflow_id = uuid4()

    @action
    def step():
        return Context(storage=[1], task_id=42, workflow_id=workflow_id)

    context = step(task=_task(step))
    assert (context.storage, context.task_id, context.workflow_id) == ([1], 42, workflow_id)


@pytest.mark.parametrize(
    "value",
    [
        Decimal("1.5"), fractions.Fraction(1, 3), dt.date(2026, 1, 2), uuid4(), object(),
        range(3), {1}, frozenset({1}), b"x", memoryview(b"x"), 1j, len, iter([1]), Exception("x"),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_a_result_of_any_class_is_the_result(value):
    """A result without actions is the storage as it is, with the ids of the task."""

    @action
    def step():
        return value

    context = step(task=_task(step))
    assert context.storage is value
    assert context.task_id == 7


def test_a_returned_instance_with_actions_runs_them():
    """An instance that has actions is taken for a step class's."""

    class Steps:
        @action
        def first(self, initial_context):
            return initial_context.storage

    @action
    def step():
        return Steps()

    assert [one.storage for one in step(initial_context=1, task=None).storage] == [1]


def test_coroutines_are_awaited():
    """An async function runs to its end; its result is what the step returns."""

    @action
    async def step(initial_context):
        await asyncio.sleep(0)
        return initial_context.storage

    assert step(initial_context=4, task=None).storage == 4


current = contextvars.ContextVar("current", default="nothing")


@action
async def read_current():
    await asyncio.sleep(0)
    return current.get()


def test_coroutine_within_a_running_loop_sees_the_context():
    """Within a running loop a coroutine runs in a helper thread with the same context variables."""

    async def main():
        current.set("a span")
        return read_current(task=None).storage

    assert asyncio.run(main()) == "a span"


def test_coroutine_within_a_running_loop_raises_through():
    """What a coroutine raises in the helper thread is raised in the caller's."""

    @action
    async def step():
        raise KeyError("lost")

    async def main():
        with pytest.raises(KeyError, match="lost"):
            step(task=None)

    asyncio.run(main())


def test_pickled_by_name():
    """A step at module level is pickled by its name, as a function is."""
    assert pickle.loads(pickle.dumps(echo)) is echo


def test_copies_of_a_local_step_run():
    """A step that has no name to be found by can be copied."""

    @action(retry=4)
    def step():
        return 1

    copied = copy.deepcopy(step)
    assert copied is not step
    assert (copied.retry, copied()) == (4, 1)


@pytest.mark.parametrize(
    ("step", "name", "function"),
    [
        (echo, "echo", "core_doubles.echo"),
        (action(_wrapped), "_plain", f"{__name__}._plain"),
        (action(functools.partial(_plain)), "_plain", f"{__name__}._plain"),
        (action(_Callable()), "_Callable", f"{__name__}._Callable"),
        (action(_WithMeta), "_WithMeta", f"{__name__}._WithMeta"),
    ],
)
def test_name_and_source(step, name, function):
    """A step knows the name of its function and where that stands in the code."""
    assert step.name == name
    assert step.source.function == function
    if not isinstance(step.func, _Callable):
        assert step.source.file.endswith(".py")
        assert step.source.line > 1
