"""A contract for file clients, kept for code that imports it."""

from __future__ import annotations

from abc import ABC


class FileClient(ABC):  # noqa: B024 - a marker class, as it always was
    """Marks a class that reads and writes files."""
