"""SIGTERM and Ctrl-C while a command runs workflows."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from dotflow.core import interrupt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SIGNALS = (signal.SIGTERM, signal.SIGINT)

PATIENCE = 1.0
"""Seconds in which a further signal is taken for the same: a Ctrl-C often comes twice, from the
terminal and from whoever passes it on."""

FIRST_REPEAT, LONGEST_REPEAT = 0.05, 1.0  # seconds
NO_SIGNAL = 0


def status_of(number: int) -> int:
    """The exit status of a command that a signal ended."""
    return 128 + number


@contextlib.contextmanager
def interrupting() -> Iterator[Callable[[], None]]:
    """Have SIGTERM and SIGINT end what runs within, and restore their handlers afterwards.

    The first signal makes the run fail; what was reported is delivered. A second one, more than a
    second later, ends the process at once, with the status of the first. A signal that the process
    was started to ignore stays ignored. In another thread than the main one nothing is changed,
    for handlers cannot be set there. Call what is yielded when another handler, which was set
    within, has answered a signal: that signal is not repeated then.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    before = {
        number: signal.getsignal(number)
        for number in SIGNALS
        if signal.getsignal(number) is not signal.SIG_IGN
    }

    def restore() -> None:
        for number, earlier in before.items():
            signal.signal(number, signal.SIG_DFL if earlier is None else earlier)

    def in_child() -> None:
        restore()
        signal.set_wakeup_fd(-1)

    handler = _Handler(interrupt.Interrupts(in_child))
    try:
        with _repeating(handler), interrupt.used(handler.interrupts):
            for number in before:
                signal.signal(number, handler)
            yield handler.answered.set
            interrupt.check()  # one that came when all was done is answered too
    finally:
        restore()


@contextlib.contextmanager
def asked_to_end() -> Iterator[threading.Event]:
    """Have SIGTERM, SIGINT and SIGHUP set an event, and restore their handlers afterwards.

    For a command that goes on until then; it looks at the event. A second signal ends the process
    as it always does, and one that the process was started to ignore stays ignored. To be called
    in the main thread.
    """
    is_asked = threading.Event()
    hangup = [signal.SIGHUP] if hasattr(signal, "SIGHUP") else []
    before = {number: signal.getsignal(number) for number in (*SIGNALS, *hangup)}

    def ask(number: int, _frame: Any) -> None:
        signal.signal(number, signal.SIG_DFL)
        is_asked.set()

    try:
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, ask)
        yield is_asked
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


class _Handler:
    """What happens at a signal."""

    def __init__(self, interrupts: interrupt.Interrupts) -> None:
        self.interrupts = interrupts
        self._process = os.getpid()
        self._first = 0.0
        self.answered = threading.Event()

    def __call__(self, number: int, _frame: Any) -> None:
        if os.getpid() != self._process:  # a child that was forked this very moment
            self.interrupts.in_child()
            os.kill(os.getpid(), number)
        elif self.interrupts.number is None:
            self._first = time.monotonic()
            self.interrupts.ask(number)
        elif time.monotonic() - self._first > PATIENCE:
            end_at_once(self.interrupts.number)


@contextlib.contextmanager
def _repeating(handler: _Handler) -> Iterator[None]:
    """Have a signal that Python has not noticed come again, until it has.

    One that comes just before the main thread enters a system call is noticed when that returns,
    which for a step that sleeps may be never.
    """
    if not hasattr(signal, "pthread_kill"):
        yield
        return
    read, write = os.pipe()
    os.set_blocking(write, False)
    before = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    thread = threading.Thread(
        target=_repeat, args=(read, handler), name="dotflow-signals", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.write(write, bytes([NO_SIGNAL]))
        thread.join()
        os.close(read)
        os.close(write)


def _repeat(read: int, handler: _Handler) -> None:
    main, interrupts = threading.main_thread().ident, handler.interrupts
    answered = handler.answered
    assert main is not None  # noqa: S101 - it runs
    while (number := os.read(read, 1)[0]) != NO_SIGNAL:
        wait = FIRST_REPEAT
        while interrupts.number is None and signal.getsignal(number) is handler:
            if answered.wait(wait):
                break
            if interrupts.number is None:
                signal.pthread_kill(main, number)
            wait = min(2 * wait, LONGEST_REPEAT)


def end_at_once(number: int) -> None:
    """End the process and its children here and now."""
    processes = sys.modules.get("multiprocessing")
    if processes is not None:
        for child in processes.active_children():
            child.kill()
    os._exit(status_of(number))
