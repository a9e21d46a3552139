"""The end of a run in a worker: spans leave before it vanishes, unless nobody takes them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from dotflow.runlog import lateness

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from dotflow.otel.export.deadline import DeadlineRunner
    from dotflow.otel.export.leaving.outgoing import Outgoing

    Wait = Callable[[float], bool]

OTHERS = "exporters"
"""What stands for exporters that are not ours, where one was late."""

LOOK_EVERY = 0.02
"""Seconds between two looks whether an endpoint has refused what it was sent."""


def ours(processor: Outgoing, timeout: float) -> Wait:
    """Begin to send what waits for an OTLP endpoint; return what waits for it."""
    if processor.has_ended or processor.is_away or lateness.is_late(processor.key):
        return _not_now
    wait = processor.begin_flush(timeout)

    def waited(seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not wait(min(LOOK_EVERY, max(0.0, deadline - time.monotonic()))):
            if processor.is_away or time.monotonic() >= deadline:
                lateness.note(processor.key)
                return False
        return True

    return waited


def others(runner: DeadlineRunner, flush: Callable[[], bool]) -> Wait:
    """The same for all other exporters, an application's too."""
    if lateness.is_late(OTHERS):
        return _not_now
    wait = runner.begin(flush)

    def waited(seconds: float) -> bool:
        is_sent = wait(seconds)
        if not is_sent:
            lateness.note(OTHERS)
        return is_sent

    return waited


def waiting(waits: Iterable[Wait]) -> Wait:
    """Waits for all of them within one time."""

    def waited(seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        sent = [wait(max(0.0, deadline - time.monotonic())) for wait in waits]
        return all(sent)

    return waited


def _not_now(_seconds: float) -> bool:
    return False
