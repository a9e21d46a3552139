"""What begins anew in a forked child when it is first used there: most children never use it.

Each page of memory that a child writes to is copied first, and that is most of what a child costs.
So the fork only changes the class of such an object. Its stand-in has whatever looks at the object
first begin it anew, and then the object has its own class again: where it is used nothing asks
which process it is in.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import Any, Protocol

from dotflow.logging import logger

LONGEST_WAIT = 5.0
"""Seconds that a thread waits for another one, which has something begin anew that both use."""

_owners: weakref.WeakKeyDictionary[Any, weakref.ref[Any]] = weakref.WeakKeyDictionary()
"""By object: what renews it."""

_stand_ins: dict[type, type] = {}
_classes: dict[type, type] = {}
"""The stand-ins of classes, and the classes of stand-ins."""

_at_once: weakref.WeakSet[Any] = weakref.WeakSet()
"""What renews objects of a class that nothing can stand in for: it does so at the fork."""

_lock = threading.RLock()
_under_way: list[Any] = []
"""What begins anew this moment, in the thread that holds the lock."""


class Renewable(Protocol):
    """Something with threads, locks or sockets."""

    def renew(self) -> Any:
        """Begin anew; called in the child, where only the forking thread is left."""


def renew_when_used(owner: Renewable, *parts: Any) -> None:
    """Have `owner.renew()` called in a forked child, as soon as anything looks at it there.

    Args:
        owner: It. Any thread, signal handler or finalizer may be the one that renews it.
        parts: Objects that lead others into it, which do not go by the owner: to look at one of
            them renews all.
    """
    reference = weakref.ref(owner)
    for one in (owner, *parts):
        if _has_stand_in(type(one)):
            _owners[one] = reference
        else:
            _at_once.add(owner)


def is_unused(one: Any) -> bool:
    """Whether it is a parent's, and nothing in this process has looked at it; nor does this."""
    return type(one) in _classes


def mark() -> None:
    """Have all begin anew when they are used; called in the child, by the only thread."""
    global _lock  # noqa: PLW0603 - in a forked child nobody holds it
    _lock = threading.RLock()
    _under_way.clear()
    for reference in _owners.keyrefs():
        one = reference()
        if one is not None and type(one) not in _classes:
            _set_class(one, _stand_ins[type(one)])
    for owner in list(_at_once):
        if is_unused(owner):
            _see_to(owner)
        else:
            owner.renew()


def _has_stand_in(cls: Any) -> bool:
    """Whether something can stand in for a class; it is made once."""
    if cls not in _stand_ins:
        try:
            made = _stand_in(cls)
            _set_class(object.__new__(cls), made)
        except TypeError:  # its objects are laid out in a way of their own
            _stand_ins[cls] = object
        else:
            _stand_ins[cls], _classes[made] = made, cls
    return _stand_ins[cls] is not object


def _stand_in(cls: Any) -> type:

    class StandIn(cls):  # type: ignore[misc] # of whatever class
        __slots__ = ()

        def __getattribute__(self, name: str) -> Any:
            if name == "__class__":  # which `isinstance` asks for
                return cls
            _see_to(self)
            return cls.__getattribute__(self, name)

        def __setattr__(self, name: str, value: Any) -> None:
            _see_to(self)
            cls.__setattr__(self, name, value)

        def __delattr__(self, name: str) -> None:
            _see_to(self)
            cls.__delattr__(self, name)

    StandIn.__name__, StandIn.__qualname__ = cls.__name__, cls.__qualname__
    return StandIn


def _see_to(one: Any) -> None:
    """Have it begin anew, unless that is under way here: then it is its own `renew` that looks."""
    lock = _lock
    if not lock.acquire(timeout=LONGEST_WAIT):
        return
    try:
        if type(one) in _classes:
            _renew(one)
    finally:
        lock.release()


def _renew(one: Any) -> None:
    owner = _owners[one]()
    if any(owner is other for other in _under_way):
        return
    _under_way.append(owner)
    process = os.getpid()
    try:
        if owner is not None:
            owner.renew()
    except Exception:  # noqa: BLE001 - it may lead to anybody's, and whoever uses it goes on
        logger.warning("%s cannot begin anew in a child.", type(owner).__name__, exc_info=True)
    finally:
        if os.getpid() == process:
            _under_way.remove(owner)
    if os.getpid() == process:  # else a handler has forked: in that child all is to begin again
        for reference in _owners.keyrefs():
            other = reference()
            if type(other) in _classes and _owners[other]() is owner:
                _set_class(other, _classes[type(other)])


def _set_class(one: Any, cls: type) -> None:
    object.__setattr__(one, "__class__", cls)
