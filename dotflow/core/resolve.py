"""What the arguments of a task stand for."""

from __future__ import annotations

from types import FunctionType
from typing import TYPE_CHECKING, Any

from dotflow.core.action import Action
from dotflow.core.exception import MissingActionDecorator, NotCallableObject
from dotflow.core.module import Module

if TYPE_CHECKING:
    from collections.abc import Callable


def resolve_step(value: Any) -> Action[..., Any]:
    """The action that a step or its import string is.

    Raises:
        MissingActionDecorator: It is none.
        ImportModuleError: The import string leads nowhere.
    """
    step = value if isinstance(value, Action) else Module(value)
    if not isinstance(step, Action) or step.func is None:
        raise MissingActionDecorator(_name_of(value))
    return step


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
