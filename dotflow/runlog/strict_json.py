"""Any Python value as JSON that a strict parser takes."""

from __future__ import annotations

import json
import math
from json.encoder import encode_basestring_ascii
from typing import Any

from dotflow.core.context import Context
from dotflow.utils.masking import clean

MAX_DEPTH = 150
"""Levels of nesting that are kept; common parsers give up at 200 and more."""

MAX_SIZE = 5 * 2**20
"""Bytes that a JSON text may have: what is larger fits into no body."""

SHORT = 1000
"""Characters up to which a text needs no look at its size."""

EXCEEDED = b'{"message":"Context size exceeded"}'

_BIG = 10**300
"""From here on common parsers read an infinity, or fail."""


def to_json(value: Any, limit: int = MAX_SIZE) -> bytes:
    """The JSON of a value, UTF-8. Never raises.

    A Context within is its value. What JSON cannot say becomes its `str`, NaN and infinities too;
    half a surrogate pair becomes U+FFFD; what even `str` fails on becomes the name of its type.

    Args:
        value: Any value.
        limit: Bytes. A value whose JSON would be larger becomes EXCEEDED; it is not written out
            first, for a few lists within each other may stand for more than any memory holds.
    """
    if type(value) is Context:
        value = value.storage
    simple = _simple(value)
    if simple is not None and len(simple) <= limit:
        return simple
    try:
        try:
            _check(value, limit)
            json_text = _encoder.encode(value).encode()
        except ValueTooLargeError:
            raise
        except Exception:  # noqa: BLE001 - a value may raise anything when it is looked at
            json_text = _encoder.encode(_Plain(limit).of(value, MAX_DEPTH)).encode()
    except ValueTooLargeError:
        return EXCEEDED
    except Exception:  # noqa: BLE001
        return json.dumps(_name(value)).encode()
    return json_text if len(json_text) <= limit else EXCEEDED


def _simple(value: Any) -> bytes | None:
    """The JSON of what most fields are; None where it takes a closer look."""
    kind = type(value)
    if value is None:
        return b"null"
    if kind is bool:
        return b"true" if value else b"false"
    if kind is int and -_BIG < value < _BIG:
        return b"%d" % value
    if kind is float and math.isfinite(value):
        return repr(value).encode()
    if kind is str and len(value) < SHORT and value.isascii():
        return encode_basestring_ascii(value).encode()
    return None


class ValueTooLargeError(Exception):
    """The JSON of a value would be larger than the limit."""


def safe_str(value: Any) -> str:
    """The `str` of a value, or the name of its type where that raises."""
    try:
        return str.__str__(str(value))  # not a subclass, with ideas of its own
    except Exception:  # noqa: BLE001
        return _name(value)


def _leaf(value: Any) -> Any:
    return value.storage if isinstance(value, Context) else safe_str(value)


_encoder = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_leaf
)


def _check(value: Any, limit: int) -> None:
    """Return where the standard encoder is right about a value, and its text not too large.

    Raises:
        ValueTooLargeError: It would be larger than the limit.
        ValueError: It nests too deep, or a key is no string and two keys could become one.
        TypeError: A type may have its own idea of what it holds.
    """
    stack: list[tuple[Any, int]] = [((value,), MAX_DEPTH + 1)]
    room = limit + 2
    while stack:
        children, depth = stack.pop()
        if depth == 0:
            raise ValueError("too deep")
        # A comma or a bracket, and a byte, are the least that a value takes.
        room -= 2 * len(children)
        for child in children:
            kind = type(child)
            if kind is str:
                room -= len(child)
            elif kind is Context:
                room += 2
                stack.append(((child.storage,), depth))
            elif kind is dict or kind is list or kind is tuple:
                room -= _check_keys(child) if kind is dict else 0
                stack.append((child.values() if kind is dict else child, depth - 1))
            elif kind not in _SAFE:
                _check_leaf(child)
        if room < 0:
            raise ValueTooLargeError


_SAFE = (float, bool, type(None))


def _check_keys(value: dict[Any, Any]) -> int:
    """The characters of all keys."""
    characters = 0
    for key in value:
        if type(key) is not str:
            raise ValueError("a key that is no string")
        characters += len(key)
    return characters


def _check_leaf(value: Any) -> None:
    if isinstance(value, int) and not -_BIG < value < _BIG:
        raise ValueError("an integer that is an infinity to many")
    if isinstance(value, (dict, list, tuple, Context)):
        raise TypeError("a container of an unknown kind")


class _Plain:
    """Makes a value one of dict, list, str, int, float, bool and None; slow and thorough."""

    def __init__(self, limit: int) -> None:
        self._room = limit + 2
        self._above: set[int] = set()

    def of(self, value: Any, depth: int) -> Any:
        """The value in these terms, with at most `depth` levels of nesting."""
        self._take(2)
        if isinstance(value, Context):
            value = value.storage
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int) and -_BIG < value < _BIG:
            return int.__int__(value)
        if isinstance(value, float) and math.isfinite(value):
            return float.__float__(value)
        if isinstance(value, (dict, list, tuple)):
            return self._container(value, depth)
        return self._text(str.__str__(value) if isinstance(value, str) else safe_str(value))

    def _container(self, value: Any, depth: int) -> Any:
        if depth == 0 or id(value) in self._above:
            return "{...}" if isinstance(value, dict) else "[...]"
        self._above.add(id(value))
        try:
            if isinstance(value, dict):
                return self._fields(value, depth)
            return [self.of(item, depth - 1) for item in value]
        finally:
            self._above.discard(id(value))

    def _fields(self, value: dict[Any, Any], depth: int) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        copies: dict[str, int] = {}
        for key, item in list(value.items()):
            text = self._text(_key(key))
            # {1: ..., "1": ...} has two entries, and must have two in JSON.
            if text in fields:
                text = _unused(text, key, fields, copies)
            fields[text] = self.of(item, depth - 1)
        return fields

    def _text(self, text: str) -> str:
        self._take(len(text))
        return clean(text)

    def _take(self, size: int) -> None:
        self._room -= size
        if self._room < 0:
            raise ValueTooLargeError


def _key(key: Any) -> str:
    """A key as the standard encoder writes it, where it does."""
    if isinstance(key, str):
        return str.__str__(key)
    if key is None or isinstance(key, bool):
        return json.dumps(key)
    if isinstance(key, int) and -_BIG < key < _BIG:
        return int.__repr__(key)
    return safe_str(key)


def _unused(text: str, key: Any, fields: dict[str, Any], copies: dict[str, int]) -> str:
    mark = text = f"{text} ({type(key).__name__})"
    while text in fields:
        copies[mark] = copies.get(mark, 1) + 1
        text = f"{mark[:-1]} {copies[mark]})"
    return text


def _name(value: Any) -> str:
    return f"<{type(value).__name__}>"
