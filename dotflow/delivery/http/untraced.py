"""Our own calls make no spans, where the program traces its HTTP calls."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# What the instrumentations of requests and urllib3 look for.
_KEYS = ("suppress_instrumentation", "suppress_http_instrumentation")


@contextmanager
def untraced() -> Iterator[None]:
    """Have the calls of this thread make no spans meanwhile."""
    context = sys.modules.get("opentelemetry.context")
    if context is None:
        yield
        return
    current = context.get_current()
    for key in _KEYS:
        name = f"_{key.upper()}_KEY"
        current = context.set_value(getattr(context, name, key), True, current)
    token = context.attach(current)
    try:
        yield
    finally:
        context.detach(token)
