"""What a value is, found without running any code of it: its type, and whether JSON says it."""

from __future__ import annotations

from itertools import chain
from math import inf
from typing import Any

NUMBERS = frozenset({type(None), bool, int, float})

DEEPEST = 300
"""Levels of nesting that every reader of JSON gets through."""

LONGEST = 2**26
"""Characters that values are compared by."""

SHARED_TWICE = 2**20
"""Characters that JSON may say once more, because they are in a value more than once."""


def is_exact(value: Any) -> bool:
    """Whether JSON gives back an equal value, of the same types all the way down.

    A subclass (an IntEnum, a namedtuple, an OrderedDict) is another type. What is in a value many
    times, or within itself, JSON would say as often: that is left to pickle.
    """
    size = _Size(is_exact=True)
    whole = size.of(value)
    return whole < inf and whole <= 4 * size.own + SHARED_TWICE


def is_comparable(value: Any) -> bool:
    """Whether values like this are compared by their JSON, where a tuple is a list."""
    return _Size(is_exact=False).of(value) <= LONGEST


class _Size:
    """Counts about how many characters the JSON of a value has.

    Args:
        is_exact: Whether only what JSON gives back as it is counts as JSON.

    Attributes:
        own: The characters without what is said again.
    """

    def __init__(self, is_exact: bool) -> None:
        self.own = 0
        self._is_exact = is_exact
        self._containers = {list, dict} if is_exact else {list, dict, tuple}
        self._known: dict[int, float] = {}

    def of(self, value: Any) -> float:
        """The characters of a value; infinite if JSON does not say it."""
        try:
            return self._of(value, 0)
        except RuntimeError:  # another thread is changing it
            return inf

    def _of(self, value: Any, depth: int) -> float:
        kind = type(value)
        if kind is str:
            return self._of_text(value)
        if kind in NUMBERS:
            return 1
        if kind not in self._containers or depth > DEEPEST:
            return inf
        size = self._known.get(id(value))
        if size is None:
            self._known[id(value)] = inf  # within itself it has no end
            size = self._known[id(value)] = 1 + self._of_parts(value, depth + 1)
            self.own += 1
        return size

    def _of_parts(self, value: Any, depth: int) -> float:
        if type(value) is dict:
            keys = set(map(type, value))
            if not keys <= ({str} if self._is_exact else NUMBERS | {str}):
                return inf
            parts: Any = chain(value, value.values())
            kinds = keys.union(map(type, value.values()))
        else:
            parts, kinds = value, set(map(type, value))
        if kinds <= NUMBERS:
            self.own += len(value)
            return len(value)
        return sum(self._of(part, depth) for part in parts)

    def _of_text(self, text: str) -> float:
        # Of halves of a pair (surrogates), each alone, JSON may make a whole.
        if self._is_exact and not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError:
                return inf
        if id(text) not in self._known:
            self._known[id(text)] = 0
            self.own += len(text)
        return len(text)


def type_name(value: object) -> str:
    """The name of a value's type with its module, as "decimal.Decimal"; runs no code of it."""
    cls = type(value)
    name = type.__dict__["__qualname__"].__get__(cls)
    module = type.__dict__["__module__"].__get__(cls)
    return name if type(module) is not str or module == "builtins" else f"{module}.{name}"
