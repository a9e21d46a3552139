"""The token is in nothing that we say, also where a server repeats it."""

from __future__ import annotations

import base64
import functools
import json
import re
from urllib.parse import quote, quote_plus

MASK = "[token]"


def masked(text: str, token: str, is_cut: bool = False) -> str:
    """A text without the token.

    Also as it is written in JSON, HTML or an address, in Base64 as of Basic authentication, and in
    letters of another case.

    Args:
        text: The text.
        token: The token.
        is_cut: Whether the text may end within a token: that end is left out.
    """
    if not token:
        return text
    pattern, longest = _pattern(token)
    text = pattern.sub(MASK, text)
    return text[:-longest] if is_cut else text


@functools.lru_cache(maxsize=16)
def _pattern(token: str) -> tuple[re.Pattern[str], int]:
    import html  # here, for its tables are long, and most programs hear of no fault

    ways = {
        token,
        repr(token)[1:-1],
        json.dumps(token)[1:-1],
        json.dumps(json.dumps(token))[3:-3],
        html.escape(token),
        html.escape(token, quote=False),
        quote(token),
        quote(token, safe=""),
        quote_plus(token),
        base64.b64encode(token.encode()).decode().rstrip("="),
        base64.urlsafe_b64encode(token.encode()).decode().rstrip("="),
    }
    longest_first = sorted(ways, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)), re.IGNORECASE), len(longest_first[0])
