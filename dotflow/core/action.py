"""`@action`: what makes a function, a coroutine, a method or a class a step."""

from __future__ import annotations

import types
from functools import cached_property, partial
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, ParamSpec, TypeVar, overload

from dotflow.core.context import Context
from dotflow.core.exception import ImportModuleError
from dotflow.core.module import Module
from dotflow.core.step_options import checked_flag, checked_retry, checked_seconds

if TYPE_CHECKING:
    import inspect
    from collections.abc import Callable, Coroutine, Iterator, Mapping
    from typing import Concatenate

P = ParamSpec("P")
Q = ParamSpec("Q")  # of a method: what comes after `self`
R = TypeVar("R")
Instance = TypeVar("Instance")

CONTEXTS = ("initial_context", "previous_context")

# A result of one of these types has no methods to look for.
PLAIN_TYPES = (
    str, int, float, complex, bool, type(None), bytes, bytearray, memoryview,
    dict, list, tuple, set, frozenset, range, Context,
    types.FunctionType, types.BuiltinFunctionType, types.ModuleType, type,
)  # fmt: skip
# By their numbers: a class may have ideas of its own about its hash.
PLAIN_IDS = frozenset(map(id, PLAIN_TYPES))

_mro_of = vars(type)["__mro__"].__get__
_names_in = vars(type)["__dict__"].__get__


class Source(NamedTuple):
    """Where a step stands in the code: qualified function name, file path, first line."""

    function: str
    file: str | None
    line: int | None


