"""What the arguments of a task stand for."""

from __future__ import annotations

from types import FunctionType
from typing import TYPE_CHECKING, Any

from dotflow.core.action import CONTEXTS, Action
from dotflow.core.exception import MissingActionDecorator, NotCallableObject, UnknownParameter
from dotflow.core.module import Module

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHECKED = "_parameters_are_checked"


def resolve_step(value: Any) -> Action[..., Any]:
    """The action that a step or its import string is.

    Raises:
        MissingActionDecorator: It is none.
        ImportModuleError: The import string leads nowhere.
        UnknownParameter: Its function has a parameter for which a run passes nothing.
    """
    step = value if isinstance(value, Action) else Module(value)
    if not isinstance(step, Action) or step.func is None:
        raise MissingActionDecorator(_name_of(value))
    if CHECKED not in step.__dict__:
        _check_parameters(step)
        step.__dict__[CHECKED] = True
    return step


def _check_parameters(step: Action[..., Any]) -> None:
    """See to it that a run can call a step: with contexts, by the names of its parameters."""
    if type(step).__call__ is not Action.__call__:  # that one may pass what it likes
        return
    is_bound = step._instance is not None and step._takes_instance
    unfilled = next(_unfilled(step.func, is_bound), None)
    if unfilled is not None:
        raise UnknownParameter(step.name, unfilled)


def _unfilled(func: Any, is_bound: bool) -> Iterator[str]:
    """The parameters of a plain function, or of a class's constructor, that a run cannot fill.

    Of any other callable nothing is said: a decorator may fill what its signature shows.

    Args:
        func: The function or the class.
        is_bound: Whether the first parameter gets the instance whose method it is.
    """
    if isinstance(func, staticmethod):
        func = func.__func__
    if type(func) is type:
        cls: Any = func
        is_bound, func = True, cls.__init__ if cls.__new__ is object.__new__ else None
    if type(func) is not FunctionType or {"__wrapped__", "__signature__"} & vars(func).keys():
        return
    code, defaults = func.__code__, func.__defaults__ or ()
    by_place = code.co_varnames[is_bound : code.co_argcount - len(defaults)]
    by_name = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    yield from (one for one in by_place if one not in CONTEXTS)
    yield from (one for one in by_name if one not in {*CONTEXTS, *(func.__kwdefaults__ or ())})


def _name_of(value: Any) -> str:
    """What a person calls it; of an object of the user's nothing is asked, only its class."""
    if type(value) is str:
        return value
    if type(value) in (FunctionType, type):
        return str(value.__qualname__)
    return f"{type.__dict__['__name__'].__get__(type(value))} object"


def resolve_callback(value: Any) -> Callable[..., Any]:
    """The callable that a callback or its import string is.

    Raises:
        NotCallableObject: It cannot be called.
        ImportModuleError: The import string leads nowhere.
    """
    callback = Module(value)
    if not callable(callback):
        raise NotCallableObject(str(value))
    return callback  # type: ignore[no-any-return]


def flat(step: Any) -> list[Any]:
    """The steps of a list, which may nest; else the one step."""
    if not isinstance(step, list):
        return [step]
    return [one for nested in step for one in flat(nested)]
