"""What somebody may have meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def did_you_mean(word: str, names: Iterable[str], written: str = "{}") -> str:
    """A question that names the nearest of some names, with a space before it; else nothing.

    Args:
        word: What was given.
        names: What there is.
        written: How a name is written; `{}` stands for it.
    """
    import difflib  # here, for nobody is mistaken most of the time

    found = difflib.get_close_matches(word, names, n=1)
    return f" Did you mean '{written.format(found[0])}'?" if found else ""
