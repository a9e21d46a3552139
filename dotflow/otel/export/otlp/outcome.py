"""What becomes of a batch, and how a person is told why."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from dotflow.delivery.http.mask import masked

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_SAID = 300
"""Characters of an endpoint's own words that are repeated."""

SHORTEST = 4
"""Characters of a header's value that is kept out of what an endpoint says."""


class Outcome(NamedTuple):
    """What became of a batch.

    Attributes:
        why: Why it was not taken, to be read after the endpoint's name; empty if it was.
        is_refused: Whether the endpoint finds fault with this batch, so that another may be taken.
        after: Seconds that the endpoint asks to wait.
        rejected: How much of it an endpoint that took it has thrown away.
        said: The endpoint's own words, where it took the batch.
        is_unknown: Whether the endpoint takes nothing of the kind, at this address.
    """

    why: str = ""
    is_refused: bool = False
    after: float | None = None
    rejected: int = 0
    said: str = ""
    is_unknown: bool = False

    @property
    def is_taken(self) -> bool:
        """Whether nothing of it is to be sent again."""
        return not self.why


def told(words: str, secrets: Iterable[str]) -> str:
    """An endpoint's own words: one short line, without the headers that it may repeat.

    Args:
        words: What it says.
        secrets: The values of headers.
    """
    text = words[: 4 * MOST_SAID]
    is_cut = len(text) < len(words)
    for secret in sorted(_parts(secrets), key=len, reverse=True):
        text, is_cut = masked(text, secret, is_cut), False
    shown = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(shown.split())[:MOST_SAID]


def _parts(secrets: Iterable[str]) -> set[str]:
    """The values, and of "Bearer TOKEN" also the token alone."""
    found = {part for one in secrets for part in (one, one.rpartition(" ")[2])}
    return {one for one in found if len(one) >= SHORTEST}
