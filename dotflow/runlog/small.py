"""Small values, which most results are: nothing of them needs to be counted or copied."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dotflow.utils.masking import MAX_KEY, remembered

if TYPE_CHECKING:
    from collections.abc import Iterable

FEW_PARTS, SHORT_TEXT = 16, 256
"""Parts of a small value, and characters of a text in it."""

SMALL = 8 * FEW_PARTS * max(SHORT_TEXT, MAX_KEY)
"""Bytes that its text has at the most, whatever escapes it needs."""

_WORD = 2**63


_NOT_SMALL = (object(),)
"""Stands for the parts of what is no small value."""


def has_words(value: Any) -> bool | None:
    """Whether there are texts in a small value; None if it is large, or has parts with parts.

    The standard encoder is right about a small one. If it has no texts, nothing in it needs a mask:
    its keys are known, and need none.
    """
    found = False
    for item in _parts(value):
        kind = type(item)
        if kind is str:
            found = True
            if len(item) > SHORT_TEXT:
                return None
        elif kind is int or kind is float:
            if not -_WORD < item < _WORD:  # nor is a NaN, or an infinity
                return None
        elif kind is not bool and item is not None:
            return None
    return found


def _parts(value: Any) -> Iterable[Any]:
    kind = type(value)
    if kind is not dict and kind is not list and kind is not tuple:
        return (value,)
    if len(value) > FEW_PARTS:
        return _NOT_SMALL
    if kind is not dict:
        return value  # type: ignore[no-any-return]
    for key in value:
        if type(key) is not str or remembered(key) != 0 or not key.isidentifier():
            return _NOT_SMALL
    return value.values()  # type: ignore[no-any-return]
