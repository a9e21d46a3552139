"""Values as the text of span attributes: bounded, masked, and such as every exporter can encode."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from dotflow.core.context import Context
from dotflow.delivery.strict_json import MAX_DEPTH, safe_str

if TYPE_CHECKING:
    from dotflow.abc.task import ContextView

CONTEXT_LIMIT = 4096
"""Characters of a context that a span carries; of text that is not ASCII at most three times as
many bytes. With the limits below a span stays under 64 KB, which is what backends take."""

BYTES_A_CHARACTER = 3  # of a context: most texts in any script fit whole

MESSAGE_LIMIT = 4096  # bytes
STACKTRACE_LIMIT = 16_384  # bytes
NAME_LIMIT = 256  # bytes
PATH_LIMIT = 1024  # bytes

SMALL = 16  # items of a value that is written at once
SMALL_TEXT = 256  # characters of a text in it

MASK = "***"
_encode = json.JSONEncoder(ensure_ascii=False).encode
_SECRET = re.compile(
    r"passw|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credential|authorization"
    r"|cookie|session[_-]?id",
    re.IGNORECASE,
)
_SURROGATE = re.compile("[\ud800-\udfff]")

Redact = Callable[[str, Any], Any]
"""Called with the role of a context ("initial", "previous", "current") and its value; returns what
spans may show of it."""


def clean(text: str) -> str:
    """The text without half surrogate pairs, which protobuf cannot encode."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def cut(text: str, limit: int) -> str:
    """The beginning of a text, clean: at most `limit` bytes."""
    text = text[:limit]
    if text.isascii():
        return text
    return clean(text).encode()[:limit].decode(errors="ignore")


def cut_start(text: str, limit: int) -> str:
    """The end of a text, clean, at most `limit` bytes: a stack trace says most at its end."""
    text = text[-limit:] if limit else ""
    if text.isascii():
        return text
    return clean(text).encode()[-limit:].decode(errors="ignore")


def short(name: str) -> str:
    """A name, clean: a program that makes names of its data may make long ones."""
    return name if len(name) <= NAME_LIMIT and name.isascii() else cut(name, NAME_LIMIT)


class ContextText:
    """Writes contexts as the JSON text that spans carry.

    Args:
        limit: Characters of one context.
        redact: What a program wants hidden that its keys do not show.
    """

    def __init__(self, limit: int = CONTEXT_LIMIT, redact: Redact | None = None) -> None:
        self._limit = limit
        self._redact = redact

    def write(self, role: str, context: ContextView) -> tuple[str, bool]:
        """The text of a context, and whether it was cut. Never raises.

        The values of keys that look like credentials are masked. What it costs is bound by the
        limit, not by the size of the value.
        """
        try:
            value = context.storage
            if self._redact is not None:
                value = self._redact(role, value)
            return self._bounded(value)
        except Exception as error:  # noqa: BLE001 - a value may raise anything when looked at
            return json.dumps(f"<{type(error).__name__} while it was written>"), False

    def _bounded(self, value: Any) -> tuple[str, bool]:
        if _is_small(value):
            return self._cut(_encode(value))
        parts: list[str] = []
        length = 0
        for part in _pieces(value, self._limit, MAX_DEPTH, ()):
            parts.append(part)
            length += len(part)
            if length > self._limit:
                break
        return self._cut("".join(parts))

    def _cut(self, text: str) -> tuple[str, bool]:
        """A text within the limits, and whether it was cut."""
        if text.isascii():
            return text[: self._limit], len(text) > self._limit
        whole = clean(text)
        found = cut(whole[: self._limit], BYTES_A_CHARACTER * self._limit)
        return found, len(found) < len(whole)


def _is_small(value: Any) -> bool:
    """Whether a value is one that most steps return: a few plain values under innocent keys.

    Such a value the standard encoder writes as `_pieces` would, in a fraction of the time.
    """
    if type(value) is dict and len(value) <= SMALL:
        names, value = value, value.values()
        if not all(type(name) is str and not _SECRET.search(name) for name in names):
            return False
    elif type(value) is not list or len(value) > SMALL:
        value = (value,)
    return all(
        item is None
        or type(item) in (bool, int)
        or (type(item) is str and len(item) <= SMALL_TEXT)
        or (type(item) is float and math.isfinite(item))
        for item in value
    )


def _pieces(value: Any, limit: int, depth: int, above: tuple[int, ...]) -> Iterator[str]:
    """The JSON text of a value, piece by piece, so that a reader may stop early."""
    if isinstance(value, Context):
        value = value.storage
    if isinstance(value, str):
        yield _quoted(value, limit)
    elif value is None or isinstance(value, bool):
        yield _encode(value)
    elif isinstance(value, (int, float)):
        yield _number(value, limit)
    elif not isinstance(value, (dict, list, tuple)):
        yield _quoted(_leaf(value, limit), limit)
    elif id(value) in above or depth == 0:
        yield '"{...}"' if isinstance(value, dict) else '"[...]"'
    elif isinstance(value, dict):
        yield from _object(value, limit, depth - 1, (*above, id(value)))
    else:
        yield "["
        for number, item in enumerate(value):
            if number:
                yield ", "
            yield from _pieces(item, limit, depth - 1, (*above, id(value)))
        yield "]"


def _object(value: dict[Any, Any], limit: int, depth: int, above: tuple[int, ...]) -> Iterator[str]:
    yield "{"
    for number, (key, item) in enumerate(value.items()):
        if number:
            yield ", "
        name = key if isinstance(key, str) else safe_str(key)
        yield f"{_quoted(name, limit)}: "
        if _SECRET.search(name):
            yield f'"{MASK}"'
        else:
            yield from _pieces(item, limit, depth, above)
    yield "}"


def _quoted(text: str, limit: int) -> str:
    # One character more than fits, so that the reader sees that it does not.
    return _encode(text[: limit + 1])


def _number(value: float, limit: int) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return f'"{float(value)}"'
    return _encode(value) if abs(value) < 10**limit else '"<int>"'


def _leaf(value: Any, limit: int) -> str:
    # The text of a megabyte of bytes is four megabytes long.
    if isinstance(value, (bytes, bytearray)):
        return safe_str(value[: limit + 1])
    return safe_str(value)
