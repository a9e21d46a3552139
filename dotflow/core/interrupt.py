"""Ending a run from outside, at a place where that leaves nothing half done.

The command line asks for the end of all runs from a signal handler, an event loop for that of one
that it awaits. Steps, callbacks and waits are windows:
there the main thread is interrupted at once. Between them statuses, reports and checkpoints are
written: there the end waits for the next window. Other threads, which no signal reaches, look for
it themselves. Where nobody uses this module, all of it is nothing.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from dotflow.core.exception import Interrupted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

LOOK_EVERY = 0.1
"""Seconds after which what no signal can interrupt looks whether the run is to end."""

NO_THREAD = 0

_NOTHING: AbstractContextManager[None] = contextlib.nullcontext()
current: Interrupts | None = None
"""What ends all runs of this process; None where nobody may ask for that."""

own: ContextVar[Interrupts | None] = ContextVar("dotflow_interrupts", default=None)
"""What ends the run that goes on here; None where nobody may ask for that."""

_keeps_thread: ContextVar[bool] = ContextVar("dotflow_keeps_thread", default=False)


class Interrupts:
    """What ends runs: those of this process, or one and what is run within it.

    Args:
        in_child: Called in every forked child: the end of the parent is not the child's affair.
        thread: The thread that signals interrupt (the one that calls this); NO_THREAD for none.

    Attributes:
        number: The signal that asked for the end, or CANCELLED; None until then.
        outer: What ends the run that this one is within.
    """

    def __init__(
        self, in_child: Callable[[], None] = lambda: None, thread: int | None = None
    ) -> None:
        self.number: int | None = None
        self.in_child = in_child
        self.thread = threading.get_ident() if thread is None else thread
        self.is_open = False
        self.outer: Interrupts | None = None

    def ask(self, number: int) -> None:
        """Have the runs end; called by a signal handler, so it takes no lock.

        Raises:
            Interrupted: The main thread is in a window.
        """
        self.number = number
        if self.is_open:
            self.check()

    def check(self) -> None:
        """Raise Interrupted where the end was asked for."""
        if self.number is not None:
            if threading.get_ident() == self.thread:
                # Before the error leaves: what it passes through must not be interrupted again.
                self.is_open = False
            raise Interrupted(self.number)
        if self.outer is not None:
            self.outer.check()


class _Window:
    """A part of the program that may be interrupted, or one within it that may not."""

    __slots__ = ("_before", "_interrupts", "_is_open")

    def __init__(self, interrupts: Interrupts, is_open: bool) -> None:
        self._interrupts = interrupts
        self._is_open = is_open

    def __enter__(self) -> None:
        one = self._interrupts
        if threading.get_ident() == one.thread:
            self._before = one.is_open
            one.is_open = self._is_open
        if self._is_open:
            check()

    def __exit__(self, *_: object) -> None:
        if threading.get_ident() == self._interrupts.thread:
            self._interrupts.is_open = self._before


@contextlib.contextmanager
def used(interrupts: Interrupts) -> Iterator[None]:
    """Have all runs of this process end where `interrupts` says so."""
    global current  # noqa: PLW0603 - signals are the process's, so this is too
    before, current = current, interrupts
    try:
        yield
    finally:
        current = before


@contextlib.contextmanager
def cancelled_by(interrupts: Interrupts) -> Iterator[None]:
    """Have the run within, in this thread, end where `interrupts` says so."""
    interrupts.outer = own.get()
    token = own.set(interrupts)
    try:
        yield
    finally:
        own.reset(token)


def is_used() -> bool:
    """Whether somebody may ask for the end of a run."""
    return current is not None or own.get() is not None


def is_out_of_reach() -> bool:
    """Whether somebody may ask for the end, and no signal can interrupt this thread."""
    if own.get() is not None:
        return True
    return current is not None and threading.get_ident() != current.thread


def leaves_thread() -> bool:
    """Whether a step is to run in a thread of its own, in which it can be left behind."""
    return is_out_of_reach() and not _keeps_thread.get()


@contextlib.contextmanager
def in_pool(interrupts: Interrupts) -> Iterator[None]:
    """Have what runs within, in a thread of a pool's, end between steps where `interrupts` says so.

    Its steps keep the thread: a pool may have given it something of its own.
    """
    token = _keeps_thread.set(True)
    try:
        with cancelled_by(interrupts):
            yield
    finally:
        _keeps_thread.reset(token)


def window(is_open: bool = True) -> AbstractContextManager[None]:
    """What runs within may be interrupted (or, with False, may not)."""
    one = current or own.get()
    return _NOTHING if one is None else _Window(one, is_open)


def check() -> None:
    """Raise Interrupted where the end was asked for."""
    one = own.get()
    if one is not None:
        one.check()
    if current is not None:
        current.check()


def join(thread: threading.Thread, timeout: float | None = None) -> None:
    """Wait for a thread, for at most `timeout` seconds.

    Raises:
        Interrupted: The end was asked for.
    """
    if not is_used():
        thread.join(timeout)
        return
    deadline = None if timeout is None else time.monotonic() + timeout
    # No window: what interrupts `Thread.join` leaves a thread that seems to have ended.
    with window(is_open=False):
        while thread.is_alive() and (left := _left(deadline)) > 0:
            check()
            thread.join(min(left, LOOK_EVERY))


def wait(event: threading.Event, timeout: float | None = None) -> bool:
    """Wait for an event, for at most `timeout` seconds; return whether it has come.

    Raises:
        Interrupted: The end was asked for.
    """
    if not is_out_of_reach():
        with window():
            return event.wait(timeout)
    deadline = None if timeout is None else time.monotonic() + timeout
    while not event.is_set() and (left := _left(deadline)) > 0:
        check()
        event.wait(min(left, LOOK_EVERY))
    return event.is_set()


def sleep(seconds: float) -> None:
    """Wait some seconds.

    Raises:
        Interrupted: The end was asked for.
    """
    if not is_out_of_reach():
        with window():
            time.sleep(seconds)
        return
    deadline = time.monotonic() + seconds
    while (left := _left(deadline)) > 0:
        check()
        time.sleep(min(left, LOOK_EVERY))


def _left(deadline: float | None) -> float:
    return LOOK_EVERY if deadline is None else deadline - time.monotonic()


def _in_child() -> None:
    global current
    interrupts, current = current, None
    own.set(None)
    if interrupts is not None:
        interrupts.in_child()


def _register() -> None:
    hook: Any = getattr(os, "register_at_fork", None)
    if hook is not None:
        hook(after_in_child=_in_child)


_register()
