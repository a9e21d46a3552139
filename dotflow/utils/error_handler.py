"""Errors as text."""

from __future__ import annotations

import traceback


def traceback_error(error: BaseException) -> str:
    """The full traceback text of an exception, also outside its except block."""
    return "".join(traceback.format_exception(type(error), error, error.__traceback__))


def message_error(error: BaseException) -> str:
    """The message of an exception."""
    return str(error)
