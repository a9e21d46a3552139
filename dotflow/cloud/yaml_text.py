"""YAML as people read it, with the reason beside what would be asked about."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import Any

MISSING = "This needs ruamel.yaml, which writes YAML: pip install 'dotflow[cloud]'"

INDENT = 2

_PLAIN = re.compile(r"[A-Za-z/.][\w./-]*([ :@][\w./-]+)*", re.ASCII)
_WORDS = re.compile(r"(y|yes|n|no|on|off|true|false|null|nan|inf|\.nan|\.inf)", re.IGNORECASE)


@dataclass(frozen=True)
class Noted:
    """A value of a mapping or a list with the reason for it, which stands above it.

    Where an item of a list is a mapping, the reason is the item's, not its first key's.

    Args:
        value: The value.
        why: The reason, in a few words.
    """

    value: Any
    why: str


class Block(str):
    """A text of several lines that is written as these lines."""

    __slots__ = ()


def yaml_text(*documents: Any, above: str) -> str:
    """The text of one YAML file.

    Every text in it is read as that text by each version of YAML, whatever is in it.

    Args:
        documents: What it says: dicts, lists, texts and numbers, with `Noted` among them.
        above: What the file is, in a line or several, as a comment at its top.

    Raises:
        ModuleNotFoundError: ruamel.yaml is not installed.
    """
    from ruamel.yaml import YAML  # here, for it is an extra

    yaml = YAML()
    yaml.width = 1_000_000  # no value is broken into lines
    yaml.indent(mapping=2, sequence=4, offset=2)
    text = io.StringIO()
    text.write("".join(f"# {line}".rstrip() + "\n" for line in above.splitlines()))
    for number, document in enumerate(documents):
        if number:
            text.write("---\n")
        yaml.dump(_dressed(document, 0), text)
    return text.getvalue()


def _dressed(value: Any, column: int) -> Any:
    """The same in ruamel's own types, which can have comments and quotes."""
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, dict):
        return _mapping(value, column)
    if isinstance(value, (list, tuple)):
        return _sequence(value, column)
    return value


def _mapping(value: dict[str, Any], column: int) -> Any:
    from ruamel.yaml.comments import CommentedMap

    dressed = CommentedMap()
    for key, one in value.items():
        dressed[_quoted(key)] = _dressed(_bare(one), column + INDENT)
    for key, one in value.items():
        if isinstance(one, Noted):
            dressed.yaml_set_comment_before_after_key(key, before=one.why, indent=column)
    return dressed


def _sequence(value: list[Any] | tuple[Any, ...], column: int) -> Any:
    from ruamel.yaml.comments import CommentedSeq

    dressed = CommentedSeq(_dressed(_bare(one), column + INDENT) for one in value)
    if value and all(isinstance(one, (str, int)) for one in value):
        dressed.fa.set_flow_style()
    for number, one in enumerate(value):
        if isinstance(one, Noted):
            dressed.yaml_set_comment_before_after_key(number, before=one.why, indent=column)
    return dressed


def _bare(value: Any) -> Any:
    return value.value if isinstance(value, Noted) else value


def _quoted(text: str) -> Any:
    """A text in quotes, unless every reader takes it for a text without them."""
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString, LiteralScalarString

    if isinstance(text, Block) and text.replace("\n", "").isprintable():
        return LiteralScalarString(text)
    is_plain = _PLAIN.fullmatch(text) and not _WORDS.fullmatch(text)
    return text if is_plain else DoubleQuotedScalarString(text)
