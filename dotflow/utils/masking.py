"""No report says a credential: finds the keys that hold one, and masks texts that name one."""

from __future__ import annotations

import os
import re
from functools import lru_cache
from typing import TYPE_CHECKING

from dotflow.utils.patterns import later

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

# Each way begins with a letter, and is one of the pattern's own: `re` then skips quickly.
_WORDS = r"passw|passphrase|passcode|pwd|secret|token|credential|authorization|cookie"
_ALONE = "|".join(rf"{one}(?<![a-z]{one})(?![a-z.])" for one in ("pass", "auth", "jwt", "csrf"))
_KEYS = "|".join(
    rf"{one}[ ._-]?key"
    for one in (
        "api",
        "access",
        "account",
        "auth",
        "dotflow_storage",
        "encryption",
        "private",
        "signing",
        "ssh",
    )
)
_CREDENTIAL = rf"{_WORDS}|{_ALONE}|{_KEYS}|session[ ._-]?id"
# On small letters without IGNORECASE that is five times faster.
_IN_SMALL_LETTERS = later(_CREDENTIAL)
_IN_ANY_LETTERS = later(_CREDENTIAL, re.IGNORECASE)
_SURROGATE = later("[\ud800-\udfff]")

BEFORE, LONGEST, WINDOW = 80, 300, 2000
"""Characters before a credential in which its name begins; of the longest name with what is around
it; and in which one is looked for at once."""

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
    small = text.casefold()
    found = SECRET if has_stem(small) and _IN_SMALL_LETTERS.search(small) else 0
    if not text.isascii():
        found |= SECRET if _IN_ANY_LETTERS.search(text) else 0
        found |= ODD if _SURROGATE.search(text) else 0
    return found


def has_stem(small: str) -> bool:
    """Whether a closer look at a text may find anything; `in` is far faster than any pattern.

    Args:
        small: The text in small letters.
    """
    return (
        "pass" in small or "pwd" in small or "secret" in small or "token" in small
        or "key" in small or "auth" in small or "cookie" in small or "credential" in small
        or "session" in small or "jwt" in small or "csrf" in small
        or "bearer " in small or "://" in small
    )  # fmt: skip


