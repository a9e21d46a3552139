"""Texts of span attributes: bounded, and such as every exporter can encode."""

from __future__ import annotations

from dotflow.utils.masking import clean

CONTEXT_LIMIT = 4096
"""Characters of a context that a span carries; of text that is not ASCII at most three times as
many bytes. With the limits below a span stays under 64 KB, which is what backends take."""

MESSAGE_LIMIT = 4096  # bytes
STACKTRACE_LIMIT = 16_384  # bytes
NAME_LIMIT = 256  # bytes
PLAN_LIMIT = 16_384  # bytes
PATH_LIMIT = 1024  # bytes


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