class Action(Generic[P, R]):
    """Makes a step of a function, a coroutine function, a method or a class.

    Write `@action`, or `@action(retry=3)` with options. A workflow runs the step with its options.
    If you call the step yourself, the function runs once, as if it were not decorated; type
    checkers see the function's own parameters and result.

    Args:
        func: The function, coroutine function, method, class or other callable.
        task: A task whose ids the results get if a call names no task.
        retry: How many attempts the step has in all (int); below 1 counts as 1.
        timeout: Seconds that one attempt may take (int or float); 0 for no limit.
        retry_delay: Seconds between two attempts (int or float).
        backoff: Whether the delay doubles after each failed attempt.

    Raises:
        TypeError: An option has another type.
        ValueError: A number of seconds is negative or infinite.
    """

    def __init__(
        self,
        func: Callable[P, R] | None = None,
        task: Any = None,
        retry: int = 1,
        timeout: float = 0,
        retry_delay: float = 1,
        backoff: bool = False,
    ) -> None:
        self.func = func
        self.task = task
        self.retry = checked_retry(retry)
        self.timeout = checked_seconds("timeout", timeout, "no limit")
        self.retry_delay = checked_seconds("retry_delay", retry_delay, "none")
        self.backoff = checked_flag("backoff", backoff)
        self._instance: Any = None
        self._positional: tuple[str, ...] = ()
        self._keywords: tuple[str, ...] = ()
        if func is not None:
            self.__doc__ = func.__doc__
            self.__wrapped__ = func  # where `inspect` looks for the signature
            self._positional, self._keywords = _contexts_of(func)

    @overload
    def __get__(self, instance: None, owner: type | None = None) -> Action[P, R]: ...
    @overload
    def __get__(
        self: Action[Concatenate[Instance, Q], R], instance: Instance, owner: type | None = None
    ) -> Action[Q, R]: ...
    def __get__(self, instance: Any, owner: type | None = None) -> Any:
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

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function, as if it were no step, and return what it returns.

        So a step can be tested by itself. A context may be given as any value, by name or by
        place: the function gets it as a Context. With `task=` (the task itself never reaches the
        function) it is the engine's call: the contexts reach the function where it has parameters
        so named, coroutines and methods of a class run to their end, and the result is a Context
        with the ids of the task.

        Args:
            args: Passed on to the function.
            kwargs: The same.
        """
        result: R = self._called(args, kwargs)
        return result

    def _called(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self.func is None:
            return self._decorate(*args)
        contexts = {name: _as_context(kwargs.pop(name)) for name in CONTEXTS if name in kwargs}
        if "task" in kwargs or self.task is not None:
            task = kwargs.pop("task", None) or self.task
            return self._run(task, contexts, args, kwargs)
        func: Any = self.func
        return func(*self._with_contexts(self._with_instance(args)), **contexts, **kwargs)

    def _with_contexts(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments, those in the place of a context as a Context."""
        if not args or not (self._positional or self._keywords):
            return args
        placed = [one for one in _parameters(self.func) if one.kind <= one.POSITIONAL_OR_KEYWORD]
        return tuple(
            _as_context(value) if one is not None and one.name in CONTEXTS else value
            for one, value in zip_longest(placed[: len(args)], args)
        )

    def _with_instance(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        bound = self._instance is not None and self._takes_instance
        return (self._instance, *args) if bound else args

    def run_for(self, task: Any) -> Context:
        """Run the step once for a task of the engine, and return a Context with its result."""
        if self._wants_none:
            func: Any = self.func
            result = func()
            if id(type(result)) in PLAIN_IDS:
                return Context.of_task(result, task.task_id, task.workflow_id)
            return self._finished(result, task, task.initial_context, task.previous_context)
        contexts = {
            "initial_context": task.initial_context, "previous_context": task.previous_context,
            "task": task,
        }  # fmt: skip
        called: Any = self  # a subclass may have a call of its own
        return called(**contexts)  # type: ignore[no-any-return]

    def _decorate(self, func: Callable[..., Any]) -> Action[..., Any]:
        return Action(func, self.task, self.retry, self.timeout, self.retry_delay, self.backoff)

    def _run(
        self, task: Any, given: dict[str, Context], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Context:
        """Call the function as the engine does."""
        func: Any = self.func
        contexts = {name: given.get(name) or Context() for name in CONTEXTS}
        args = (*self._with_instance(args), *(contexts[name] for name in self._positional))
        kwargs.update({name: contexts[name] for name in self._keywords})
        return self._finished(func(*args, **kwargs), task, *contexts.values())

    def _finished(self, result: Any, task: Any, initial: Context, previous: Context) -> Context:
        """The Context of what the function returned, once a coroutine or the methods have run."""
        # Only its type is asked: `isinstance` would ask the value for its `__class__`.
        if type(result) is types.CoroutineType:
            result = _await(result)
        workflow_id = getattr(task, "workflow_id", None)
        if not issubclass(type(result), PLAIN_TYPES):
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


if TYPE_CHECKING:

    @overload
    def action(func: Callable[P, R], /) -> Action[P, R]: ...
    @overload
    def action(
        *, retry: int = 1, timeout: float = 0, retry_delay: float = 1, backoff: bool = False
    ) -> Callable[[Callable[P, R]], Action[P, R]]: ...
    def action(*args: Any, **kwargs: Any) -> Any:
        """What makes a callable a step: the class itself, with types that it cannot say."""

else:
    action = Action


def method_actions(instance: Any) -> Iterator[Action[..., Any]]:
    """The actions among an instance's attributes, inherited ones too, in definition order."""
    import inspect  # here, as everywhere in this module, for it is slow to load

    names: dict[str, None] = {}
    classes = [_names_in(cls) for cls in _mro_of(type(instance))]
    for names_in in (*reversed(classes), _attributes_of(instance, classes)):
        names.update(dict.fromkeys(one for one in names_in if type(one) is str))
    for name in names:
        # Looked up statically first: a property may do anything when it is read.
        if name.startswith("__"):
            continue
        found = _unwrap_static(inspect.getattr_static(instance, name, None))
        if issubclass(type(found), Action):
            yield getattr(instance, name)


def _attributes_of(instance: Any, classes: list[Any]) -> Mapping[Any, Any]:
    """What an instance has of its own; it is not asked, for it may do anything then."""
    holder = next((one["__dict__"] for one in classes if "__dict__" in one), None)
    if type(holder) is not types.GetSetDescriptorType:
        return {}
    found: Mapping[Any, Any] = holder.__get__(instance)
    return found


def _run_methods(instance: Any, initial: Context, previous: Context, workflow_id: Any) -> Any:
    """Run an instance's actions one after another; without any the instance is the result."""
    results: list[Context] = []
    for number, method in enumerate(method_actions(instance)):
        call: Any = method
        previous = call(initial_context=initial, previous_context=previous, task=None)
        previous = Context.of_task(previous.storage, number, workflow_id)
        results.append(previous)
    return results or instance


def _as_context(value: Any) -> Context:
    return value if issubclass(type(value), Context) else Context(value)


def _unwrap_static(attribute: Any) -> Any:
    is_wrapped = issubclass(type(attribute), (staticmethod, classmethod))
    return attribute.__func__ if is_wrapped else attribute


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

    # Not within an `except`: what the coroutine raises would seem to come of that.
    if asyncio._get_running_loop() is None:
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
