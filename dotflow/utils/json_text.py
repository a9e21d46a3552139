"""JSON text by the standard library's encoder."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from json import encoder
from typing import Any

Pieces = Callable[[Any, int], Sequence[str]]
"""Makes the text of a value, in pieces; called with 0, too."""


def pieces_of(
    *,
    is_compact: bool = True,
    is_ascii: bool = False,
    allow_nan: bool = True,
    default: Callable[[Any], Any] | None = None,
) -> Pieces:
    """The standard encoder, made once: `json` makes one each time, which costs as much as its use.

    It finds no cycle but by recursion.

    Args:
        is_compact: Whether no space follows a comma or a colon.
        is_ascii: Whether all other characters are escaped.
        allow_nan: Whether NaN and the infinities are written, as words that are no JSON.
        default: Makes what is written for a value that is no JSON; without one that raises.

    Returns:
        What makes the text; any thread may call it.
    """
    item, key = (",", ":") if is_compact else (", ", ": ")
    standard = json.JSONEncoder(
        ensure_ascii=is_ascii, allow_nan=allow_nan, separators=(item, key), default=default,
        check_circular=False,
    )  # fmt: skip
    make: Any = vars(encoder)["c_make_encoder"]
    if make is None:
        return lambda value, _: [standard.encode(value)]
    quote = encoder.encode_basestring_ascii if is_ascii else encoder.encode_basestring
    pieces: Pieces = make(
        None, standard.default, quote, None, key, item, False, False, allow_nan
    )  # fmt: skip
    return pieces


def encoder_of(**options: Any) -> Callable[[Any], str]:
    """Make a function that gives the whole text of a value; it takes what `pieces_of` takes."""
    pieces = pieces_of(**options)
    return lambda value: "".join(pieces(value, 0))
