"""What the providers of an application have to begin anew in a forked child.

Their exporters are made for one process. The child has copies of their connections, over which the
parent goes on to speak; locks that a thread of the parent held; and sums that the parent reports.
The SDK sees to its queues and threads, and from 1.44 on to what the resource says of the process.
The rest is done here, by what the objects are, for each release of the SDK keeps them in another
place.
"""

from __future__ import annotations

import os
import sys
import threading
from functools import lru_cache
from types import MethodType
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from opentelemetry.sdk import resources
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, Resource

from dotflow.logging import logger

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MOST_PARTS = 10_000
"""Objects that are looked at, at most."""

MEASURED = "_attributes_aggregation"
"""Where the SDK keeps what one instrument has measured for one reader."""

RECONNECT = "_initialize_channel_and_stub"
"""The method of the exporters over gRPC that connects."""

SDK_SEES_TO_RESOURCES = hasattr(resources, "_get_process_dependent_resource")

_LEAVES = frozenset({str, int, float, bool, bytes, type(None), type})

_PLAIN, _REENTRANT = {type(threading.Lock())}, {type(threading.RLock())}

_theirs: list[Any] = []
"""Connections of the parent: to take them down is not this process's business."""

_seen: dict[int, dict[int, Any]] = {}
"""By process: a provider of ours begins anew at the fork, and is met again before the step."""


def begin_anew(exporting: Iterable[Any]) -> None:
    """Have what exports do so for this process alone; called before anything is exported here.

    Args:
        exporting: Providers and readers.
    """
    for part in _parts(exporting):
        _guarded(part)


def _guarded(part: Any) -> None:
    try:
        _renew(part)
    except Exception as error:  # noqa: BLE001 - it may be anybody's
        logger.debug("%s cannot begin anew in a child: %r", type(part).__name__, error)


def _renew(part: Any) -> None:
    if isinstance(part, _loaded("requests.adapters", "HTTPAdapter")):
        # Not closed, for a lock of theirs may be held.
        _theirs.append((part.poolmanager, part.proxy_manager))
        part.__setstate__(part.__getstate__())
        return
    state = vars(part)
    for name, value in list(state.items()):
        if isinstance(value, Resource) and not SDK_SEES_TO_RESOURCES:
            setattr(part, name, _of_this_process(value))
        if _is_held(value):
            setattr(
                part, name, threading.RLock() if type(value) in _REENTRANT else threading.Lock()
            )
    if isinstance(state.get(MEASURED), dict):
        state[MEASURED].clear()
    if hasattr(part, RECONNECT):
        _theirs.append(state.get("_channel"))
        getattr(part, RECONNECT)()


def _loaded(module: str, name: str) -> Any:
    """A class, as `isinstance` takes it; none if its module is not loaded: nothing is one then."""
    return getattr(sys.modules.get(module), name, ())


def _of_this_process(resource: Resource) -> Resource:
    """The same resource as another instance: what both counted would be taken for one's."""
    return resource.merge(Resource({SERVICE_INSTANCE_ID: _instance(os.getpid())}))


@lru_cache(maxsize=1)
def _instance(_process: int) -> str:
    return str(uuid4())


def _is_held(value: Any) -> bool:
    """Whether it is a lock that a thread of the parent held: no other could hold it here."""
    if type(value) not in _PLAIN | _REENTRANT:
        return False
    is_free: bool = value.acquire(blocking=False)
    if is_free:
        value.release()
    return not is_free


def _seen_here() -> dict[int, Any]:
    """What was renewed in this process; the objects too: an id must not be another's later."""
    process = os.getpid()
    if process not in _seen:
        _seen.clear()
        _seen[process] = {}
    return _seen[process]


def _parts(roots: Iterable[Any]) -> Iterator[Any]:
    """All objects of OpenTelemetry that these lead to, and what connects them."""
    waiting = list(roots)
    seen = _seen_here()
    session = _loaded("requests", "Session")
    while waiting and len(seen) < MOST_PARTS:
        one = waiting.pop()
        cls: Any = type(one)
        if cls in _LEAVES or id(one) in seen:
            continue
        seen[id(one)] = one
        if issubclass(cls, dict):
            waiting += [*one.keys(), *one.values()]
        elif issubclass(cls, (list, tuple)):
            waiting += one
        elif cls is MethodType:  # by which a reader collects from its provider
            waiting.append(one.__self__)
        elif issubclass(cls, session):
            yield from one.adapters.values()
        elif _is_telemetry(cls):
            yield one
            waiting += vars(one).values()


@lru_cache(maxsize=1024)
def _is_telemetry(cls: type) -> bool:
    """Whether a class is OpenTelemetry's, or made from one of its, and has attributes to see."""
    ours = any(str(base.__module__).startswith("opentelemetry.") for base in cls.__mro__)
    return ours and bool(cls.__dictoffset__)
