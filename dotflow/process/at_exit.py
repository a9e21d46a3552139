"""At the end of the process all that delivers is closed, together and with one deadline.

No thread is started here: from Python 3.12 on none can be, when the interpreter ends.
"""

from __future__ import annotations

import atexit
import math
import os
import sys
import threading
import time
import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from dotflow.logging import logger

if TYPE_CHECKING:
    from collections.abc import Iterator

DEFAULT_TIMEOUT = 5.0
LONGEST_TIMEOUT = 86_400.0


class Closable(Protocol):
    """Something that delivers, and takes time to end.

    One with a method `hurry()` delivers in threads of its own: they are told to, and closed last,
    so that all of them work while the others are closed one after another.
    """

    def close(self, timeout: float | None = None) -> Any:
        """End within `timeout` seconds."""


_open: weakref.WeakSet[Any] = weakref.WeakSet()
_kept: set[Any] = set()
_children: set[int] = set()
_process = os.getpid()


def close_here() -> None:
    """Have what delivers be closed at the end of this process.

    A process that was forked meanwhile, and reports nothing, leaves that to its parent.
    """
    global _process  # noqa: PLW0603 - there is one process
    _process = os.getpid()


def close_at_exit(closable: Closable) -> None:
    """Have `closable.close(timeout)` called at exit, unless it is gone by then."""
    close_here()
    _open.add(closable)


def keep(closable: Closable) -> None:
    """Have it be there at exit: nothing else may hold it any more."""
    _kept.add(closable)


def forget(closable: Closable) -> None:
    """Take back `close_at_exit` and `keep`: it is closed."""
    _open.discard(closable)
    _kept.discard(closable)


def seconds_from_environment(name: str, default: float) -> float:
    """The seconds that a variable says, from 0 to a day; the default if it is wrong or not set."""
    given = os.environ.get(name, "").strip()
    try:
        seconds = float(given or default)
    except ValueError:
        seconds = math.nan
    if not math.isnan(seconds):
        return min(LONGEST_TIMEOUT, max(0.0, seconds))
    from dotflow.process.variables import warn  # here, for it is rarely needed

    warn(f"{name} is {given!r}: it must be a number of seconds; {default:g} is used.")
    return default


def flush_timeout() -> float:
    """Seconds that all delivery together has at exit: DOTFLOW_FLUSH_TIMEOUT, 5 by default."""
    return seconds_from_environment("DOTFLOW_FLUSH_TIMEOUT", DEFAULT_TIMEOUT)


def is_child() -> bool:
    """Whether this process is a child of `multiprocessing`."""
    process = sys.modules.get("multiprocessing.process")
    return process is not None and process.parent_process() is not None


def close_in_child() -> None:
    """Have a child of `multiprocessing` close at its end too: `atexit` does not run there."""
    if not is_child() or os.getpid() in _children:
        return
    from multiprocessing.util import Finalize

    _children.add(os.getpid())
    close_here()
    # What the child's own finalizers report is to be sent too: they come before.
    Finalize(None, _close_all, exitpriority=0)


@atexit.register
def _close_all() -> None:
    if os.getpid() != _process:
        return
    try:
        with in_one_line():
            _close_each()
    except KeyboardInterrupt:  # between two of them
        _say_interrupted()


def _close_each() -> None:
    deadline = time.monotonic() + flush_timeout()
    everything = list(dict.fromkeys([*_kept, *_open]))  # what is kept may tell of more, so first
    relays = [one for one in everything if hasattr(one, "hurry")]
    others = [one for one in everything if not hasattr(one, "hurry")]
    for relay in relays:
        relay.hurry()
    for index, one in enumerate([*others, *relays]):
        left = max(0.0, deadline - time.monotonic())
        share = left / (len(others) - index) if index < len(others) else left
        if not _close(one, share):
            deadline = time.monotonic()


def _close(closable: Closable, timeout: float) -> bool:
    """Close it; return whether nobody wants this to end at once."""
    try:
        closable.close(timeout)
    except KeyboardInterrupt:
        _say_interrupted()
        return False
    except Exception:  # noqa: BLE001 - the others are to be closed too
        logger.warning("%s could not be closed.", type(closable).__name__, exc_info=True)
    return True


def _say_interrupted() -> None:
    logger.warning(
        "The program's end is interrupted: reports that are not delivered yet wait, and the next "
        "run, or `dotflow outbox flush`, sends them."
    )


# What is left.


class _Gathered(threading.local):
    """What is left, of all that this thread closes together; None where it closes one."""

    left: list[str] | None = None


_gathered = _Gathered()


def say_left(what: str, where: object) -> None:
    """Say what waits when something that delivers ends, and what sends it.

    Args:
        what: How much of what, and for whom: "3 messages to dotflow-api at https://...".
        where: The folder that it waits in.
    """
    if _gathered.left is None:
        _say_left([what], where)
    else:
        _gathered.left += [what, str(where)]


@contextmanager
def in_one_line() -> Iterator[None]:
    """Have what is closed within say in one line what is left."""
    if _gathered.left is not None:
        yield
        return
    left = _gathered.left = []
    try:
        yield
    finally:
        _gathered.left = None
        if left:
            _say_left(left[::2], left[-1])


def _say_left(whats: list[str], where: object) -> None:
    logger.warning(
        "%s wait in %s: the next run, or `dotflow outbox flush`, sends them. A larger "
        "DOTFLOW_FLUSH_TIMEOUT (now %g s) gives a program's end more time.",
        " and ".join(whats), where, flush_timeout(),
    )  # fmt: skip
