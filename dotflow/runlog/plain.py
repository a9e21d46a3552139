"""Values made plain for the standard encoder: counted first, copied only if they must be."""

from __future__ import annotations

import math
from collections import OrderedDict
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, Any

from dotflow.core.context import Context
from dotflow.runlog.named import named_secrets
from dotflow.runlog.shown import Shown, ValueTooLargeError, is_composed
from dotflow.utils.masking import (
    MASK,
    ODD,
    SECRET,
    clean,
    judge,
    remembered,
    verdict,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_DEPTH = 150
"""Levels of nesting that are kept; common parsers give up at 200 and more."""

MAX_LEAVES = 100_000
"""Values without parts that a text may have: about 50 ms of work."""

MAX_VALUES = 2 * MAX_LEAVES
"""Parts of containers that a text may have, those with parts of their own too."""

MANY_KEYS = 64
"""Keys that are looked at all at once rather than one by one."""

MANY_ENTRIES = 1000
"""Entries up to which another thread may change a dict while it is copied."""

PIECE = 2**16
"""Characters of a long text that are looked at together."""

_BIG = 10**300  # from here on common parsers read an infinity, or fail
_WORD = 2**63
_MAX_BITS = 14_000  # `str` refuses integers of more than 4,300 digits
_BITS_A_DIGIT = 3.33

_SHOWN_AS_THEY_ARE = bytes(code for code in range(0x20, 0x7F) if code not in b"\\'\"")
_BASES = (dict, list, tuple, str, int, float, Context, bytes, bytearray)
_EXACT = {id(kind): kind for kind in (*_BASES, bool, type(None))}


def base_of(kind: type) -> Any:
    """The type that a value is treated as; None if it is one that JSON does not know.

    Only the type decides: `isinstance` would ask the value for its `__class__`.
    """
    base = _EXACT.get(id(kind))
    if base is not None or not issubclass(kind, _BASES):
        return base
    return next(one for one in _BASES if issubclass(kind, one))


def storage_of(context: Any) -> Any:
    """The value that a Context holds."""
    for _ in range(MAX_DEPTH):
        if not issubclass(type(context), Context):
            break
        context = Context.storage.__get__(context)
    return context


def items_of(value: Any) -> Iterable[tuple[Any, Any]]:
    """The entries of any kind of dict; methods of a subclass are not asked."""
    items: Iterable[tuple[Any, Any]] = (
        value.items() if type(value) is OrderedDict else dict.items(value)
    )
    # A list of very many entries would need more memory than their text.
    return list(items) if dict.__len__(value) <= MANY_ENTRIES else items


class Survey:
    """Counts what a value holds, before any text of it exists; asks nothing of what it may hold.

    Args:
        room: Bytes that the text may have.
        is_masking: Whether values of credential-like keys are left out.
        is_exact: Whether the length of every text is measured; else each counts for the least
            that it may have.

    Attributes:
        room: What is left.
        is_plain: Whether the standard encoder is right about the value as it is.
    """

    __slots__ = ("_above", "_all", "_bits", "_is_exact", "_leaves", "_values", "is_plain", "room")

    def __init__(self, room: int, is_masking: bool, is_exact: bool = False) -> None:
        self.room = self._all = room
        self.is_plain = True
        self._bits = SECRET | ODD if is_masking else ODD
        self._is_exact = is_exact
        self._leaves = 1
        self._values = 0
        self._above: set[int] = set()

    def count(self, value: Any) -> None:
        """Count a value.

        Raises:
            ValueTooLargeError: It has too many leaves, or its text would be too large.
        """
        kind = type(value)
        if kind is dict or kind is list:
            self._container(value, kind, len(value), MAX_DEPTH)
        else:
            self._children((value,), MAX_DEPTH)

    @property
    def characters(self) -> int:
        """How many characters that may need an escape were counted, at most."""
        return self._all - self.room - 2 * self._values

    def _children(self, children: Iterable[Any], depth: int) -> None:
        room, is_exact = self.room, self._is_exact
        for child in children:
            kind = type(child)
            if kind is str:
                room -= len(child) + 2 if not is_exact else size_of(child)
            elif kind is int:
                if not -_WORD < child < _WORD:
                    room -= self._integer(child)
            elif kind is not float and kind is not bool and child is not None:
                self.room = room
                if kind is dict or kind is list or kind is tuple:
                    self._container(child, kind, len(child), depth)
                else:
                    self._other(child, kind, depth)
                room = self.room
        self.room = room
        if room < 0:
            raise ValueTooLargeError

    def _container(self, value: Any, base: Any, length: int, depth: int) -> None:
        if not length:
            self.room -= 2
        elif depth == 0 or id(value) in self._above:
            self.is_plain = False
        else:
            self._enter(length)
            self._above.add(id(value))
            if base is not dict:
                self._children(base.__iter__(value), depth - 1)
            elif type(value) is not dict:
                self.is_plain = False
                self._fields(value, depth - 1)
            elif length > MANY_KEYS and self._have_plain_names(value):
                self._children(value.values(), depth - 1)
            else:
                self._fields(value, depth - 1)
            self._above.discard(id(value))

    def _enter(self, length: int) -> None:
        """Count the parts of a container before they are looked at."""
        self.room -= 2 * length
        self._leaves += length - 1
        self._values += length
        if self._leaves > MAX_LEAVES or self._values > MAX_VALUES or self.room < 0:
            raise ValueTooLargeError

    def _fields(self, value: dict[Any, Any], depth: int) -> None:
        """Count the entries of a dict; what is under a masked key is not looked at."""
        length = dict.__len__(value)
        recall = _forget if self._is_exact or length > MANY_KEYS else remembered
        items, others = [], 0
        for key, item in dict.items(value):
            if type(key) is not str:
                others += 1
                self.is_plain = self.is_plain and type(key) is int and -_WORD < key < _WORD
            elif (found := recall(key)) == 0:
                self.room -= len(key) + 4
            elif self._is_masked(key, found, length):
                continue
            items.append(item)
        if 0 < others < length:
            self.is_plain = False  # of {1: ..., "1": ...} the encoder would make twins
        self._children(items, depth)

    def _is_masked(self, key: str, found: int | None, length: int) -> bool:
        """Count a key that is new or peculiar."""
        self.room -= (size_of(key) - 2 if self._is_exact else len(key)) + 4
        if self.room < 0:
            raise ValueTooLargeError
        if found is None:
            found = verdict(key) if length <= MANY_KEYS else judge(key)
        found &= self._bits
        self.is_plain = self.is_plain and not found
        return bool(found & SECRET)

    def _have_plain_names(self, value: dict[Any, Any]) -> bool:
        """Whether the encoder is right about many keys; far quicker than one by one."""
        if any(type(key) is not str for key in value):
            return False
        room = self.room - sum(map(len if not self._is_exact else size_of, value)) - 4 * len(value)
        if room < 0:
            raise ValueTooLargeError
        if not self._is_exact and judge("\n".join(value)) & self._bits:
            return False
        self.room = room
        return True

    def _integer(self, value: int) -> int:
        if not -_BIG < value < _BIG:
            self.is_plain = False
        bits = value.bit_length()
        return int(bits / _BITS_A_DIGIT) if bits < _MAX_BITS else len("<int>")

    def _other(self, value: Any, kind: type, depth: int) -> None:
        self.is_plain = False
        base = base_of(kind)
        if is_composed(kind):
            self._container(value, kind, len(value), depth)
        elif base is dict or base is list or base is tuple:
            self._container(value, base, base.__len__(value), depth)
        elif base is Context:
            self._children((storage_of(value),), depth)
        elif base is bytes or base is bytearray:
            self._bytes(value, base)
        elif base is str:
            self.room -= str.__len__(value)

    def _bytes(self, value: Any, base: Any) -> None:
        """Count a byte for one that `repr` shows as it is, and four for another."""
        self.room -= base.__len__(value)
        if self.room >= 0:
            self.room -= 3 * len(base.translate(value, None, _SHOWN_AS_THEY_ARE))
        if self.room < 0:
            raise ValueTooLargeError


def size_of(text: str) -> int:
    """The bytes of a text in JSON; no more than a piece of it is copied at a time."""
    if len(text) <= PIECE:
        return _size(text)
    pieces = (text[start : start + PIECE] for start in range(0, len(text), PIECE))
    return sum(map(_size, pieces), start=2) - 2 * -(-len(text) // PIECE)


def _forget(_key: str) -> int | None:
    """Recall nothing: very many keys are data, and would push out the keys that come again."""
    return None


def _size(text: str) -> int:
    quoted = encode_basestring(text)
    return len(quoted) if quoted.isascii() else len(quoted.encode(errors="surrogatepass"))


class Copy:
    """Makes a value that was counted one of dict, list, str, int, float, bool and None.

    Args:
        room: Characters that texts may have which could not be counted before.
        is_masking: Whether values of credential-like keys are replaced.
    """

    __slots__ = ("_above", "_is_masking", "_shown")

    def __init__(self, room: int, is_masking: bool) -> None:
        self._is_masking = is_masking
        self._shown = Shown(is_masking, room)
        self._above: set[int] = set()

    @property
    def room(self) -> int:
        """What is left of the room."""
        return self._shown.room

    def of(self, value: Any, depth: int = MAX_DEPTH) -> Any:
        """The value in these terms, with at most `depth` levels of nesting.

        Raises:
            ValueTooLargeError: Texts in it are too large.
        """
        kind = type(value)
        if kind is str:
            return self._shown.masked(value)
        if kind is bool or value is None:
            return value
        if kind is int and -_WORD < value < _WORD:
            return value
        base = base_of(kind)
        if base is dict or base is list or base is tuple:
            return self._container(value, base, depth)
        if base is Context:
            return self.of(storage_of(value), depth)
        return self._leaf(value, base, depth)

    def _leaf(self, value: Any, base: Any, depth: int) -> Any:
        if base is int:
            return self._integer(int.__int__(value))
        if base is float:
            number = float.__float__(value)
            return number if math.isfinite(number) else str(number)
        if base is str:
            return self.of(str.__str__(value), depth)
        return self._shown.text(value, depth)

    def _integer(self, value: int) -> int | str:
        if -_BIG < value < _BIG:
            return value
        return self._shown.text(value, 1) if value.bit_length() < _MAX_BITS else "<int>"

    def _container(self, value: Any, base: Any, depth: int) -> Any:
        if depth == 0 or id(value) in self._above:
            return "{...}" if base is dict else "[...]"
        self._above.add(id(value))
        try:
            if base is dict:
                return self._fields(value, depth - 1)
            items = base.__iter__(value)
            if not self._is_masking:
                return [self.of(item, depth - 1) for item in items]
            secrets = named_secrets(value, base)
            return [
                MASK if index in secrets else self.of(item, depth - 1)
                for index, item in enumerate(items)
            ]
        finally:
            self._above.discard(id(value))

    def _fields(self, value: Any, depth: int) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        copies: dict[str, int] = {}
        is_masking = self._is_masking
        of_key = verdict if dict.__len__(value) <= MANY_KEYS else judge
        for key, item in items_of(value):
            text = key if type(key) is str and key.isascii() else self._key(key)
            is_secret = is_masking and type(key) is not int and of_key(text) & SECRET
            # The text of an object that took too long to be looked at.
            is_secret = is_secret or (text == MASK and type(key) is not str)
            if ":" in text or "=" in text:  # a name with its value may be a key
                text = self._shown.masked(text)
            # {1: ..., "1": ...} has two entries, and must have two in JSON.
            if text in fields:
                text = _unused(text, key, fields, copies)
            fields[text] = MASK if is_secret else self.of(item, depth)
        return fields

    def _key(self, key: Any) -> str:
        """A key as the standard encoder writes it, if it does."""
        if type(key) is int and -_WORD < key < _WORD:
            return repr(key)
        base = base_of(type(key))
        if base is str:
            return clean(str.__str__(key))
        if key is None:
            return "null"
        if base is bool:
            return "true" if key else "false"
        if base is int:
            return str(self._integer(int.__int__(key)))
        return clean(self._shown.text(key, MAX_DEPTH))


def _unused(text: str, key: Any, fields: dict[str, Any], copies: dict[str, int]) -> str:
    mark = text = f"{text} ({type.__dict__['__name__'].__get__(type(key))})"
    while text in fields:
        copies[mark] = copies.get(mark, 1) + 1
        text = f"{mark[:-1]} {copies[mark]})"
    return text
