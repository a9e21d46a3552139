"""Texts in pictures: names are anybody's, and a picture has only so much room."""

from __future__ import annotations

import re
from html import escape
from unicodedata import east_asian_width

MINUTE, HOUR, DAY = 60, 60, 24  # seconds, minutes, hours
FEW = 10  # milliseconds, of which tenths are said

_UNSAYABLE = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|[\x7f-\x9f]")
"""What XML cannot say, and control characters."""

_TURNING = re.compile("[\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069]")
"""What turns the direction of the text around it."""


def plain(text: object) -> str:
    """A text in one line, without what XML cannot say and what turns the text beside it."""
    return _UNSAYABLE.sub("\ufffd", _TURNING.sub("", " ".join(str(text).split())))


def whole(text: object) -> str:
    """A text with its lines, without what XML cannot say."""
    return _UNSAYABLE.sub("\ufffd", str(text))


def said(text: object) -> str:
    """The same, escaped for an element or an attribute of HTML or SVG."""
    return escape(plain(text))


def cut(text: object, columns: int) -> str:
    """A text of at most so many columns, as `plain`; a wide character takes two of them."""
    whole = plain(text)
    used, kept = 0, 0
    for place, one in enumerate(whole):
        used += 2 if east_asian_width(one) in "WF" else 1
        if used > columns:
            return whole[:kept].rstrip() + "…"
        if used < columns:
            kept = place + 1
    return whole


def lasting(nanoseconds: int) -> str:
    """How long something took: `12 ms`, `3.40 s`, `2 min 05 s`, `1 h 02 min`, `3 d 4 h`."""
    seconds = max(0, nanoseconds) / 1e9
    if seconds < FEW / 1e3:
        return f"{seconds * 1e3:.1f} ms"
    if seconds < 1:
        return f"{seconds * 1e3:.0f} ms"
    if seconds < MINUTE:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), MINUTE)
    if minutes < HOUR:
        return f"{minutes} min {rest:02} s"
    hours, minutes = divmod(minutes, HOUR)
    return f"{hours} h {minutes:02} min" if hours < DAY else f"{hours // DAY} d {hours % DAY} h"
