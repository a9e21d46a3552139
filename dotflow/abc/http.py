"""A contract for HTTP handlers, kept for code that imports it."""

from __future__ import annotations

from abc import ABC
from typing import Any


class HTTPRequest(ABC):  # noqa: B024 - a base class to hold two values, as it always was
    """Holds where a request goes and with what.

    Args:
        url: The address.
        context: What travels with it.
    """

    def __init__(self, url: str, context: Any) -> None:
        self.url = url
        self.context = context
