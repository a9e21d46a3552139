"""What goes to a worker, and back, as bytes; by value where a worker has no name for it.

A step, or a value of a class, that the program's main module (or a notebook) defines, and what is
defined within a function, has no name that leads to it on another machine. It goes by value where
cloudpickle is installed. All else goes by plain pickle: functions and classes by their names.
"""

from __future__ import annotations

import importlib.util
import io
import pickle
import sys
from types import CodeType
from typing import TYPE_CHECKING, Any

from dotflow.core.action import Action
from dotflow.core.children.wire import PATIENCE, USE_DATA, Load, Unsendable, bare
from dotflow.core.context import Context
from dotflow.process.within import Failed, within

if TYPE_CHECKING:
    from dotflow.core.task import Task

PROTOCOL = 5
"""What every Python that dotflow runs on can read: that of a worker may be another one."""

MAIN = "__main__"
TO_WORKER = "to its worker"


def dumps(value: Any, knows_main: bool) -> bytes:
    """A value, pickled for another process.

    Args:
        value: The value.
        knows_main: Whether that has what this program's main module defines, under its name.

    Raises:
        Exception: It cannot be pickled.
    """
    try:
        plain = pickle.dumps(value, PROTOCOL)
    except Exception:
        if not _has_cloudpickle():
            raise
        return by_value(value)
    if not _names_main(plain) or (knows_main and not (_is_typed_in() and _has_cloudpickle())):
        return plain
    return by_value(value)


def by_value(value: Any) -> bytes:
    """A value, pickled with the functions and classes that have no name elsewhere.

    Raises:
        PicklingError: That needs cloudpickle, which is not installed.
        Exception: It cannot be pickled.
    """
    if not _has_cloudpickle():
        raise pickle.PicklingError(
            "it is defined in the program itself, which a worker does not have"
        )
    import cloudpickle  # type: ignore[import-untyped]

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
        def reducer_override(self, obj: Any) -> Any:
            # A step says its name, as a function does; cloudpickle knows that of functions only.
            if issubclass(type(obj), Action) and getattr(obj.func, "__module__", "") == MAIN:
                return object.__reduce_ex__(obj, PROTOCOL)
            if type(obj) is CodeType:  # a traceback is to name the file, which cloudpickle drops
                return _code_of, (*self.dispatch_table[CodeType](obj)[:2], obj.co_filename)
            return super().reducer_override(obj)

    buffer = io.BytesIO()
    Pickler(buffer, PROTOCOL).dump(value)
    return buffer.getvalue()


def _code_of(cls: Any, args: tuple[Any, ...], file: str) -> CodeType:
    code: CodeType = cls(*args).replace(co_filename=file)
    return code


def load_of(task: Task, knows_main: bool) -> Load:
    """What a worker needs to run a task.

    Raises:
        Unsendable: Something of it cannot be pickled.
    """
    name = task.step.name
    packed, previous = _packed(bare(task), knows_main), _packed(task.previous_context, knows_main)
    if isinstance(packed, Failed):
        raise _culprit(task, knows_main, packed.error)
    if isinstance(previous, Failed):
        what = f"the input of step {name!r}"
        raise Unsendable(what, previous.error, _remedy(USE_DATA), TO_WORKER)
    return Load(packed, previous)


def _culprit(task: Task, knows_main: bool, error: BaseException) -> Unsendable:
    """What of a task cannot be pickled."""
    name = task.step.name
    in_a_module = "define it at the top level of a module that the workers can import"
    for what, value, remedy in (
        (f"step {name!r}", task.step, in_a_module),
        (f"the callback of step {name!r}", task.callback, in_a_module),
        (f"the initial context of step {name!r}", task.initial_context, USE_DATA),
    ):
        packed = _packed(value, knows_main)
        if isinstance(packed, Failed):
            return Unsendable(what, packed.error, _remedy(remedy), TO_WORKER)
    return Unsendable(f"the task of step {name!r}", error, _remedy(USE_DATA), TO_WORKER)


def _remedy(remedy: str) -> str:
    return remedy if _has_cloudpickle() else f"{remedy}, or install cloudpickle"


def _packed(value: Any, knows_main: bool) -> bytes | Failed:
    """A value, pickled, or what it raised: it may do anything, or never end."""
    if type(value) is Context and value.storage is None:
        return dumps(value, knows_main)
    return within(PATIENCE, lambda: dumps(value, knows_main))


def _has_cloudpickle() -> bool:
    loaded = sys.modules.get("cloudpickle") is not None
    return loaded or importlib.util.find_spec("cloudpickle") is not None


def _is_typed_in() -> bool:
    """Whether the main module is no file, which a worker could import: a notebook, a console."""
    return not hasattr(sys.modules.get(MAIN), "__file__")


def _names_main(pickled: bytes) -> bool:
    """Whether a pickle names something of the main module."""
    if MAIN.encode() not in pickled:
        return False
    import pickletools  # here, for most say no such thing

    return any(
        (type(argument) is str and argument.startswith((f"{MAIN}:", f"{MAIN} ")))
        or argument == MAIN
        for _, argument, _ in pickletools.genops(pickled)
    )
