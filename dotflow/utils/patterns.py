"""Regular expressions that are compiled when they are first used, and not with their module."""

from __future__ import annotations

import re
from typing import Any, cast


def later(pattern: str, flags: re.RegexFlag | int = 0) -> re.Pattern[str]:
    """What `re.compile` gives, compiled when one of its methods is first asked for.

    No module is loaded for that: a signal's handler, a forked child and an interpreter that ends
    may be the first to use it.

    Args:
        pattern: What `re.compile` takes.
        flags: The same.
    """
    return cast("re.Pattern[str]", _Later(pattern, flags))


class _Later:
    def __init__(self, pattern: str, flags: re.RegexFlag | int) -> None:
        self._said = pattern, flags

    def __getattr__(self, name: str) -> Any:
        found = getattr(re.compile(*self._said), name)
        setattr(self, name, found)  # the next one finds it without a call
        return found
