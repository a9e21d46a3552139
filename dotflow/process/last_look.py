"""Python's last looks through all objects, which are left out where they would find nothing to do.

At its end Python collects garbage, clears all modules, collects again, and so takes some hundred
modules apart: a tenth of the life of a short program. It matters only for what acts when it goes: a
file with unwritten lines, an object with `__del__`, a value that somebody watches by a weak
reference. Where no such thing is left, nobody can tell whether it was done.
"""

from __future__ import annotations

import contextlib
import gc
import io
import sys
import weakref
from importlib.machinery import ExtensionFileLoader as Compiled
from itertools import compress
from types import BuiltinFunctionType, FunctionType
from typing import Any

MOST_BLOCKS = 2_000_000
"""Pieces of memory in use; in a larger program to look for such things is itself dear."""

_OURS = "dotflow"
_KNOWN = frozenset(
    {_OURS, "charset_normalizer", "google", "opentelemetry", "psutil", "requests", "urllib3"}
)
"""Packages that come with reporting: what they leave behind is closed by then, or has no state."""


def spare() -> None:
    """Have Python leave alone, at its end, all objects that there are, if no program can tell.

    To be called by the last exit handler of ours. What is made afterwards is collected as ever.
    """
    if _is_watched() or sys.getallocatedblocks() > MOST_BLOCKS:
        return
    with contextlib.suppress(Exception):  # what cannot be asked, for it is anybody's, may act
        if not _has_foreign_code() and not _is_anything_left():
            gc.freeze()


def _is_watched() -> bool:
    """Whether somebody follows, or has switched off, what the collector does."""
    return not gc.isenabled() or bool(gc.callbacks or gc.get_debug())


def _is_anything_left() -> bool:
    """Whether an object acts when it goes."""
    objects = gc.get_objects()
    kinds = {one for one in set(map(type, objects)) if _may_act(one)}
    # In C as far as it goes: there are some ten thousand.
    found = compress(objects, map(kinds.__contains__, map(type, objects)))
    standard = _standard_streams()
    return any(_acts(one, standard) for one in found)


def _has_foreign_code() -> bool:
    """Whether there are compiled modules whose objects may act unseen when they go."""
    # To ask a module that is loaded when it is used would load it.
    of_modules = [object.__getattribute__(one, "__dict__") for one in list(sys.modules.values())]
    specs = [one.get("__spec__") for one in of_modules]
    compiled = (one for one in specs if isinstance(getattr(one, "loader", None), Compiled))
    return not all(_is_known(one.name) for one in compiled if one is not None)


def _is_known(module: str) -> bool:
    package = module.partition(".")[0]
    return package in _KNOWN or package in sys.stdlib_module_names


def _may_act(kind: type) -> bool:
    """Whether objects of a class may act when they go, or are weak references."""
    return hasattr(kind, "__del__") or issubclass(kind, weakref.ref)


def _acts(one: Any, standard: set[int]) -> bool:
    """Whether something would happen that a program can tell if this object went."""
    kind = type(one)
    if issubclass(kind, weakref.ref) and not hasattr(kind, "__del__"):
        return _is_told(one.__callback__)
    if kind.__module__.partition(".")[0] == _OURS or id(one) in standard:
        return False
    has_ended = getattr(one, "gi_frame", one) is None  # a generator
    return not has_ended and not (isinstance(one, io.IOBase) and one.closed)


def _is_told(callback: Any) -> bool:
    """Whether a weak reference tells somebody else than a library's own tables."""
    if callback is None or isinstance(callback, (BuiltinFunctionType, weakref.finalize)):
        return False
    called = getattr(callback, "__func__", callback)
    return not (isinstance(called, FunctionType) and _is_known(called.__module__))


def _standard_streams() -> set[int]:
    """The ids of the standard streams, which Python flushes, and of what is below them."""
    found: set[int] = set()
    for stream in (sys.__stdin__, sys.__stdout__, sys.__stderr__):
        one: Any = stream
        while one is not None:
            found.add(id(one))
            one = getattr(one, "buffer", None) or getattr(one, "raw", None)
    return found
