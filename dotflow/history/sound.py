"""Which lines can be believed: a damaged disk may have changed any value of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dotflow.runlog.reader import Fact

    Check = Callable[[Any], bool]

LATEST = 2**63
"""Nanoseconds since 1970 beyond which no clock says anything."""

MOST = 2**53
"""The highest number of a task, an attempt or a line."""


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _moment(value: Any) -> bool:
    return type(value) is int and 0 <= value < LATEST


def _number(value: Any) -> bool:
    return type(value) is int and 0 <= value < MOST


def _seconds(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and 0 <= value < MOST


def _or_none(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _list_of(*checks: Check) -> Check:
    """A list that begins with such values."""
    return lambda value: (
        isinstance(value, list)
        and len(value) >= len(checks)
        and all(check(one) for check, one in zip(checks, value, strict=False))
    )


def _each(check: Check) -> Check:
    return lambda value: isinstance(value, list) and all(map(check, value))


def _dict(value: Any) -> bool:
    return isinstance(value, dict)


def _fields(checks: Mapping[str, Check], needed: tuple[str, ...] = ()) -> Check:
    """A dict of which each field that is known has such a value."""
    return lambda value: (
        isinstance(value, dict)
        and all(name in value for name in needed)
        and all(check(value[name]) for name, check in checks.items() if name in value)
    )


_words = _or_none(_text)
_error = _or_none(
    _fields({
        "attempt": _or_none(_number), "exception": _words, "message": _words,
        "traceback": _words, "error_type": _words,
    })
)  # fmt: skip
_place = _list_of(_text, _text)
_span = _fields(
    {
        "name": _text, "context": _place, "parent": _or_none(_place), "kind": _text,
        "start": _moment, "end": _or_none(_moment), "attributes": _dict,
        "scope": _or_none(_list_of(_text, _words)), "status": _list_of(_text, _words),
        "events": _each(_list_of(_text, _moment, _dict)), "links": _each(_list_of(_place, _dict)),
        "resource": _list_of(_dict),
    },
    needed=("name", "context", "parent", "kind", "start", "end", "attributes", "resource"),
)  # fmt: skip
_line = _fields({
    "n": _number, "r": _number, "w": _text, "t": _number,
    "at": _or_none(_moment), "began": _or_none(_moment),
    "attempt": _number, "retries": _number, "status": _text, "duration": _or_none(_seconds),
    "name": _words, "title": _words, "group": _text, "mode": _words, "span": _text,
    "trace_id": _words, "carried": _text, "error": _error, "previousof": _number,
    "plan": _or_none(_each(_list_of(_number, _text, _text))), "carrier": _or_none(_dict),
})  # fmt: skip

_NEEDED = {
    "run ended": ("at", "status"), "task began": ("at", "name", "group"),
    "task ended": ("at", "status"), "task restored": ("at", "name", "group"),
    "attempt began": ("at", "attempt"), "attempt ended": ("at", "attempt"),
}  # fmt: skip


def is_sound(fact: Fact) -> bool:
    """Whether each value of a line is of its kind, and all are there that have to be."""
    kind = fact["f"]
    if kind == "span":
        return _span(fact.get("said"))
    return all(fact.get(name) is not None for name in _NEEDED.get(kind, ())) and _line(fact)
