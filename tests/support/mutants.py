"""Small faults that are planted in dotflow, for the suites to show that they would find them.

A program of the tests calls `switch_on()` first; the environment variable names the mutant, and
without it nothing is changed. POINTS says where dotflow is bent: it is all that has to follow when
another part of dotflow takes over what is bent here.
"""

from __future__ import annotations

import hashlib
import itertools
import os
from functools import wraps
from typing import TYPE_CHECKING, Any

from dotflow.delivery.http.client import Client
from dotflow.delivery.message import Delivered, Instead
from dotflow.delivery.outbox import Outbox
from dotflow.runlog.writer import RunLog

if TYPE_CHECKING:
    from collections.abc import Callable

VARIABLE = "DOTFLOW_TEST_MUTANT"

ONE_IN = 3
"""Of so many reports, or receipts, a mutant spoils one."""


def _dropped(append: Callable[..., None]) -> Callable[..., None]:
    """Keep one line in some not, and say that it is kept."""
    turns = itertools.count(1)

    @wraps(append)
    def mutant(self: RunLog, line: bytes) -> None:
        if next(turns) % ONE_IN:
            append(self, line)

    return mutant


def _reused(send: Callable[..., Any]) -> Callable[..., Any]:
    """Send all messages of one record under one key."""

    @wraps(send)
    def mutant(self: Client, message: Any, *args: Any, **kwargs: Any) -> Any:
        record = f"{message.workflow} {message.task}"
        key = hashlib.sha256(record.encode()).hexdigest()[:32]
        return send(self, message._replace(id=key), *args, **kwargs)

    return mutant


def _lost(settle: Callable[..., None]) -> Callable[..., None]:
    """Forget of one message in some that it was delivered, and send it under a key of its own."""
    turns = itertools.count(1)

    def bent(flight: Any, outcome: Any) -> Any:
        if isinstance(outcome, Delivered) and next(turns) % ONE_IN == 0:
            return Instead(flight.message._replace(id=os.urandom(16).hex()))
        return outcome

    @wraps(settle)
    def mutant(self: Outbox, flights: Any, outcomes: Any) -> None:
        settle(self, flights, [bent(*one) for one in zip(flights, outcomes, strict=True)])

    return mutant


POINTS: dict[str, tuple[type, str, Callable[[Callable[..., Any]], Callable[..., Any]]]] = {
    "a dropped report": (RunLog, "append", _dropped),
    "a reused key": (Client, "send", _reused),
    "a lost receipt": (Outbox, "settle", _lost),
}
"""Which method of which class each mutant bends, and how."""


def switch_on() -> None:
    """Plant the mutant that the environment names.

    Raises:
        KeyError: There is none of that name.
    """
    name = os.environ.get(VARIABLE)
    if name:
        owner, method, bend = POINTS[name]
        setattr(owner, method, bend(getattr(owner, method)))
