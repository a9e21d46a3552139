"""The `str` of a value that JSON cannot say: asked for once, guarded, bounded."""

from __future__ import annotations

import signal
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from dotflow.core.exception import Interrupted
from dotflow.process.within import Failed, TookTooLongError, within
from dotflow.utils.masking import MASK, SECRET, masked, may_hold, names_only, verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

SLOW = 0.01
"""Seconds; a type whose `str` took longer is shown as its name from then on."""

PATIENCE = 5.0
"""Seconds that a text may take."""

MOST_LOOKS, LEAST = 2**19, 256
"""Characters of all texts that name a credential which are looked at closely, and for how many the
shortest of them counts: about 50 ms of work."""

TRUSTED = 10
"""Quick answers after which a type is asked in the caller's thread: that is quicker."""

MAX_TYPES = 256
"""Types that are remembered; then the memory begins anew."""

MAX_CREDIT = 100
"""Quick answers that count for a type."""

_IS_SLOW = -1
_IS_QUICK = -2
_NEVER = (object, 0)

# How often each type answered quickly: one slow answer among many says more of the machine than of
# the type. By id, for a type's own `__hash__` and `__eq__` are not asked; the type is kept alive.
_answers: dict[int, tuple[type, int]] = {}
_traceback_of = vars(BaseException)["__traceback__"].__get__
_name_of = type.__dict__["__name__"].__get__
_module_of = type.__dict__["__module__"].__get__

# Their text never waits for anything, so a slow one shows a busy machine and not a slow type.
_QUICK_MODULES = ("datetime", "decimal", "fractions", "ipaddress", "pathlib", "uuid", "zoneinfo")

_MORE = {
    dict: ("{", "}"),
    list: ("[", "]"),
    tuple: ("(", ")"),
    set: ("{", "}"),
    frozenset: ("frozenset({", "})"),
    deque: ("deque([", "])"),
    type({}.keys()): ("dict_keys([", "])"),
    type({}.values()): ("dict_values([", "])"),
    type({}.items()): ("dict_items([", "])"),
}
_FRAMES = {id(kind): frame for kind, frame in _MORE.items()}
_ITEMS: type = type({}.items())
_EMPTY = {id(set): "set()", id(frozenset): "frozenset()"}
_SCALARS = frozenset(map(id, (str, int, float, bool, type(None), bytes, complex)))
_BUILT_IN = _SCALARS.union(map(id, (range, bytearray, memoryview)))


def name(value: Any) -> str:
    """The name of a value's type, as `<Name>`."""
    return f"<{_name_of(type(value))}>"


def is_composed(kind: type) -> bool:
    """Whether `Shown` writes values of this exact type itself, element by element."""
    return id(kind) in _FRAMES


def is_from_signal(error: BaseException) -> bool:
    """Whether a signal raised an error that came up while a value was looked at.

    A value may itself raise KeyboardInterrupt or SystemExit: those are its own affair.
    """
    # Only its type is asked, and what Python itself has put into it.
    if issubclass(type(error), Exception):
        return False
    if issubclass(type(error), Interrupted):
        return True
    handlers = _codes_of_handlers()
    step, last = _traceback_of(error), None
    while step is not None:
        if step.tb_frame.f_code in handlers:
            return True
        step, last = step.tb_next, step
    if not issubclass(type(error), KeyboardInterrupt):
        return False
    # Python's own handler has no frame: nothing in the last frame says `raise`.
    return last is None or not _raises(last.tb_frame.f_code.co_code[last.tb_lasti])


def _raises(operation: int) -> bool:
    from opcode import opmap  # only needed here, after a fault

    return operation == opmap["RAISE_VARARGS"]


def _codes_of_handlers() -> set[Any]:
    codes = set()
    for number in signal.valid_signals():
        handler: Any = signal.getsignal(number)
        if callable(handler):
            handler = getattr(handler, "func", handler)  # of a functools.partial
            handler = getattr(handler, "__func__", handler)
            if not hasattr(handler, "__code__"):
                handler = type(handler).__call__
            codes.add(getattr(handler, "__code__", None))
    return codes - {None}


class ValueTooLargeError(Exception):
    """The text of a value would be larger than the limit."""


