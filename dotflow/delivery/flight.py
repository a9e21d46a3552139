"""A message that is under way, and what it is about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dotflow.delivery.message import Kind

if TYPE_CHECKING:
    from dotflow.delivery.message import Message
    from dotflow.delivery.unit import Unit

Key = int | None
"""A record of a unit: a task's number, or None for the workflow."""

Slot = tuple[Key, bool]
"""A record, and whether the call is the one that all others about it wait for."""


def slot_of(key: Key, kind: Kind, is_final: bool) -> Slot:
    """Which of a record's two calls one is."""
    return key, kind is Kind.TASK_POST or (key is None and not is_final)


@dataclass(slots=True)
class Flight:
    """A message that is under way."""

    unit: Unit
    key: Key
    message: Message
