"""A message that is under way, and what it is about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dotflow.delivery.message import Key, Message
    from dotflow.delivery.order.unit import Unit


@dataclass(slots=True)
class Flight:
    """A message that is under way."""

    unit: Unit
    key: Key
    message: Message
