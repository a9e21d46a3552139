"""What a step may be told: checked where it is given, so that nothing fails at the first retry."""

from __future__ import annotations

from operator import index
from typing import Any

MOST_SECONDS = 1e9
"""What a thread can wait for, and more than 30 years."""


def checked_retry(value: Any) -> int:
    """How many attempts a step has.

    Raises:
        TypeError: It is no whole number.
    """
    try:
        if not isinstance(value, bool):
            return index(value)
    except TypeError:
        pass
    raise TypeError(f"retry must be a whole number of attempts (1 for one try), not {value!r}")


def checked_seconds(name: str, value: Any, zero: str) -> float:
    """Seconds that a step is given.

    Args:
        name: The option.
        value: What was given; None is 0.
        zero: What 0 means.

    Raises:
        TypeError: It is no number.
        ValueError: It is negative, or above MOST_SECONDS.
    """
    if value is None:
        return 0
    allowed = f"{name} must be a number of seconds, from 0 (for {zero}) to {MOST_SECONDS:g}"
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        raise TypeError(f"{allowed}, not {value!r}")
    seconds: float = value if type(value) in (int, float) else float(value)
    if not 0 <= seconds <= MOST_SECONDS:  # nor NaN
        raise ValueError(f"{allowed}, not {value!r}")
    return seconds


def checked_flag(name: str, value: Any) -> bool:
    """Whether an option is on.

    Raises:
        TypeError: It is neither True nor False.
    """
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, not {value!r}")
    return value