class Shown:
    """Gives the text of values for which JSON has no form of its own.

    Args:
        is_masking: Whether credentials that a text names are masked.
        room: Characters that all texts may have together.
    """

    __slots__ = ("_above", "_is_masking", "_looks", "room")

    def __init__(self, is_masking: bool, room: int) -> None:
        self._is_masking = is_masking
        self.room = room
        self._looks = MOST_LOOKS
        self._above: set[int] = set()

    def text(self, value: Any, depth: int) -> str:
        """The `str` of a value; the name of its type if that raises, or was slow before.

        Raises:
            ValueTooLargeError: The texts are longer than the room for them.
        """
        if not is_composed(type(value)):
            return self._asked(value, str)
        return self.masked(self._composed(value, depth))

    def masked(self, text: str) -> str:
        """A text without the credentials that it names; MASK where that would take too long."""
        if not self._is_masking or not may_hold(text):
            return text
        self._looks -= max(LEAST, len(text))
        return masked(text) if self._looks >= 0 else MASK

    def _asked(self, value: Any, how: type[str] | Any) -> str:
        kind = type(value)
        quick = _answers.get(id(kind), _NEVER)[1]
        if quick == _IS_SLOW:
            return name(value)
        if quick == _IS_QUICK:
            text = how(value)
            return self._taken(self.masked(text) if "=" in text or "/" in text else text)
        if id(kind) in _BUILT_IN:
            text = how(value)
        else:
            text, seconds = _in_time(value, how, quick >= TRUSTED)
            _remember(kind, quick, seconds)
        text = self.masked(text)
        if self._is_masking and "\n" in text and names_only(text):
            text = name(value)  # a table: a credential is anywhere in it
        return self._taken(text)

    def _taken(self, text: str) -> str:
        self.room -= len(text)
        if self.room < 0:
            raise ValueTooLargeError
        return text

    def _repr(self, value: Any, depth: int) -> str:
        if id(type(value)) in _SCALARS:
            return self._taken(repr(value))
        if is_composed(type(value)):
            return self._composed(value, depth)
        return self._asked(value, repr)

    def _composed(self, value: Any, depth: int) -> str:
        kind = type(value)
        begin, end = _FRAMES[id(kind)]
        if depth <= 0 or id(value) in self._above:
            return "[...]"
        if not len(value):
            return _EMPTY.get(id(kind), begin + end)
        if kind is deque and value.maxlen is not None:
            end = f"], maxlen={value.maxlen})"
        elif kind is tuple and len(value) == 1:
            end = ",)"
        self._above.add(id(value))
        try:
            return begin + ", ".join(self._parts(value, depth - 1)) + end
        finally:
            self._above.discard(id(value))

    def _parts(self, value: Any, depth: int) -> Iterator[str]:
        kind = type(value)
        if kind is dict:
            for key, item in list(value.items()):
                yield ": ".join(self._pair(key, item, depth))
        elif kind is _ITEMS:
            for key, item in list(value):
                yield f"({', '.join(self._pair(key, item, depth))})"
        elif {id(type(one)) for one in value} <= _SCALARS:
            yield from map(self._taken, map(repr, value))
        else:
            for one in list(value):
                yield self._repr(one, depth)

    def _pair(self, key: Any, item: Any, depth: int) -> tuple[str, str]:
        name = self._repr(key, depth)
        is_secret = type(key) is not int and (verdict(name) & SECRET or name == MASK)
        if self._is_masking and is_secret:
            return name, repr(MASK)
        return name, self._repr(item, depth)


def _in_time(value: Any, how: type[str] | Any, is_trusted: bool) -> tuple[str, float]:
    """The text of a value, or the name of its type; and how many seconds it took."""

    def ask() -> tuple[str, float]:
        began = time.perf_counter()
        # A subclass of str may come back, which could have ideas of its own.
        text = str.__str__(how(value))
        return text, time.perf_counter() - began

    try:
        answer = ask() if is_trusted else within(PATIENCE, ask)
    except BaseException as error:
        if is_from_signal(error):
            raise
        return name(value), 0.0
    if not isinstance(answer, Failed):
        return answer
    return name(value), PATIENCE if isinstance(answer.error, TookTooLongError) else 0.0


def _remember(kind: type, quick: int, seconds: float) -> None:
    """Note that a type answered after some seconds, and that it is slow if its mean is."""
    if _is_quick(kind):
        quick = _IS_QUICK
    elif seconds <= SLOW:
        quick = min(quick + 1, MAX_CREDIT)
    elif seconds > SLOW * (quick + 1):
        quick = _IS_SLOW
    else:
        quick = 0
    if len(_answers) >= MAX_TYPES and id(kind) not in _answers:
        _answers.clear()
    _answers[id(kind)] = (kind, quick)


def _is_quick(kind: type) -> bool:
    module = _module_of(kind)
    return type(module) is str and module.partition(".")[0] in _QUICK_MODULES
