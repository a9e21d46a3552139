"""No report says a credential: finds the keys that hold one, and masks texts that name one."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

MASK = "***"

WHOLE_VALUES = "DOTFLOW_WHOLE_VALUES"

SECRET = 1
"""A key's verdict: its value is a credential."""

ODD = 2
"""A key's verdict: it holds half a surrogate pair, which JSON cannot say."""

MAX_VERDICTS = 4096
"""Keys whose verdict is remembered; then the memory begins anew."""

MAX_KEY = 100
"""Characters of a key that is remembered."""

NEAR = 1024
"""Characters in which a bracket's other one is looked for."""

_CREDENTIAL = (
    r"passw|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credential|authorization"
    r"|cookie|session[_-]?id"
)
# On small letters without IGNORECASE, `re` skips to the possible first letters: five times faster.
_IN_SMALL_LETTERS = re.compile(_CREDENTIAL)
_IN_ANY_LETTERS = re.compile(_CREDENTIAL, re.IGNORECASE)
_SURROGATE = re.compile("[\ud800-\udfff]")

_verdicts: dict[str, int] = {}

remembered = _verdicts.get
"""Gives the verdict of a key that was looked at before, else None."""


def are_values_whole() -> bool:
    """Whether a user wants nothing masked: DOTFLOW_WHOLE_VALUES is 1."""
    return os.environ.get(WHOLE_VALUES, "").strip() == "1"


def masked_by_default(text: str) -> str:
    """The text as `masked` has it; as it is where a user wants nothing masked."""
    return text if are_values_whole() else masked(text)


def verdict(key: str) -> int:
    """What a key says of its value: SECRET, ODD, both added, or 0.

    Args:
        key: A text of the exact type `str`.
    """
    known = _verdicts.get(key)
    if known is None:
        known = judge(key)
        if len(key) <= MAX_KEY:
            if len(_verdicts) >= MAX_VERDICTS:
                _verdicts.clear()
            _verdicts[key] = known
    return known


def judge(text: str) -> int:
    """The verdict of a key, or of many keys in one text, without the memory."""
    found = SECRET if _IN_SMALL_LETTERS.search(text.casefold()) else 0
    if not text.isascii():
        found |= SECRET if _IN_ANY_LETTERS.search(text) else 0
        found |= ODD if _SURROGATE.search(text) else 0
    return found


def clean(text: str) -> str:
    """The text with U+FFFD in place of each half surrogate pair."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


# Every repetition is bounded or excludes what follows it, so that no text takes quadratic time.
_NAMED = re.compile(
    rf"(?:{_CREDENTIAL})(?:[^\"'\n]{{0,64}}(?=[\"'])|[\w.\-]{{0,64}})\\{{0,8}}[\"']?[\])]?\s{{0,16}}[:=]{{1,2}}>?\s{{0,16}}",
    re.IGNORECASE,
)
_HEADER = re.compile(r"(authorization|cookie)(\s{0,4}:\s{0,4})[^\s\"'][^\n]*", re.IGNORECASE)
_USER = re.compile(r"(://[^\s:/@\"']{0,256}:)[^\s/@\"']{1,256}@")
_QUOTED = re.compile(
    r"[bru]{0,2}(?P<quote>\\{0,8}[\"'])(?:(?!(?P=quote))(?:\\.|[^\n]))*(?P=quote)?", re.IGNORECASE
)
_SCHEME = re.compile(r"(?:bearer|basic|digest|negotiate)\s{1,4}", re.IGNORECASE)
_WORD = re.compile(r"(?:[^\s,;&\"'()\[\]{}]|[)\]}](?=[^\s,;&\"'()\[\]{}])|[\"'](?=\w))+")
_ASSIGNED = re.compile(r"\s{0,4}=\s{0,4}(?!=)")
_BRACKET = re.compile(r"[\[({]|[\])}]|[\"']")


def masked(text: str) -> str:
    """A text with MASK in place of each value that is written beside a credential's name.

    As in `password=hunter2`, `"api_key": "k"`, `Authorization: Bearer b`, and the password of
    `https://ada:p@host`.
    """
    if "://" in text:
        text = _USER.sub(rf"\1{MASK}@", text)
    if not judge(text) & SECRET:
        return text
    return "".join(_parts(_HEADER.sub(rf"\1\2{MASK}", text)))


def _parts(text: str) -> Iterable[str]:
    end = 0
    while (name := _NAMED.search(text, end)) is not None:
        yield text[end : name.end()]
        end = _end_of_value(text, name.end())
        yield MASK if end > name.end() else ""
    yield text[end:]


def _end_of_value(text: str, start: int) -> int:
    """Where the value that begins at `start` ends."""
    while True:
        end = _end_of_one(text, start)
        # In `password: str = "x"` the value is the last of three.
        assigned = _ASSIGNED.match(text, end) if end > start else None
        if assigned is None:
            return end
        start = assigned.end()


def _end_of_one(text: str, start: int) -> int:
    found = _QUOTED.match(text, start)
    if found is not None:
        return found.end()
    scheme = _SCHEME.match(text, start)
    end = start if scheme is None else scheme.end()
    # `SecretStr('x')` is a word and brackets.
    while True:
        found = _WORD.match(text, end)
        end = end if found is None else found.end()
        if text[end : end + 1] not in ("[", "(", "{"):
            return end
        end = _end_of_brackets(text, end)


def _end_of_brackets(text: str, start: int) -> int:
    """Where the bracket at `start` is closed; the end of its line if that is not near."""
    depth, at, last = 0, start, start + NEAR
    while (found := _BRACKET.search(text, at, last)) is not None:
        at = found.end()
        if found[0] in "\"'":
            quoted = _QUOTED.match(text, found.start(), last)
            at = quoted.end() if quoted is not None else at
            continue
        depth += 1 if found[0] in "[({" else -1
        if depth == 0:
            return at
    line = text.find("\n", start)
    return line if line >= 0 else len(text)