def clean(text: str) -> str:
    """The text with U+FFFD in place of each half surrogate pair, which no encoder takes."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


# Every repetition is bounded or excludes what follows it, so that no text takes quadratic time.
_NAMED = later(
    # A name, in quotes or not, and `=`, `:` or `=>`; and `("name", value`.
    rf"(?:{_CREDENTIAL})(?:[^\"'\n]{{0,64}}(?=[\"'])|[\w.\-]{{0,64}})\\{{0,8}}[\"']?[\])]?"
    r"\s{0,16}[:=]{1,2}>?\s{0,16}"
    rf"|\(\\{{0,8}}[\"'][^\"'\n=:]{{0,64}}?(?:{_CREDENTIAL})[^\"'\n=:]{{0,64}}[\"'],\s{{0,4}}(?=\S)"
    # `--name value`, also as a list of arguments; `<name>value`; `PASSWORD 'value'`.
    rf"|--[\w\-]{{0,64}}?(?:{_CREDENTIAL})[\w\-]{{0,64}}(?:\s{{1,4}}|\\{{0,8}}[\"'],\s{{0,4}})(?=[^\s\-])"
    rf"|<[\w:.\-]{{0,64}}?(?:{_CREDENTIAL})[\w:.\-]{{0,64}}>(?=[^<\s])"
    r"|passw[a-z]{0,8}\s{1,4}(?=[\"'])",
    re.IGNORECASE,
)
_CLASS = later(r"(?:^|\s)[\w.]{0,256}(?:Error|Exception|Warning):\s{1,16}\Z")
_HEADER = later(r"(authorization|cookie)(\s{0,4}:\s{0,4})[^\s\"'][^\n]*", re.IGNORECASE)
_BEARER = later(r"(bearer\s{1,4})(?=[^\s\"']{0,256}\d)[\w.~+/=\-]{8,}", re.IGNORECASE)
# The password of a URL ends at the last `@` before the path; one with `/` in it, at the next.
_USER = later(
    r"://(?:[^\s:/@\"']{20,256}(?=@)|([^\s:/@\"']{0,256}:)(?!\d{0,5}(?:[/?#\s\"',)\]]|\Z))"
    r"(?:[^\s/\"']{1,256}(?=@)|[^\s\"'@]{1,256}(?=@)))"
)
_QUOTED = later(
    r"[bfru]{0,2}(?:(?P<three>\"{3}|'{3})(?:(?!(?P=three)).){0,4096}(?:(?P=three))?"
    r"|(?P<quote>\\{0,8}[\"'])(?:(?!(?P=quote))(?:\\.|[^\n]))*(?P=quote)?)",
    re.IGNORECASE | re.DOTALL,
)
_SCHEME = later(r"(?:bearer|basic|digest|negotiate)\s{1,4}", re.IGNORECASE)
# A comma within goes along unless another name comes after it.
_WORD = later(
    r"(?:[^\s,;&\"'()\[\]{}<]|[)\]}](?=[^\s,;&\"'()\[\]{}])|[\"'](?=\w)"
    r"|,(?=[^\s,;&\"'()\[\]{}<=:]{1,64}(?:[\s,;]|\Z)))+"
)
_ANGLE = later(r"<[^<>\n]{0,256}>")
_GOES_ON = later(
    r"\s{0,4}=\s{0,4}(?!=)|\s{0,4}[+%]\s{0,4}|\s{1,4}or\s{1,4}(?=[bfru]?[\"'])|\s{1,4}(?=[\"'])"
)
_BRACKET = later(r"[\[({]|[\])}]|[\"']")


def masked(text: str) -> str:
    """A text with MASK in place of each value that is written beside a credential's name.

    As in `password=hunter2`, `"api_key": "k"`, `Authorization: Bearer b`, and the password of
    `https://ada:p@host`.
    """
    if "://" in text:
        text = _USER.sub(_without_user, text)
    found = judge(text) & SECRET
    if found or "earer " in text:
        text = _BEARER.sub(rf"\1{MASK}", text)
    return "".join(_parts(_HEADER.sub(rf"\1\2{MASK}", text))) if found else text


masked_name = lru_cache(maxsize=1024)(masked)
"""The same for names: a run has few, and each is said often."""


def may_hold(text: str) -> bool:
    """Whether there may be something to be masked in a text."""
    return ("://" in text and "@" in text) or "earer " in text or bool(judge(text) & SECRET)


def names_only(text: str) -> bool:
    """Whether a line of a masked text names a credential, and no value beside it: as of a table."""
    return any(judge(line) & SECRET and MASK not in line for line in text.splitlines())


def _without_user(found: re.Match[str]) -> str:
    return f"://{found[1] or ''}{MASK}"


def _parts(text: str) -> Iterable[str]:
    # Of an ASCII text the small letters stand where the others do.
    find = _IN_SMALL_LETTERS.search if text.isascii() else _IN_ANY_LETTERS.search
    small = text.lower() if text.isascii() else text
    end = at = 0
    while (found := find(small, at)) is not None:
        # Only around a credential it is looked for in earnest.
        last = found.end() + WINDOW
        name = _NAMED.search(text, max(end, found.start() - BEFORE), last)
        if name is None:
            at = last - LONGEST
            continue
        yield text[end : name.end()]
        end = name.end()
        # `InvalidTokenError: expired` says an error, and no token.
        if _CLASS.search(text, max(0, end - NEAR), end) is None:
            end = _end_of_value(text, end)
            value = text[name.end() : end]
            # What is masked already stays as it is, in quotes too.
            yield MASK if value and value.strip("\\\"'") != MASK else value
        at = end
    yield text[end:]


def _end_of_value(text: str, start: int) -> int:
    """Where the value that begins at `start` ends."""
    while True:
        end = _end_of_one(text, start)
        # In `password: str = "x"` the value is the last of three; and a text may have two parts.
        more = _GOES_ON.match(text, end) if end > start else None
        if more is None:
            return end
        start = more.end()


def _end_of_one(text: str, start: int) -> int:
    found = _QUOTED.match(text, start) or _ANGLE.match(text, start)
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
