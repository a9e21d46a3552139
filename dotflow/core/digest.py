"""A digest of any value, by what pickle would keep of it: equal in every process."""

from __future__ import annotations

import copyreg
import hashlib
import json
import types
from typing import TYPE_CHECKING, Any

from dotflow.core.context import Context
from dotflow.core.jsonable import type_name
from dotflow.core.module import module_name
from dotflow.process.within import Failed, within

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

PROTOCOL = 4  # what has its bytes in one piece gives them

PATIENCE = 30.0
"""Seconds that a part of a value may take."""

MOST_PARTS = 5_000_000
"""Parts of a value that are looked at: one that makes new ones without end has an end here."""

PLAIN = (type(None), bool, float, complex, type(Ellipsis), type(NotImplemented))
SAID_BY_JSON = {type(None), bool, int, float, str}
ORDERED = (list, tuple)
NAMED = (types.FunctionType, types.BuiltinFunctionType, types.ModuleType, type)


def digest_of(value: Any) -> tuple[str, set[str]]:
    """The digest (64 hex digits) of a value, and the types of what had to be left out of it.

    A set has no order, nor has a dict. A class, a function and a module are their names.
    """
    walk = _Walk()
    digest = within(PATIENCE, lambda: walk.of(value), lambda: walk.parts)
    if isinstance(digest, Failed):
        walk.is_over = True
        return _hash("left out", type_name(value).encode()).hex(), {type_name(value)}
    return digest.hex(), walk.left_out


class _Over(Exception):
    """There are more parts than are looked at, or nobody waits any more."""


class _Walk:
    """Goes through one value, each of its parts once.

    Attributes:
        parts: How many were looked at.
        left_out: The types of those that cannot be compared.
        is_over: Set if nobody waits for the end.
    """

    def __init__(self) -> None:
        self.parts = 0
        self.left_out: set[str] = set()
        self.is_over = False
        self._known: dict[int, bytes] = {}
        self._alive: list[Any] = []  # so that no other value gets the number of one

    def of(self, value: Any) -> bytes:
        """The digest of a value."""
        self.parts += 1
        if self.is_over or self.parts > MOST_PARTS:
            raise _Over
        kind = type(value)
        if kind in PLAIN:
            return _hash(kind.__name__, repr(value).encode())
        if kind is str:
            return _hash("str", value.encode("utf-8", "surrogatepass"))
        if kind is int:
            return _hash("int", b"%x" % value)  # of any length, which decimal digits are not
        if kind in (bytes, bytearray):
            return _hash(kind.__name__, value)
        known = self._known.get(id(value))
        if known is None:
            self._alive.append(value)
            self._known[id(value)] = _hash("within itself")
            known = self._known[id(value)] = self._of_parts(value, kind)
        return known

    def _of_parts(self, value: Any, kind: type) -> bytes:
        if kind in ORDERED and (text := _text_of_plain(value)):
            return _hash(f"plain {kind.__name__}", text)
        if kind in ORDERED:
            return _hash(kind.__name__, *map(self.of, value))
        if kind in (set, frozenset):
            return _hash(kind.__name__, *sorted(map(self.of, value)))
        if kind is dict:
            return self._of_pairs(value.items())
        if issubclass(kind, NAMED):
            module = module_name(getattr(value, "__module__", ""))
            name = getattr(value, "__qualname__", None) or value.__name__
            return _hash("named", f"{module}.{name}".encode())
        return self._of_object(value, kind)

    def _of_object(self, value: Any, kind: type) -> bytes:
        if kind is Context:  # without the time when it came to be
            return _hash("context", self.of(value.task_id), self.of(value.storage))
        try:
            reduced = _reduced(value, kind)
        except BaseException:  # noqa: BLE001 - a lock, say; whatever it raises is the value's
            reduced = None
        if isinstance(reduced, str):
            return _hash("named", type_name(value).encode(), reduced.encode())
        if type(reduced) is not tuple:
            self.left_out.add(type_name(value))
            return _hash("left out", type_name(value).encode())
        return self._of_reduced(*reduced)

    def _of_reduced(
        self,
        make: Callable[..., Any],
        arguments: Any,
        state: Any = None,
        items: Iterable[Any] | None = None,
        pairs: Iterable[Any] | None = None,
        *_: Any,
    ) -> bytes:
        return _hash(
            "object", self.of(make), self.of(arguments), self.of(state),
            *map(self.of, items or ()), self._of_pairs(pairs or ()),
        )  # fmt: skip

    def _of_pairs(self, pairs: Iterable[Any]) -> bytes:
        return _hash("dict", *sorted(self.of(key) + self.of(value) for key, value in pairs))


def _text_of_plain(values: Any) -> bytes | None:
    """The text of a list, however long, that holds none but plain values; else None."""
    if not set(map(type, values)) <= SAID_BY_JSON:
        return None
    try:
        return json.dumps(values).encode()
    except ValueError:  # an int with more digits than Python makes a text of
        return None


def _reduced(value: Any, kind: type) -> Any:
    """What pickle makes of a value."""
    known: Any = copyreg.dispatch_table.get(kind)
    return known(value) if known is not None else value.__reduce_ex__(PROTOCOL)


def _hash(kind: str, *parts: bytes | bytearray) -> bytes:
    digest = hashlib.sha256(kind.encode())
    for part in parts:
        digest.update(b"%d:" % len(part))
        digest.update(part)
    return digest.digest()
