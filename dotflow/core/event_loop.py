"""A run beside an event loop: in a thread of its own, which the loop awaits and can cancel."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from contextvars import copy_context
from typing import TYPE_CHECKING

from dotflow.core import interrupt
from dotflow.core.exception import CANCELLED

if TYPE_CHECKING:
    from collections.abc import Callable

    from dotflow.core.workflow import Manager


WAKE_EVERY = 0.5
"""Seconds after which the event loop is woken while it waits for a run. A notebook's handler of
signals cancels a cell in a loop that it does not wake, so the cell would go on to its end."""


async def run_beside(start: Callable[[], Manager]) -> Manager:
    """Start a run in a thread of its own, and return what `start` does, or raise what it raises.

    What is current here is current there: context variables, a span. Where the caller is cancelled
    the run is interrupted, and its end is awaited, so that it is reported; a second cancellation
    waits no longer.

    Args:
        start: Called once, in the thread.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()
    interrupts = interrupt.Interrupts(thread=interrupt.NO_THREAD)
    managers: list[Manager] = []
    raised: list[BaseException] = []

    def run() -> None:
        with interrupt.cancelled_by(interrupts):
            try:
                managers.append(start())
            except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
                raised.append(error)
        with contextlib.suppress(RuntimeError):  # nobody waits any more: the loop is closed
            loop.call_soon_threadsafe(ended.set_result, None)

    # Not one of the loop's executor, which has few: a run may take hours.
    threading.Thread(
        target=copy_context().run, args=(run,), name="dotflow-beside", daemon=True
    ).start()
    try:
        await _end_of(ended)
    except asyncio.CancelledError:
        interrupts.ask(CANCELLED)
        await _end_of(ended)
        raise
    if raised:
        raise raised.pop()
    return managers.pop()


async def _end_of(run: asyncio.Future[None]) -> None:
    """Wait for the end of a run; a cancellation of this one is none of the future."""
    while not run.done():
        await asyncio.wait({run}, timeout=WAKE_EVERY)
