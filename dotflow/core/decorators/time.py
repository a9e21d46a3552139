"""How long a function took."""

from __future__ import annotations

from functools import wraps
from time import perf_counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def time(func: Callable[..., Any]) -> Callable[..., Any]:
    """Set the `duration` (seconds) of the task that a function returns, and return the task."""

    @wraps(func)
    def timed(*args: Any, **kwargs: Any) -> Any:
        start = perf_counter()
        task = func(*args, **kwargs)
        task.duration = perf_counter() - start
        return task

    return timed
