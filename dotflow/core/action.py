"""`@action`: what makes a function, a coroutine, a method or a class a step."""

from __future__ import annotations

import types
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, NamedTuple

from dotflow.core.context import Context
from dotflow.core.exception import ImportModuleError
from dotflow.core.module import Module

if TYPE_CHECKING:
    import inspect
    from collections.abc import Callable, Coroutine, Iterator

CONTEXTS = ("initial_context", "previous_context")

# A result of one of these types has no methods to look for.
PLAIN_TYPES = (
    str, int, float, complex, bool, type(None), bytes, bytearray, memoryview,
    dict, list, tuple, set, frozenset, range, Context,
    types.FunctionType, types.BuiltinFunctionType, types.ModuleType, type,
)  # fmt: skip
PLAIN_TYPE_SET = frozenset(PLAIN_TYPES)


class Source(NamedTuple):
    """Where a step stands in the code: qualified function name, file path, first line."""

    function: str
    file: str | None
    line: int | None


class Action:
    """A step: a callable that runs once when it is called, and what the engine is to do with it.

    `@action` and `@action(retry=3)` both give an Action.

    Args:
        func: The function, coroutine function, method, class or other callable.
        task: A task whose ids the results get, where a call names none.
        retry: How many attempts there are in all; below 1 counts as 1.
        timeout: Seconds for one attempt; 0 for no limit.
        retry_delay: Seconds between attempts.
        backoff: Whether the delay doubles after each failed attempt.
    """

    def __init__(
        self,
        func: Callable[..., Any] | None = None,
        task: Any = None,
        retry: int = 1,
        timeout: float = 0,
        retry_delay: float = 1,
        backoff: bool = False,
    ) -> None:
        self.func = func
        self.task = task
        self.retry = retry
        self.timeout = timeout
        self.retry_delay = retry_delay
        self.backoff = backoff
        self._instance: Any = None
        self._positional: tuple[str, ...] = ()
        self._keywords: tuple[str, ...] = ()
        if func is not None:
            self.__doc__ = func.__doc__
            self.__wrapped__ = func  # where `inspect` looks for the signature
            self._positional, self._keywords = _contexts_of(func)

    def __get__(self, instance: Any, owner: type | None = None) -> Action:
        """The step of one instance, as a function's method is that of one instance."""
        if instance is None:
            return self
        bound = self.__class__.__new__(self.__class__)
        bound.__dict__.update(self.__dict__, _instance=instance, _wants_none=False)
        return bound

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickle a step by its name, as pickle does with functions, where the name leads here."""
        path = f"{getattr(self.func, '__module__', '')}:{getattr(self.func, '__qualname__', '')}"
        try:
            if Module(path) is self:
                return Module, (path,)
        except ImportModuleError:
            pass
        return super().__reduce_ex__(protocol)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the step once and return a Context with its result.

        Args:
            args: Passed on to the function.
            kwargs: `initial_context` and `previous_context` reach the function where it has
                parameters so named, always as a Context; `task` gives the result its ids and
                never reaches the function; others are passed on.
        """
        if self.func is None:
            return self._decorate(*args)
        task = kwargs.pop("task", None) or self.task
        initial = kwargs.pop("initial_context", None)
        previous = kwargs.pop("previous_context", None)
        if self._instance is not None and self._takes_instance:
            args = (self._instance, *args)
        return self._run(task, _as_context(initial), _as_context(previous), args, kwargs)

    def run_for(self, task: Any) -> Context:
        """Run the step once for a task of the engine, and return a Context with its result."""
        if self._wants_none:
            assert self.func is not None  # noqa: S101 - a task's step has a function
            result = self.func()
            if type(result) in PLAIN_TYPE_SET:
                return Context.of_task(result, task.task_id, task.workflow_id)
            return self._finished(result, task, task.initial_context, task.previous_context)
        return self(  # type: ignore[no-any-return]
            initial_context=task.initial_context, previous_context=task.previous_context, task=task
        )

    def _decorate(self, func: Callable[..., Any]) -> Action:
        return Action(func, self.task, self.retry, self.timeout, self.retry_delay, self.backoff)

    def _run(
        self,
        task: Any,
        initial: Context,
        previous: Context,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Context:
        assert self.func is not None  # noqa: S101 - __call__ has looked
        contexts = {"initial_context": initial, "previous_context": previous}
        if self._positional:
            args = (*args, *(contexts[name] for name in self._positional))
        for name in self._keywords:
            kwargs[name] = contexts[name]
        return self._finished(self.func(*args, **kwargs), task, initial, previous)

    def _finished(self, result: Any, task: Any, initial: Context, previous: Context) -> Context:
        """The Context of what the function returned, once a coroutine or the methods have run."""
        if isinstance(result, types.CoroutineType):
            result = _await(result)
        workflow_id = getattr(task, "workflow_id", None)
        if not isinstance(result, PLAIN_TYPES):
            result = _run_methods(result, initial, previous, workflow_id)
        return Context.of_task(result, getattr(task, "task_id", None), workflow_id)

    @cached_property
    def _wants_none(self) -> bool:
        """Whether the function is called with nothing: no context, no instance."""
        plain = type(self).__call__ is Action.__call__ and self._instance is None
        return plain and not (self._positional or self._keywords)

    @cached_property
    def _takes_instance(self) -> bool:
        """Whether a method was written with `self`: any first parameter that is no context."""
        assert self.func is not None  # noqa: S101 - only bound actions ask
        if isinstance(self.func, (staticmethod, type)):
            return False
        first = next(iter(_parameters(self.func)), None)
        return first is not None and first.name not in CONTEXTS and first.kind in (
            first.POSITIONAL_ONLY, first.POSITIONAL_OR_KEYWORD, first.VAR_POSITIONAL,
        )  # fmt: skip

    @cached_property
    def name(self) -> str:
        """The name of the function, method or class."""
        func = _innermost(self.func)
        return getattr(func, "__name__", None) or type(func).__name__

    @cached_property
    def source(self) -> Source:
        """Where the step stands in the code."""
        func = _innermost(self.func)
        if not hasattr(func, "__qualname__"):
            func = type(func)
        code = getattr(func, "__code__", None) or getattr(
            getattr(func, "__init__", None), "__code__", None
        )
        return Source(
            f"{func.__module__}.{func.__qualname__}",
            code and code.co_filename,
            code and code.co_firstlineno,
        )

    def __repr__(self) -> str:
        return f"<action {self.name}>" if self.func is not None else "<action>"


def method_actions(instance: Any) -> Iterator[Action]:
    """The actions among an instance's attributes, inherited ones too, in definition order."""
    import inspect  # here, as everywhere in this module, for it is slow to load

    names: dict[str, None] = {}
    for cls in reversed(type(instance).__mro__):
        names.update(dict.fromkeys(vars(cls)))
    names.update(dict.fromkeys(getattr(instance, "__dict__", ())))
    for name in names:
        # Looked up statically first: a property may do anything when it is read.
        if not name.startswith("__") and isinstance(
            _unwrap_static(inspect.getattr_static(instance, name, None)), Action
        ):
            yield getattr(instance, name)


def _run_methods(instance: Any, initial: Context, previous: Context, workflow_id: Any) -> Any:
    """Run an instance's actions one after another; without any the instance is the result."""
    results: list[Context] = []
    for number, method in enumerate(method_actions(instance)):
        previous = method(initial_context=initial, previous_context=previous)
        previous = Context.of_task(previous.storage, number, workflow_id)
        results.append(previous)
    return results or instance


def _as_context(value: Any) -> Context:
    return value if isinstance(value, Context) else Context(value)


def _unwrap_static(attribute: Any) -> Any:
    return attribute.__func__ if isinstance(attribute, (staticmethod, classmethod)) else attribute


def _innermost(func: Any) -> Any:
    while isinstance(func, (partial, staticmethod)):
        func = func.func if isinstance(func, partial) else func.__func__
    if not hasattr(func, "__wrapped__"):
        return func
    import inspect

    return inspect.unwrap(func) if callable(func) else func


def _parameters(func: Any) -> list[inspect.Parameter]:
    """The parameters of a callable; of a class those of its constructor, whatever its metaclass.

    A metaclass with a `__call__` of its own would hide them.
    """
    import inspect

    if isinstance(func, staticmethod):
        func = func.__func__
    if isinstance(func, type) and type(func).__call__ is not type.__call__:
        cls: Any = func
        func = partial(cls.__new__ if cls.__init__ is object.__init__ else cls.__init__, None)
    try:
        return list(inspect.signature(func).parameters.values())
    except (TypeError, ValueError):  # a builtin without one
        return []


def _contexts_of(func: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The contexts that a callable wants: those it takes by position only, and by name."""
    if _names_no_context(func):
        return (), ()
    wanted = [parameter for parameter in _parameters(func) if parameter.name in CONTEXTS]
    return (
        tuple(p.name for p in wanted if p.kind is p.POSITIONAL_ONLY),
        tuple(p.name for p in wanted if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)),
    )


def _names_no_context(func: Any) -> bool:
    """Whether a plain function has no parameter for a context, as its code alone can say."""
    if type(func) is not types.FunctionType or {"__wrapped__", "__signature__"} & vars(func).keys():
        return False
    return not set(CONTEXTS) & set(func.__code__.co_varnames)


def _await(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine to its end in an event loop of its own."""
    import asyncio
    import threading
    from contextvars import copy_context

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    # A loop cannot run within a loop of the same thread. The context goes along, so that what is
    # current here (a span, a log context) is current there.
    outcome: list[Any] = []
    error: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(asyncio.run(coroutine))
        except BaseException as raised:  # noqa: BLE001 - raised again in the caller's thread
            error.append(raised)

    thread = threading.Thread(target=copy_context().run, args=(run,), name="dotflow-coroutine")
    thread.start()
    thread.join()
    if error:
        raise error[0]
    return outcome[0]
