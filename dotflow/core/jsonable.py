"""What a value is, found without running any code of it: its type, and whether JSON says it."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# By their numbers: a class may have ideas of its own about its hash, and none about that.
NUMBERS = frozenset(map(id, (type(None), bool, int, float)))
TEXT = frozenset({id(str)})
PLAIN = NUMBERS | TEXT

DEEPEST = 300
"""Levels of nesting that every reader of JSON gets through."""

LONGEST = 2**26
"""Characters that values are compared by."""

LONG = 1000
"""Characters from which on a text counts once, however often it is there."""

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


def _are_whole(texts: Iterable[str]) -> bool:
    """Whether JSON gives back texts: of halves of a pair (surrogates), each alone, it makes one."""
    try:
        for text in texts:
            if not text.isascii():
                text.encode()
    except UnicodeEncodeError:
        return False
    return True


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
        self._keys = TEXT if is_exact else PLAIN
        self._known: dict[int, float] = {}

    def of(self, value: Any) -> float:
        """The characters of a value; infinite if JSON does not say it."""
        try:
            return self._of_parts([value], [], 0)
        except RuntimeError:  # another thread is changing it
            return inf

    def _of(self, value: Any, depth: int) -> float:
        """The characters of a list or dict (or tuple), which is looked at once."""
        kind = type(value)
        if depth > DEEPEST or not (
            kind is list or kind is dict or (kind is tuple and not self._is_exact)
        ):
            return inf
        size = self._known.get(id(value))
        if size is None:
            self._known[id(value)] = inf  # within itself it has no end
            parts = list(value.values()) if kind is dict else value
            size = 1 + self._of_parts(parts, value if kind is dict else (), depth + 1)
            self._known[id(value)] = size
        return size

    def _of_parts(self, parts: Sequence[Any], keys: Iterable[Any], depth: int) -> float:
        if not self._keys.issuperset(map(id, map(type, keys))):
            return inf
        kinds = set(map(id, map(type, parts)))
        self.own += len(parts)
        size = len(parts) + self._of_texts(keys)
        if not TEXT.isdisjoint(kinds):
            size += self._of_texts(parts)
        if not kinds <= PLAIN:
            size += sum(self._of(part, depth) for part in parts if id(type(part)) not in PLAIN)
        return size

    def _of_texts(self, values: Iterable[Any]) -> float:
        """The characters of the texts among values; infinite if JSON does not say one."""
        texts = [value for value in values if type(value) is str]
        if self._is_exact and not _are_whole(texts):
            return inf
        for text in texts:
            if len(text) < LONG or id(text) not in self._known:
                self._known[id(text)] = 0
                self.own += len(text)
        return sum(map(len, texts))


def type_name(value: object) -> str:
    """The name of a value's type with its module, as "decimal.Decimal"; runs no code of it.

    A child that is not forked knows the program's main module by another name: it is the same here.
    """
    cls = type(value)
    name: str = type.__dict__["__qualname__"].__get__(cls)
    module = type.__dict__["__module__"].__get__(cls)
    if type(module) is not str or module == "builtins":
        return name
    return f"{'__main__' if module == '__mp_main__' else module}.{name}"
