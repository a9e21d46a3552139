"""TaskError: one failed attempt, as text."""

from __future__ import annotations

import builtins
import traceback
from typing import TYPE_CHECKING, Any

from dotflow.core.step_error import StepError, has_frames
from dotflow.process.within import Failed, within
from dotflow.utils.error_handler import class_and_message, message_error, traceback_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Where the engine itself gives an exception its `error.type`, because the class does not say it.
ERROR_TYPE = "__dotflow_error_type__"

PATIENCE = 5.0
"""Seconds that an exception may take to say its words, or to be pickled."""

# What a class may say of itself without being asked for anything by a traceback.
_HARMLESS = frozenset({
    "__annotations__", "__annotations_cache__", "__annotate__", "__annotate_func__", "__doc__",
    "__firstlineno__", "__init__", "__init_subclass__", "__module__", "__new__", "__orig_bases__",
    "__parameters__", "__reduce__", "__setstate__", "__static_attributes__", "__weakref__",
})  # fmt: skip
_ASKED = ("args", "exceptions")
_SCALARS = (str, int, float, bool, bytes, type(None))

# They have values beside their arguments; and for a name that is wrong a traceback suggests another
# one, for which it asks the object what it has.
_WITH_MORE = (
    AttributeError, NameError, ImportError, OSError, SyntaxError, UnicodeError,
    getattr(builtins, "BaseExceptionGroup", NameError),
)  # fmt: skip

# An exception class may have ideas of its own about each of these; what Python itself has does not.
_mro_of = vars(type)["__mro__"].__get__
_names_in = vars(type)["__dict__"].__get__
_name_of = vars(type)["__name__"].__get__
_qualname_of = vars(type)["__qualname__"].__get__
_module_of = vars(type)["__module__"].__get__
_args_of = vars(BaseException)["args"].__get__
_cause_of = vars(BaseException)["__cause__"].__get__
_context_of = vars(BaseException)["__context__"].__get__
_traceback_of = vars(BaseException)["__traceback__"].__get__
_attributes_of = vars(BaseException)["__dict__"].__get__


class TaskError:
    """One failed attempt of a task: the exception's words, and the exception itself.

    A TaskError can always be made and pickled, whatever the exception is.

    Args:
        error: The exception; without it, all attributes are empty.
        attempt: The number of the attempt; None for the attempt that failed the task.

    Attributes:
        attempt: The number of the attempt; None for the attempt that failed the task.
        exception: The name of the exception's class.
        message: The exception's message; with the class's name if the message alone says too little
            (a KeyError).
        traceback: The text of the traceback, from your code on.
        error_type: The value of OpenTelemetry's `error.type`: the qualified class name, or
            "timeout" if the attempt took longer than its timeout.
    """

    def __init__(self, error: BaseException | None = None, attempt: int | None = None) -> None:
        self.attempt = attempt
        self.exception = self.message = self.traceback = self.error_type = ""
        if error is not None:
            self.exception = _name_of(type(error))
            self.message, self.traceback, self.error_type = _words(error)
        self._cause: BaseException | None = None
        self._packed: bytes | None = None  # the cause, on its way from another process
        if error is not None and not has_frames(error):
            self._cause = error

    @property
    def cause(self) -> BaseException | None:
        """The exception, without its frames; None if there is none.

        It is a StepError with the same words if the exception could not come from another process,
        or if the exception left `start()` itself.
        """
        if self._packed is not None:
            # Here and not when it comes, for what a class does then is no part of the run.
            self._cause, self._packed = _unpacked(self._packed), None
        if self._cause is None and self.exception:
            self._cause = StepError(self.exception, self.message, self.traceback)
        return self._cause

    def hold(self, error: BaseException) -> None:
        """Have the exception be `cause`; who handles it takes its frames, or they are kept."""
        self._cause = error

    def pack(self, dumps: Callable[[Any], bytes]) -> None:
        """Have the exception go to another process as `dumps` says, if it can."""
        packed = None if self._cause is None else within(PATIENCE, lambda: dumps(self._cause))
        if isinstance(packed, bytes):
            self._cause, self._packed = None, packed

    def __getstate__(self) -> dict[str, Any]:
        packed = self._packed if self._cause is None else _packed(self._cause)
        return {**vars(self), "_cause": None, "_packed": packed}

    def __repr__(self) -> str:
        said = class_and_message(self.exception, self.message)
        return f"TaskError(attempt={self.attempt}, {said})"


