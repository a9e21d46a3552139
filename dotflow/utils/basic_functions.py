"""Functions that stand where none was given."""

from __future__ import annotations

from typing import Any


def basic_function(*_args: Any, **_kwargs: Any) -> None:
    """Take anything and do nothing."""


def basic_callback(*_args: Any, **_kwargs: Any) -> None:
    """Take anything and do nothing: the callback of a task without one."""
