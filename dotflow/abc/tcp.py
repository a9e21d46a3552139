"""Contracts for TCP peers, kept for code that imports them."""

from __future__ import annotations

from abc import ABC
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class TCPClient(ABC):  # noqa: B024 - a base class to hold a value, as it always was
    """Holds the address that a client talks to."""

    def __init__(self, url: str) -> None:
        self.url = url


class TCPServer(ABC):  # noqa: B024 - a base class to hold two values, as it always was
    """Holds the address that a server listens on, and what it calls for each peer."""

    def __init__(self, url: str, handler: Callable[..., Any]) -> None:
        self.url = url
        self.handler = handler