def _words(error: BaseException) -> tuple[str, str, str]:
    """The message, the traceback and the type of an exception."""

    def said() -> tuple[str, str, str]:
        return (
            _message(error),
            _text(_traceback, error) or _frames(error, _no_message(error, "raises")),
            _error_type(error),
        )

    if all(map(_is_plain, _chain(error))):
        return said()
    words = within(PATIENCE, said)
    if isinstance(words, Failed):
        message = _no_message(error, f"takes more than {PATIENCE:g} s")
        words = message, _frames(error, message), _type_name(error)
    return words


def _packed(error: Any) -> bytes | None:
    import pickle  # here, as below, for few runs need it

    # A class may do anything when it is pickled, and when it is read.
    packed = within(PATIENCE, lambda: pickle.dumps(error))
    return None if isinstance(packed, Failed) else packed


def _unpacked(packed: bytes) -> BaseException | None:
    import pickle

    error: Any = within(PATIENCE, lambda: pickle.loads(packed))  # noqa: S301 - from our own child
    if type(error) is SystemExit and error.code is None and error.args:
        error.code = error.args[0]  # tblib, which Dask installs, pickles it without
    return error if issubclass(type(error), BaseException) else None


def _message(error: BaseException) -> str:
    """What an exception says; with its class, where it would say nothing without."""
    message, cls = _text(message_error, error), type(error)
    if message is None:
        return _no_message(error, "raises")
    if not message.strip():
        return str(_name_of(cls))
    # A KeyError says the key, and not that it is one that is missing.
    says_it = next(one for one in _mro_of(cls) if "__str__" in _names_in(one))
    return f"{_name_of(cls)}: {message}" if says_it is KeyError else message


def _text(make: Callable[[BaseException], str], error: BaseException) -> str | None:
    try:
        # A subclass of str may come back, which could have ideas of its own.
        return str.__str__(make(error))
    except BaseException:  # noqa: BLE001 - the words of an error are only reported
        return None


def _no_message(error: BaseException, why: str) -> str:
    return f"<{_name_of(type(error))} whose message {why}>"


def _frames(error: BaseException, message: str) -> str:
    """A traceback for which the exception is asked nothing."""
    frames = "".join(traceback.format_tb(_traceback_of(error)))
    return f"Traceback (most recent call last):\n{frames}{_type_name(error)}: {message}\n"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception, and all that led to it."""
    seen, waiting = set[int](), [error]
    while waiting:
        one = waiting.pop()
        seen.add(id(one))
        yield one
        before = (_cause_of(one), _context_of(one))
        waiting += [each for each in before if each is not None and id(each) not in seen]


def _is_plain(error: BaseException) -> bool:
    """Whether no code but Python's own is asked for the words of an exception."""
    cls = type(error)
    if type(cls) is not type or issubclass(cls, _WITH_MORE):
        return False
    if any(type(one) not in _SCALARS for one in _args_of(error)) or _has_notes(error):
        return False
    return all(
        _module_of(one) == "builtins" or all(map(_is_harmless, _names_in(one)))
        for one in _mro_of(cls)
    )


def _is_harmless(name: str) -> bool:
    return name in _HARMLESS or (name not in _ASKED and not name.startswith("__"))


def _has_notes(error: BaseException) -> bool:
    return "__notes__" in _attributes_of(error)


def _traceback(error: BaseException) -> str:
    if isinstance(getattr(error, ERROR_TYPE, None), str):  # raised by the engine, for no code did
        return f"{type(error).__name__}: {error}\n"
    return traceback_error(error)


def _error_type(error: BaseException) -> str:
    try:
        given: Any = getattr(error, ERROR_TYPE, None)
    except BaseException:  # noqa: BLE001
        given = None
    return given if type(given) is str else _type_name(error)


def _type_name(error: BaseException) -> str:
    cls = type(error)
    module, name = _module_of(cls), str(_qualname_of(cls))
    return name if type(module) is not str or module == "builtins" else f"{module}.{name}"


def warn_of_error() -> None:
    """Warn of the attribute that had room for one error only; for Task's own property to call."""
    import warnings

    warnings.warn("Task.error is deprecated: use Task.errors", DeprecationWarning, stacklevel=3)
